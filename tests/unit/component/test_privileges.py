"""Privileges of components (XEP-0356): what was granted, for whom, and nothing else."""

from __future__ import annotations

import pytest

from rookery.shared.bus.messages import Handle, Origin
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.xeps.forwarding import NS as FORWARD
from rookery.shared.xeps.privileged_entity import NS, component_of
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.component.privileges import Privileges

GATE, WEAK, HERE = "irc.here.example", "bot.here.example", "here.example"
ORIGIN = Origin(b"s" * 16, 1, "component1")
SPACE = "urn:pubsub"
ALL = {
    "roster": "both",
    "message": "outgoing",
    "iq": {SPACE: "set", "urn:odd": "all"},
    "presence": "managed_entity",
}
ROWS = (
    DomainRow(HERE),
    DomainRow("there.example"),
    DomainRow(GATE, "component", privileges=ALL),
    DomainRow(WEAK, "component", privileges={"roster": "get", "message": "none"}),
    DomainRow("plain.here.example", "component"),
    DomainRow("far.example", "component", privileges={"roster": "both"}),
    DomainRow("odd.here.example", "component", privileges={"roster": "all", "message": 1}),
)


def privileges() -> Privileges:
    made = Privileges(lambda jid: jid.partition("@")[2].partition("/")[0] in (HERE, "there.example"))
    made.learn(ROWS)
    made.secret = b"of all processes"
    return made


def roster(type: str, from_: str = GATE, to: str = f"alice@{HERE}") -> Stanza:
    return Stanza.build("iq", Element("jabber:iq:roster", "query"), type=type, from_=from_, to=to, id="r")


def message(from_: str = GATE, to: str = HERE, sender: str = f"alice@{HERE}") -> Stanza:
    body = Element("jabber:client", "body", None, "hi")
    inner = Element(
        "jabber:client", "message", {"from": sender, "to": "romeo@far.example/r", "id": "m", "type": "chat"}, body
    )  # fmt: skip
    privilege = Element(NS, "privilege", None, Element(FORWARD, "forwarded", None, inner))
    return Stanza.build("message", privilege, from_=from_, to=to, id="p")


def request(
    from_: str = GATE,
    to: str = f"alice@{HERE}",
    type: str = "set",
    inner_type: str = "set",
    uri: str = SPACE,
    sender: str = "",
    client: str = "jabber:client",
) -> Stanza:
    attributes = {"type": inner_type, "to": "romeo@far.example", "id": "sub_1"} | (
        {"from": sender} if sender else {}
    )
    inner = Element(client, "iq", attributes, Element(uri, "pubsub"))
    return Stanza.build(
        "iq", Element(NS, "privileged_iq", None, inner), type=type, from_=from_, to=to, id="priv_1"
    )


def test_a_request_in_the_name_of_a_user_and_its_answer() -> None:
    """XEP-0356 section 6.3."""
    made = privileges()
    asked = made.special(ORIGIN, request())
    assert isinstance(asked, Stanza)
    assert (asked.from_, asked.to, asked.type) == (f"alice@{HERE}", "romeo@far.example", "set")
    assert asked.inner == b"<pubsub xmlns='urn:pubsub'/>"
    assert component_of(asked.id) == GATE
    answer = Stanza.build("iq", Element("urn:x", "done"), type="result", from_=asked.to, to=GATE, id=asked.id)
    other = privileges()
    told = other.answered(answer)
    assert told is not None
    assert (told.from_, told.to, told.type, told.id) == (f"alice@{HERE}", GATE, "result", "priv_1")
    inner = b"<iq xmlns='jabber:client' type='result' from='romeo@far.example' to='alice@here.example' id='sub_1'><done xmlns='urn:x'/></iq>"
    assert inner in told.inner.replace(b'"', b"'")


@pytest.mark.parametrize(
    "change",
    [
        {"from_": "mallory@far.example"},
        {"to": WEAK},
        {"id": f"privileged:{GATE}/AAAA"},
        {"id": f"privileged:{GATE}/!"},
        {"id": "privileged:"},
    ],
)
def test_an_answer_of_somebody_else_or_to_nothing_is_dropped(change: dict[str, str]) -> None:
    made = privileges()
    asked = made.special(ORIGIN, request())
    assert isinstance(asked, Stanza)
    answer = Stanza.build("iq", type="result", from_=asked.to, to=GATE, id=asked.id)
    assert made.answered(answer.replace(**change)) is None


def test_a_request_without_a_to_is_for_the_user_itself() -> None:
    made = privileges()
    inner = Element("jabber:client", "iq", {"type": "set", "id": "1"}, Element(SPACE, "pubsub"))
    iq = Stanza.build(
        "iq", Element(NS, "privileged_iq", None, inner), type="set", from_=GATE, to=f"alice@{HERE}", id="p"
    )
    asked = made.special(ORIGIN, iq)
    assert isinstance(asked, Stanza)
    assert asked.to == asked.from_ == f"alice@{HERE}"


def test_rosters_are_read_and_changed_for_their_owner() -> None:
    for type in ("get", "set"):
        handle = privileges().special(ORIGIN, roster(type))
        assert handle == Handle(ORIGIN, f"alice@{HERE}", GATE, True, roster(type))
    assert isinstance(privileges().special(ORIGIN, roster("get", WEAK)), Handle)


def test_a_message_in_the_name_of_a_user() -> None:
    meant = privileges().special(ORIGIN, message())
    assert isinstance(meant, Stanza)
    assert (meant.from_, meant.to, meant.type, meant.id) == (
        f"alice@{HERE}",
        "romeo@far.example/r",
        "chat",
        "m",
    )
    assert b"<body>hi</body>" in meant.inner
    assert isinstance(privileges().special(ORIGIN, message(sender=HERE)), Stanza)


@pytest.mark.parametrize(
    "stanza",
    [
        roster("set", WEAK),
        roster("get", "plain.here.example"),
        roster("get", "odd.here.example"),
        roster("get", "far.example"),
        roster("get", f"user@{GATE}"),
        roster("get", to="alice@there.example"),
        roster("get", to=f"alice@{HERE}/phone"),
        message(WEAK),
        message("plain.here.example"),
        message(to=f"alice@{HERE}"),
        message(to="there.example"),
        message(sender=f"alice@{HERE}/phone"),
        message(sender="alice@there.example"),
        message(from_=f"user@{GATE}"),
        Stanza.build("iq", Element(NS, "privileged_iq"), type="get", from_=GATE, to=f"alice@{HERE}", id="1"),
        request(from_="plain.here.example"),
        request(from_=WEAK),
        request(uri="urn:not:granted"),
        request(type="get"),
        request(inner_type="get"),
        request(sender="bob@here.example"),
        request(uri=SPACE, client="jabber:server"),
        request(to=f"alice@{HERE}/phone"),
        request(to="alice@there.example"),
        request(to=HERE),
    ],
)  # fmt: skip
def test_what_was_not_granted(stanza: Stanza) -> None:
    with pytest.raises(StanzaError, match="forbidden"):
        privileges().special(ORIGIN, stanza)


def test_what_needs_no_privilege_is_ordinary() -> None:
    made = privileges()
    for stanza in (
        Stanza.build("message", from_=GATE, to=f"alice@{HERE}"),
        message().replace(type="error"),
        Stanza.build("presence", from_=GATE, to=f"alice@{HERE}"),
        roster("result"),
        roster("get", to="bob@elsewhere.example"),
    ):
        assert made.special(ORIGIN, stanza) is None


def test_malformed_messages() -> None:
    with pytest.raises(StanzaError, match="bad-request"):
        privileges().special(ORIGIN, Stanza.build("message", Element(NS, "privilege"), from_=GATE, to=HERE))
    with pytest.raises(StanzaError, match="jid-malformed"):
        privileges().special(ORIGIN, message(sender="@@"))


def test_what_a_component_is_told() -> None:
    told = privileges().advertised(GATE)
    assert told is not None
    assert (told.from_, told.to) == (HERE, GATE)
    assert b"<perm access='roster' type='both' push='true'/>" in told.inner
    assert b"<perm access='iq'><namespace ns='urn:pubsub' type='set'/></perm>" in told.inner
    assert b"<perm access='presence' type='managed_entity'/>" in told.inner
    assert (privileges().sees(GATE), privileges().sees(WEAK)) == (HERE, "")
    assert b"<perm access='message' type='outgoing'/>" in told.inner
    for component in ("plain.here.example", "far.example", "odd.here.example", "nobody.example"):
        assert privileges().advertised(component) is None

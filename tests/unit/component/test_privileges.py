"""Privileges of components (XEP-0356): what was granted, for whom, and nothing else."""

from __future__ import annotations

import pytest

from rookery.shared.bus.messages import Handle, Origin
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.xeps.forwarding import NS as FORWARD
from rookery.shared.xeps.privileged_entity import NS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.component.privileges import Privileges

GATE, WEAK, HERE = "irc.here.example", "bot.here.example", "here.example"
ORIGIN = Origin(b"s" * 16, 1, "component1")
ROWS = (
    DomainRow(HERE),
    DomainRow("there.example"),
    DomainRow(GATE, "component", privileges={"roster": "both", "message": "outgoing"}),
    DomainRow(WEAK, "component", privileges={"roster": "get", "message": "none"}),
    DomainRow("plain.here.example", "component"),
    DomainRow("far.example", "component", privileges={"roster": "both"}),
    DomainRow("odd.here.example", "component", privileges={"roster": "all", "message": 1}),
)


def privileges() -> Privileges:
    made = Privileges(lambda jid: jid.partition("@")[2].partition("/")[0] in (HERE, "there.example"))
    made.learn(ROWS)
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
    assert b"<perm access='roster' type='both' push='false'/>" in told.inner
    assert b"<perm access='message' type='outgoing'/>" in told.inner
    for component in ("plain.here.example", "far.example", "odd.here.example", "nobody.example"):
        assert privileges().advertised(component) is None

"""XEP-0280."""

from __future__ import annotations

import pytest

from rookery.shared.xeps._xep import Target
from rookery.shared.xeps.carbons import NS, eligible, is_copy, unwrap, wrap
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element, parse_fragment
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

from .helpers import ask, iq

BODY = Element("jabber:client", "body", None, "hi")
ACTIVE = Element("http://jabber.org/protocol/chatstates", "active")
RECEIPT = Element("urn:xmpp:receipts", "received", {"id": "x"})
MARKER = Element("urn:xmpp:chat-markers:0", "displayed", {"id": "x"})
DIRECT_INVITE = Element("jabber:x:conference", "x", {"jid": "room@muc.example.org"})
MUC_USER = "http://jabber.org/protocol/muc#user"
ROOM = Element(MUC_USER, "x")
INVITE = Element(MUC_USER, "x", None, Element(MUC_USER, "invite", {"from": "a@b"}))
DECLINE = Element(MUC_USER, "x", None, Element(MUC_USER, "decline", {"from": "a@b"}))
PRIVATE = Element(NS, "private")
NO_COPY = Element("urn:xmpp:hints", "no-copy")
NO_STORE = Element("urn:xmpp:hints", "no-store")
OTHER = Element("urn:example", "x")

#: type, children, copied when received, copied when sent
RULES = [
    ("chat", (BODY,), True, True),
    ("chat", (), True, True),
    ("chat", (ACTIVE,), True, True),
    ("chat", (OTHER,), True, True),
    ("normal", (BODY,), True, True),
    ("", (BODY,), True, True),
    ("strange", (BODY,), True, True),
    ("normal", (), False, False),
    ("normal", (OTHER,), False, False),
    ("normal", (RECEIPT,), True, True),
    ("normal", (ACTIVE,), True, True),
    ("", (MARKER,), True, True),
    ("normal", (DIRECT_INVITE,), True, True),
    ("normal", (INVITE,), True, True),
    ("normal", (DECLINE,), True, True),
    ("normal", (ROOM,), False, False),
    ("chat", (ROOM, BODY), False, True),
    ("groupchat", (BODY,), False, False),
    ("groupchat", (BODY, ACTIVE), False, False),
    ("headline", (BODY,), False, False),
    ("headline", (RECEIPT,), True, True),
    ("chat", (BODY, PRIVATE), False, False),
    ("chat", (PRIVATE, BODY, NO_COPY), False, False),
    ("chat", (BODY, NO_COPY), False, False),
    ("chat", (BODY, NO_STORE), True, True),
    ("error", (BODY,), False, False),
]


@pytest.mark.parametrize(("type", "children", "received", "sent"), RULES)
def test_the_rules(type: str, children: tuple[Element, ...], received: bool, sent: bool) -> None:
    stanza = Stanza.build("message", *children, type=type, from_="room@x/nick", to="bob@x")
    assert (eligible(stanza, sent=False), eligible(stanza, sent=True)) == (received, sent)


def test_an_error_is_copied_like_what_it_answers() -> None:
    error = Stanza.build("message", type="error", from_="bob@x", to="alice@x/1")
    assert not eligible(error, sent=False)
    assert eligible(error, sent=False, answers_eligible=True)
    assert not eligible(error.with_child(PRIVATE), sent=False, answers_eligible=True)


@pytest.mark.parametrize("name", ["sent", "received"])
def test_a_forged_copy_is_not_copied(name: str) -> None:
    forged = Stanza.build("message", Element(NS, name), BODY, type="chat", from_="eve@x/1", to="bob@x")
    assert not eligible(forged, sent=False)
    assert not eligible(forged, sent=True)
    assert not is_copy(forged)


@pytest.mark.parametrize("sent", [True, False])
def test_a_copy_wraps_the_message_and_comes_from_the_bare_jid(sent: bool) -> None:
    message = Stanza.build(
        "message", BODY, ACTIVE, type="chat", from_="a'b@x/1", to="bob@x/2", id="<1>", lang="de"
    )
    copy = wrap(message, "bob@x", sent=sent).replace(to="bob@x/3")
    assert (copy.from_, copy.to, copy.type, copy.id) == ("bob@x", "bob@x/3", "chat", "")
    assert is_copy(copy)
    element = parse_element(copy.inner)
    assert (element.ns, element.name) == (NS, "sent" if sent else "received")
    (forwarded,) = element.elements()
    assert (forwarded.ns, forwarded.name) == ("urn:xmpp:forward:0", "forwarded")
    (inside,) = forwarded.elements()
    assert (inside.ns, inside.name) == ("jabber:client", "message")
    assert inside.attrs == {
        "from": "a'b@x/1", "to": "bob@x/2", "type": "chat", "id": "<1>", "xml:lang": "de"
    }  # fmt: skip
    assert list(inside.elements()) == [BODY, ACTIVE]


def test_a_message_as_deep_as_allowed_is_wrapped_without_recursion() -> None:
    deep = b"<a xmlns='urn:d'>" * 20_000 + b"</a>" * 20_000
    message = Stanza("message", "chat", "bob@x", "a@x/1", "", "", (), (("urn:d", "a"),), deep)
    assert deep in wrap(message, "bob@x", sent=False).inner


def test_a_user_cannot_make_a_copy_of_ours() -> None:
    copy = wrap(Stanza.build("message", BODY, type="chat", from_="a@x/1", to="bob@x"), "bob@x", sent=False)
    for sender in ("bob@x/1", "eve@x"):
        assert not is_copy(copy.replace(from_=sender, to="bob@x/3"))
    assert not is_copy(copy.replace(to="bob@x/3").with_child(BODY))


@pytest.mark.parametrize("name", ["enable", "disable"])
def test_only_the_account_itself_switches_them(name: str) -> None:
    request = iq(f"<{name} xmlns='{NS}'/>", type="set")
    assert ask(request, Target.ACCOUNT, own=True).type == "result"
    with pytest.raises(StanzaError) as caught:
        ask(request, Target.ACCOUNT, own=False)
    assert caught.value.condition == "service-unavailable"


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize(
    "inner",
    [
        b"",
        b"<body>a &lt; b &amp; c</body>",
        b"text<x xmlns='urn:example' a='&apos;>'><y>1</y></x> more",
        b"</",
    ],
)
def test_what_was_wrapped_comes_out_as_it_was(sent: bool, inner: bytes) -> None:
    elements = (
        () if inner == b"</" else tuple(one for one in parse_fragment(inner) if isinstance(one, Element))
    )
    inner = inner.replace(b"</", b"<body>&lt;/message></body>") if inner == b"</" else inner
    payloads = tuple((one.ns, one.name) for one in elements) or (
        (("jabber:client", "body"),) if inner else ()
    )
    stanza = Stanza(
        "message",
        "chat",
        "bob@x/'r",
        "alice@x/<1>",
        "i>d",
        "de",
        (("{urn:example}a", "1>"), ("b", "2")),
        payloads,
        inner,
    )
    copy = wrap(stanza, "alice@x", sent=sent).replace(to="alice@x/2")
    assert unwrap(copy) == stanza
    bare = Stanza("message", "", "bob@x", "alice@x/1", "", "", (), payloads, inner)
    assert unwrap(wrap(bare, "alice@x", sent=sent).replace(to="alice@x/2")) == bare
    assert unwrap(stanza) is None

"""XEP-0357."""

from __future__ import annotations

import pytest

from rookery.shared.xeps.push import (
    NS,
    NS_OPTIONS,
    App,
    Summary,
    Worth,
    error_of,
    final,
    mentions,
    notification,
    read_disable,
    read_enable,
    worth,
)
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element, parse_fragment
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

FORM = (
    "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
    f"<value>{NS_OPTIONS}</value></field><field var='secret'><value>s</value></field></x>"
)


def enable(attrs: str, inner: str = "") -> Element:
    return parse_element(f"<enable xmlns='{NS}' {attrs}>{inner}</enable>".encode())


def message(xml: str, type: str = "chat", from_: str = "") -> Stanza:
    children = [one for one in parse_fragment(xml.encode()) if isinstance(one, Element)]
    return Stanza.build("message", *children, type=type, from_=from_)


def test_a_client_says_where_its_notifications_go() -> None:
    """Section 5: the address is a must, the node is not; options are kept as they are."""
    assert read_enable(enable("jid='Push.Example' node='n'"), 0) == App("push.example", "n", b"")
    assert read_enable(enable("jid='push.example'"), 0) == App("push.example", "", b"")
    app = read_enable(enable("jid='push.example' node='n'", FORM), 1000)
    assert b"<field var='secret'><value>s</value></field>" in app.options
    assert read_disable(enable("jid='push.example'")) == ("push.example", None)
    assert read_disable(enable("jid='push.example' node='n'")) == ("push.example", "n")


@pytest.mark.parametrize(
    ("attrs", "inner", "condition"),
    [
        ("", "", "bad-request"),
        ("jid=''", "", "bad-request"),
        ("jid='a@@b'", "", "bad-request"),
        (f"jid='a' node='{'n' * 3072}'", "", "bad-request"),
        ("jid='a'", "<x xmlns='jabber:x:data' type='form'/>", "bad-request"),
        ("jid='a'", "<x xmlns='jabber:x:data' type='submit'/>", "bad-request"),
        ("jid='a'", FORM, "policy-violation"),
    ],
)
def test_bad_requests(attrs: str, inner: str, condition: str) -> None:
    with pytest.raises(StanzaError) as caught:
        read_enable(enable(attrs, inner), 50)
    assert caught.value.condition == condition


@pytest.mark.parametrize(
    ("xml", "type", "expected"),
    [
        ("<body>hi</body>", "chat", Worth()),
        ("<body>hi</body>", "", Worth()),
        ("<body>hi</body><encrypted xmlns='eu.siacs.conversations.axolotl'/>", "chat", Worth(encrypted=True)),
        ("<encryption xmlns='urn:xmpp:eme:0'/>", "normal", Worth(encrypted=True)),
        ("<propose xmlns='urn:xmpp:jingle-message:0' id='c'/>", "chat", Worth(urgent=True)),
        ("<retract xmlns='urn:xmpp:jingle-message:0' id='c'/>", "", Worth(urgent=True)),
        ("<proceed xmlns='urn:xmpp:jingle-message:0' id='c'/>", "", None),
        ("<composing xmlns='http://jabber.org/protocol/chatstates'/>", "chat", None),
        ("<received xmlns='urn:xmpp:receipts' id='x'/>", "chat", None),
        ("<body>hi</body>", "headline", None),
        ("<body>hi</body>", "error", None),
        ("<body>hi</body>", "groupchat", None),
        ("", "chat", None),
    ],
)
def test_what_is_worth_a_notification(xml: str, type: str, expected: Worth | None) -> None:
    assert worth(message(xml, type)) == expected


@pytest.mark.parametrize(
    ("xml", "named"),
    [
        ("<body>Alice: hi</body>", True),
        ("<body>hi alice</body>", True),
        ("<body>malice, alices</body>", False),
        ("<body>malice and alice</body>", True),
        ("<body>hi</body>", False),
        ("<body>hi</body><reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:a@b'/>", True),
        ("<body>hi</body><reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:c@b'/>", False),
        ("<subject>alice</subject>", False),
    ],
)
def test_mentions_in_rooms(xml: str, named: bool) -> None:
    assert mentions(message(xml, "groupchat"), "Alice", "a@b") is named


def test_a_notification_says_what_it_may() -> None:
    """Section 7, with the options of the client."""
    app = read_enable(enable("jid='push.example' node='n'", FORM), 1000)
    iq = notification("a@b", app, "push:1", Summary(3, "", ""))
    assert (iq.from_, iq.to, iq.type) == ("a@b", "push.example", "set")
    assert b"<publish node='n'><item><notification xmlns='urn:xmpp:push:0'>" in iq.inner
    assert b"<publish-options><x xmlns='jabber:x:data' type='submit'>" in iq.inner
    assert b"last-message" not in iq.inner
    told = notification("a@b", App("push.example", "", b""), "push:1", Summary(1, "c@d/e", "hi"))
    assert b"<field var='last-message-sender'><value>c@d/e</value></field>" in told.inner
    assert b"<field var='last-message-body'><value>hi</value></field>" in told.inner
    assert b"publish-options" not in told.inner


@pytest.mark.parametrize(
    ("type", "condition", "ends"),
    [
        ("cancel", "item-not-found", True),
        ("auth", "forbidden", True),
        ("modify", "bad-request", True),
        ("wait", "item-not-found", False),
        ("wait", "resource-constraint", False),
        ("cancel", "service-unavailable", False),
        ("cancel", "remote-server-not-found", False),
    ],
)
def test_which_errors_end_notifications(type: str, condition: str, ends: bool) -> None:
    error = Stanza.build("iq", type="set").error(StanzaError(condition, type=type))
    assert error_of(error.elements()) == (type, condition)
    assert final(type, condition) is ends

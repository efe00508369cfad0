"""XEP-0033: one stanza becomes some, and nobody sees another's blind copy; the way there: tests/unit/router/delivery/test_multicast.py."""

from __future__ import annotations

import pytest

from rookery.shared.xeps.multicast import NS, copies
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BODY = Element("jabber:client", "body", None, "hi & bye")


def message(*addresses: dict[str, str], extra: int = 0) -> Stanza:
    headers = [Element(NS, "address", dict(one)) for one in addresses]
    lists = [Element(NS, "addresses", None, *headers) for _ in range(1 + extra)]
    return Stanza.build("message", BODY, *lists, to="x.org", from_="a@x.org/r", id="1")


def listed(stanza: Stanza) -> list[tuple[str | None, str | None, str | None]]:
    header = stanza.find(NS, "addresses")
    assert header is not None
    return [(one.get("type"), one.get("jid"), one.get("delivered")) for one in header.elements()]


def test_everybody_sees_who_got_it_but_for_blind_copies() -> None:
    """Sections 4.3 and 5."""
    sent = copies(
        message(
            {"type": "to", "jid": "b@X.org/home", "desc": "Bob"},
            {"type": "cc", "jid": "c@x.org"},
            {"type": "bcc", "jid": "d@x.org"},
            {"type": "bcc", "jid": "e@x.org"},
            {"type": "replyto", "jid": "a@x.org"},
            {"type": "noreply"},
        ),
        50,
    )
    assert [one.to for one in sent] == ["b@x.org/home", "c@x.org", "d@x.org", "e@x.org"]
    public = [
        ("to", "b@x.org/home", "true"),
        ("cc", "c@x.org", "true"),
        ("replyto", "a@x.org", None),
        ("noreply", None, None),
    ]
    assert listed(sent[0].stanza) == listed(sent[1].stanza) == public
    assert listed(sent[2].stanza) == [*public, ("bcc", "d@x.org", None)]
    assert listed(sent[3].stanza) == [*public, ("bcc", "e@x.org", None)]
    assert all(one.stanza.to == one.to and one.stanza.from_ == "a@x.org/r" for one in sent)
    assert all(one.stanza.find("jabber:client", "body") == BODY for one in sent)


def test_nobody_gets_it_twice_and_what_was_delivered_is_not_again() -> None:
    """Section 4.2.5: marks of delivery prevent loops."""
    sent = copies(
        message(
            {"type": "to", "jid": "b@x.org"},
            {"type": "bcc", "jid": "b@x.org"},
            {"type": "cc", "jid": "c@x.org", "delivered": "true"},
        ),
        50,
    )
    assert [one.to for one in sent] == ["b@x.org"]
    assert listed(sent[0].stanza) == [("to", "b@x.org", "true"), ("cc", "c@x.org", "true")]


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        (message({"type": "to", "uri": "sip:b@x.org"}), "jid-malformed"),
        (message({"type": "to"}), "jid-malformed"),
        (message({"type": "to", "jid": "@"}), "jid-malformed"),
        (message({"type": "sideways", "jid": "b@x.org"}), "bad-request"),
        (message({"jid": "b@x.org"}), "bad-request"),
        (message({"type": "noreply"}), "bad-request"),
        (message(), "bad-request"),
        (message({"type": "to", "jid": "b@x.org"}, extra=1), "bad-request"),
        (message(*({"type": "to", "jid": f"u{n}@x.org"} for n in range(51))), "not-acceptable"),
    ],
)
def test_what_is_refused(stanza: Stanza, condition: str) -> None:
    """Sections 4.1 and 9."""
    with pytest.raises(StanzaError) as caught:
        copies(stanza, 50)
    assert caught.value.condition == condition

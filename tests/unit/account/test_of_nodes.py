"""Which requests the account worker hands on to the keeper of nodes (XEP-0402 section 5.2, XEP-0398 section 3.2)."""

from __future__ import annotations

import pytest

from rookery.shared.bus.messages import NOBODY, Handle
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account.of_nodes import concerns

STORAGE = "<storage xmlns='storage:bookmarks'/>"


@pytest.mark.parametrize(
    ("type", "payload", "own", "expected"),
    [
        ("get", f"<query xmlns='jabber:iq:private'>{STORAGE}</query>", True, True),
        ("set", f"<query xmlns='jabber:iq:private'>{STORAGE}<x xmlns='urn:x'/></query>", True, True),
        ("get", f"<query xmlns='jabber:iq:private'>{STORAGE}<x xmlns='urn:x'/></query>", True, False),
        ("get", f"<query xmlns='jabber:iq:private'>{STORAGE}</query>", False, False),
        ("set", "<query xmlns='jabber:iq:private'><x xmlns='urn:storage:bookmarks'/></query>", True, False),
        ("set", "<vCard xmlns='vcard-temp'/>", True, True),
        ("get", "<vCard xmlns='vcard-temp'/>", True, False),
        ("set", "<vCard xmlns='vcard-temp'/>", False, False),
        ("get", "<query xmlns='jabber:iq:last'/>", True, False),
    ],
)
def test_what_concerns_nodes(type: str, payload: str, own: bool, expected: bool) -> None:
    iq = Stanza.build("iq", parse_element(payload.encode()), type=type, from_="a@x/r", id="1")
    assert concerns(Handle(NOBODY, "a@x", "a@x/r", own, iq)) is expected

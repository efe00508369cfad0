"""Which messages are kept (XEP-0160 section 3, XEP-0334, XEP-0313), and what tells a repetition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.store.rows import (
    CHAT_STATES,
    HINTS,
    archivable,
    digest,
    durable,
    make_row,
    offline_eligible,
    pack_stanza,
    unpack_stanza,
)
from rookery.shared.xeps.delayed_delivery import stamped
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BODY = Element("jabber:client", "body", None, "hi")
THREAD = Element("jabber:client", "thread", None, "t1")
SUBJECT = Element("jabber:client", "subject", None, "s")
COMPOSING = Element(CHAT_STATES, "composing")
RECEIPT = Element("urn:xmpp:receipts", "received", {"id": "1"})
ORIGIN_ID = Element("urn:xmpp:sid:0", "origin-id", {"id": "1"})
INVITE = Element("http://jabber.org/protocol/muc#user", "x")
NO_STORE = Element(HINTS, "no-store")
NO_PERMANENT = Element(HINTS, "no-permanent-store")
NO_COPY = Element(HINTS, "no-copy")
STORE = Element(HINTS, "store")

#: (type, children, offline, archive, durable)
TABLE = [
    ("chat", [BODY], True, True, True),
    ("normal", [BODY], True, True, True),
    ("", [BODY], True, True, True),
    ("nonsense", [BODY], True, True, True),  # RFC 6121 section 5.2.2: as normal
    ("groupchat", [BODY], False, False, True),
    ("groupchat", [BODY, NO_STORE], False, False, False),
    ("groupchat", [COMPOSING], False, False, False),
    ("headline", [BODY], False, False, False),
    ("headline", [BODY, STORE], False, False, False),
    ("error", [BODY], False, False, False),
    ("error", [BODY, STORE], False, False, False),  # XEP-0334: hints in an error are ignored
    ("chat", [COMPOSING], False, False, False),
    ("chat", [COMPOSING, THREAD, NO_COPY, ORIGIN_ID], False, False, False),
    ("chat", [COMPOSING, BODY], True, True, True),
    ("chat", [COMPOSING, STORE], True, True, True),
    ("chat", [], False, False, False),
    ("chat", [RECEIPT], True, True, True),
    ("normal", [INVITE], True, True, True),
    ("normal", [SUBJECT], True, True, True),
    ("chat", [BODY, NO_STORE], False, False, False),
    ("chat", [BODY, NO_STORE, STORE], False, False, False),
    ("chat", [BODY, NO_PERMANENT], True, False, True),
    ("chat", [BODY, NO_COPY], True, True, True),
    ("chat", [RECEIPT, STORE], True, True, True),
    ("chat", [RECEIPT, NO_PERMANENT], True, False, True),
]


@pytest.mark.parametrize(("type_", "children", "offline", "archive", "kept"), TABLE)
def test_what_is_kept(type_: str, children: list[Element], offline: bool, archive: bool, kept: bool) -> None:
    stanza = Stanza.build("message", *children, type=type_)
    assert (offline_eligible(stanza), archivable(stanza), durable(stanza)) == (offline, archive, kept)


@pytest.mark.parametrize("kind", ["iq", "presence"])
def test_only_messages_are_kept(kind: str) -> None:
    stanza = Stanza.build(kind, BODY)
    assert (offline_eligible(stanza), archivable(stanza), durable(stanza)) == (False, False, False)


def test_the_rules_read_a_stanza_that_came_over_the_bus() -> None:
    """Which kind of sequence its payloads are does not matter."""
    stanza = Stanza.build("message", COMPOSING, THREAD, type="chat")
    lists = stanza._replace(payloads=list(stanza.payloads))
    assert not offline_eligible(lists)
    assert digest(pack_stanza(lists)) == digest(pack_stanza(stanza))


@given(st.text(), st.text(), st.binary(), st.lists(st.tuples(st.text(), st.text())))
def test_a_stanza_comes_back_as_it_was_packed(
    to: str, id: str, inner: bytes, pairs: list[tuple[str, str]]
) -> None:
    stanza = Stanza("message", "chat", to, "", id, "", tuple(pairs), tuple(pairs), inner)
    assert unpack_stanza(pack_stanza(stanza)) == stanza


@given(st.binary(), st.binary())
def test_another_stanza_has_another_digest(one: bytes, other: bytes) -> None:
    assert (digest(one) == digest(other)) == (one == other)
    assert len(digest(one)) == 16


def test_stanzas_of_the_server_itself_are_never_repetitions() -> None:
    stanza = Stanza.build("message", BODY)

    def key(archive_id: int) -> tuple[bytes, int]:
        made = make_row(
            1,
            archive_id,
            b"",
            0,
            stanza,
            peer="example.org",
            outgoing=False,
            archived=False,
            owed=True,
            stamp=0.0,
        )
        return made.stream, made.n

    assert key(10) != key(11)


def test_a_repetition_with_a_delay_stamp_has_the_digest_of_its_original() -> None:
    """Clients add one to what they send again after a resumption (XEP-0198 section 4)."""
    first = Stanza.build("message", Element("jabber:client", "body", {}, "hi"), type="chat", to="b@x")
    again = stamped(first, 1_800_000_000.0, "a@x")
    other = Stanza.build("message", Element("jabber:client", "body", {}, "ho"), type="chat", to="b@x")

    def digest_of(stanza: Stanza) -> bytes:
        row = make_row(
            1, 1, b"s", 1, stanza, peer="a@x", outgoing=False, archived=True, owed=False, stamp=0.0
        )
        return row.digest

    assert digest_of(again) == digest_of(first)
    assert digest_of(other) != digest_of(first)
    assert digest_of(stamped(other, 1_800_000_000.0, "a@x")) != digest_of(again)

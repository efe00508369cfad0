"""Pages of owed messages: stamped by the domain, in order, with an end."""

from __future__ import annotations

from rookery.shared.store.reader import Owed
from rookery.shared.store.rows import pack_stanza
from rookery.shared.xeps.delayed_delivery import delay
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.offline.pages import MAX_BYTES, MAX_ROWS, prepare


def owed(id: int, text: str = "hi") -> Owed:
    stanza = Stanza.build(
        "message", Element("jabber:client", "body", {}, text), type="chat", to="bob@example.org"
    )
    return Owed(id, "alice@example.org", 1_700_000_000.5, pack_stanza(stanza))


def test_each_message_gets_the_stamp_of_its_arrival_from_the_domain() -> None:
    page = prepare([owed(7)], "example.org")
    ((id, stanza),) = page.rows
    assert id == 7
    assert stanza.elements()[-1] == delay(1_700_000_000.5, "example.org", "Offline Storage")
    assert stanza.payloads[-1] == ("urn:xmpp:delay", "delay")


def test_a_short_page_is_the_last() -> None:
    assert prepare([], "example.org").last
    assert prepare([owed(1)], "example.org").last


def test_a_page_at_a_limit_is_not_the_last() -> None:
    assert not prepare([owed(n) for n in range(MAX_ROWS)], "example.org").last
    assert not prepare([owed(1, "x" * MAX_BYTES)], "example.org").last


def test_what_cannot_be_read_does_not_stop_the_rest() -> None:
    broken = Owed(2, "x", 0.0, b"\xc1")
    page = prepare([owed(1), broken, owed(3)], "example.org")
    assert [id for id, _ in page.rows] == [1, 3]
    assert page.unreadable == [2]

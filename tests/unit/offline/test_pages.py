"""Pages of owed messages: stamped by the domain, in order, with an end."""

from __future__ import annotations

from rookery.shared.store.ids import Seal
from rookery.shared.store.reader import Owed
from rookery.shared.store.rows import pack_stanza
from rookery.shared.xeps.delayed_delivery import delay
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.offline.pages import MAX_BYTES, MAX_ROWS, prepare

BOB = Jid.parse("bob@example.org")
SEAL = Seal(b"secret")


def owed(id: int, text: str = "hi") -> Owed:
    stanza = Stanza.build(
        "message", Element("jabber:client", "body", {}, text), type="chat", to="bob@example.org"
    )
    return Owed(id, "alice@example.org", 1_700_000_000.5, pack_stanza(stanza), False, 1)


def test_each_message_gets_the_stamp_of_its_arrival_from_the_domain() -> None:
    page = prepare([owed(7)], BOB, SEAL)
    ((id, stanza),) = page.rows
    assert id == 7
    assert stanza.elements()[-1] == delay(1_700_000_000.5, "example.org", "Offline Storage")
    assert stanza.payloads[-1] == ("urn:xmpp:delay", "delay")


def test_a_short_page_is_the_last() -> None:
    assert prepare([], BOB, SEAL).last
    assert prepare([owed(1)], BOB, SEAL).last


def test_a_page_at_a_limit_is_not_the_last() -> None:
    assert not prepare([owed(n) for n in range(MAX_ROWS)], BOB, SEAL).last
    assert not prepare([owed(1, "x" * MAX_BYTES)], BOB, SEAL).last


def test_what_cannot_be_read_does_not_stop_the_rest() -> None:
    broken = Owed(2, "x", 0.0, b"\xc1", True, 1)
    page = prepare([owed(1), broken, owed(3)], BOB, SEAL)
    assert [id for id, _ in page.rows] == [1, 3]
    assert page.unreadable == [2]


def test_what_is_archived_has_the_id_that_an_archive_query_gives_it() -> None:
    page = prepare([owed(7)._replace(archived=True)], BOB, SEAL)
    ((_, stanza),) = page.rows
    given = stanza.find("urn:xmpp:sid:0", "stanza-id")
    assert given is not None
    assert (given.get("by"), given.get("id")) == ("bob@example.org", SEAL.seal(1, 7))

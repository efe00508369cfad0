"""The judge over rooms is judged: each count finds what it is there for, and nothing else."""

from __future__ import annotations

from tests.cluster.chaos.rooms import RoomBook, RoomVerdict, Spoken

FIRST, SECOND, THIRD = (Spoken(0, 1, n) for n in (1, 2, 3))
ARCHIVES = {0: [FIRST, SECOND, THIRD]}


def book(*heard: Spoken) -> RoomBook:
    """Client 1 has said three messages in room 0, all acknowledged; client 1 heard them all, client 2 heard `heard`."""
    found = RoomBook()
    for client in (1, 2):
        found.entered(client, client, 0, 1.0)
        found.stays[(client, client, 0)].nicks = {1, 2}
    for n, spoken in enumerate((FIRST, SECOND, THIRD)):
        found.said(spoken, 1, 2.0 + n).acked = 6.0
    for client, those in ((1, (FIRST, SECOND, THIRD)), (2, heard)):
        stay = found.stay(client, client, 0)
        assert stay is not None
        for spoken in those:
            found.heard(stay, spoken, 7.0, 1.0, False)
    return found


def counts(found: RoomBook, archives: dict[int, list[Spoken]] | None = ARCHIVES) -> dict[str, int]:
    """What is not zero."""
    verdict: RoomVerdict = found.verdict(archives)
    return {
        name: len(value) for name, value in zip(RoomVerdict._fields[:8], verdict[:8], strict=True) if value
    }


def test_nothing_is_wrong_when_all_heard_all_in_order() -> None:
    found = book(FIRST, SECOND, THIRD)
    assert counts(found) == {}
    assert found.settled()
    assert found.verdict(ARCHIVES).gap_longest == 5.0


def test_a_message_that_one_occupant_did_not_hear_is_lost() -> None:
    found = book(FIRST, THIRD)
    assert counts(found) == {"lost": 1}
    assert not found.settled()


def test_who_came_later_or_has_left_is_owed_nothing() -> None:
    found = book(FIRST, THIRD)
    found.entered(3, 3, 0, 9.0)
    found.stays[(3, 3, 0)].nicks = {1, 3}
    found.stays[(1, 1, 0)].nicks = {1, 3}
    found.ended(2, 2, 10.0)
    assert counts(found) == {}


def test_twice_in_one_stay_is_doubled_and_in_two_is_not() -> None:
    assert counts(book(FIRST, FIRST, SECOND, THIRD)) == {"doubled": 1}
    found = book(FIRST, SECOND, THIRD)
    found.ended(2, 2, 8.0)
    found.entered(2, 5, 0, 9.0)
    stay = found.stays[(2, 5, 0)]
    stay.nicks = {1, 2}
    found.heard(stay, THIRD, 9.0, 9.0, True)
    assert counts(found) == {}


def test_another_order_than_the_archive_has_is_turned() -> None:
    assert counts(book(FIRST, THIRD, SECOND)) == {"turned": 1}
    # Two senders, whose messages one occupant hears the other way round than all others.
    found = book(FIRST, SECOND, THIRD)
    other = Spoken(0, 2, 1)
    found.said(other, 2, 5.0).acked = 6.0
    for client in (1, 2):
        found.heard(found.stays[(client, client, 0)], other, 7.0, 1.0, False)
    assert counts(found, {0: [FIRST, SECOND, THIRD, other]}) == {}
    assert counts(found, {0: [FIRST, other, SECOND, THIRD]}) == {"turned": 2}


def test_the_archive_has_each_message_once() -> None:
    found = book(FIRST, SECOND, THIRD)
    assert counts(found, {0: [FIRST, THIRD]}) == {"missing_in_archive": 1}
    assert counts(found, {0: [FIRST, SECOND, SECOND, THIRD]}) == {"missing_in_archive": 1}
    assert counts(found, None) == {"missing_in_archive": 1}


def test_an_unavailable_about_a_session_that_lives_is_untrue() -> None:
    found = book(FIRST, SECOND, THIRD)
    found.tell(8.0, 1, 0, "unavailable", 2, 2)
    assert counts(found) == {"untrue": 1}
    found.ended(2, 2, 7.0)
    found.entered(2, 5, 0, 9.0)
    found.stays[(2, 5, 0)].nicks = {1, 2}
    assert counts(found) == {}, "a session of it had ended"


def test_who_is_told_that_it_is_not_in_was_put_out() -> None:
    found = book(FIRST, SECOND, THIRD)
    found.tell(8.0, 1, 0, "unavailable 110 332", 1, 1)
    assert counts(found) == {"put_out": 1}


def test_a_ghost_and_an_occupant_that_is_not_seen_are_found() -> None:
    found = book(FIRST, SECOND, THIRD)
    found.stays[(1, 1, 0)].nicks = {1, 2, 9}
    found.stays[(2, 2, 0)].nicks = {2}
    assert counts(found) == {"untrue": 2}


def test_what_is_never_acknowledged_or_comes_back_is_found() -> None:
    found = book(FIRST, SECOND, THIRD)
    found.fates[THIRD].acked = 0.0
    found.fates[SECOND].bounced = "not-acceptable"
    assert counts(found) == {"never_acked": 1, "bounced": 1}
    found.ended(1, 1, 9.0)
    found.stays[(2, 2, 0)].nicks = {2}
    assert counts(found) == {"bounced": 1}, "its session has ended: nobody knows"

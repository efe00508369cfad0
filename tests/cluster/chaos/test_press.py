"""The judge over nodes is judged: each count finds what it is there for, and nothing else."""

from __future__ import annotations

from tests.cluster.chaos.press import PressBook, PressVerdict, Published

NODE, OWN = "all0", "own0"
KEPT = {NODE: [1, 2, 3]}


def book(*heard: int) -> PressBook:
    """Session 1 has published three items, all answered; session 1 was told of all, session 2 of `heard`."""
    found = PressBook()
    for chain in (1, 2):
        found.listens(chain, chain, NODE, 1.0)
    for n in (1, 2, 3):
        found.sent(Published(NODE, n), 1, 2.0 + n)
        found.answered(Published(NODE, n), 6.0)
    for chain, those in ((1, (1, 2, 3)), (2, heard)):
        for n in those:
            found.told(chain, chain, Published(NODE, n), 7.0)
    return found


def counts(found: PressBook, kept: dict[str, list[int]] | None = KEPT) -> dict[str, int]:
    """What is not zero."""
    verdict = found.verdict(kept)
    return {
        name: len(value) for name, value in zip(PressVerdict._fields[:5], verdict[:5], strict=True) if value
    }


def test_nothing_is_wrong_when_all_are_told_of_all_in_order() -> None:
    found = book(1, 2, 3)
    assert counts(found) == {}
    assert (found.verdict(KEPT).notifications, found.open()) == (6, 0)


def test_what_a_session_was_not_told_of_is_lost_unless_it_came_later_or_is_over() -> None:
    found = book(1, 3)
    assert counts(found) == {"lost": 1}
    found.listens(3, 3, NODE, 9.0)
    assert counts(found) == {"lost": 1}
    found.ended(2, 9.0)
    assert counts(found) == {}


def test_twice_and_out_of_order() -> None:
    assert counts(book(1, 2, 2, 3)) == {"doubled": 1}
    assert counts(book(1, 3, 2)) == {"turned": 1}


def test_items_of_two_sessions_of_a_publisher_have_no_order() -> None:
    found = book(1, 3, 2)
    found.outcomes[Published(NODE, 3)].chain = 9
    assert counts(found) == {}


def test_what_was_answered_is_in_the_node() -> None:
    found = book(1, 2, 3)
    assert counts(found, {NODE: [1, 3]}) == {"missing": 1}
    assert counts(found, None) == {}
    found.sent(Published(NODE, 4), 1, 8.0)
    assert found.open() == 1
    found.answered(Published(NODE, 4), 9.0, "remote-server-timeout")
    assert counts(found) == {}, "a refusal promises nothing"


def test_a_node_that_keeps_one_item_has_the_newest_or_a_later_one() -> None:
    found = PressBook()
    for n in (3, 6):
        found.sent(Published(OWN, n), 1, 1.0)
        found.answered(Published(OWN, n), 2.0)
    assert counts(found, {OWN: [6]}) == {}
    assert counts(found, {OWN: [3]}) == {"missing": 1}
    assert counts(found, {OWN: []}) == {"missing": 2}


def test_what_nobody_published_is_told_of() -> None:
    found = book(1, 2, 3)
    found.told(1, 1, Published(NODE, 8), 9.0)
    assert counts(found) == {"invented": 1}

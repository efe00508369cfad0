"""The judge of two servers is judged: it excuses what a fault explains, at the other server, and nothing else."""

from __future__ import annotations

import pytest
from tests.cluster.chaos.abroad.faults import ALL, chosen
from tests.cluster.chaos.abroad.judge import AbroadLedger
from tests.cluster.chaos.ledger import Got

OURS, THEIRS = 0, 1


def ledger(sender: int, *got: float, foreign: bool = True, acked: float = 2.0) -> AbroadLedger:
    """One message that `sender` has sent, and when it arrived."""
    book = AbroadLedger(foreign=foreign)
    book.sent(sender, 1, 1, 1.0).acked = acked
    for at in got:
        book.got(sender ^ 1, sender, 1, Got(at, 0, False))
    return book


def test_what_our_server_has_acknowledged_is_never_excused() -> None:
    book = ledger(OURS)
    book.kills.append(5.0)
    book.breaks.append((0.0, 100.0))
    assert len(book.verdict().lost) == 1
    assert not book.settled()


@pytest.mark.parametrize(("killed", "lost"), [(5.0, 0), (0.5, 1)])
def test_what_the_other_server_had_when_it_was_killed_is_its_own_loss(killed: float, lost: int) -> None:
    book = ledger(THEIRS)
    book.kills.append(killed)
    assert len(book.verdict().lost) == lost
    assert len(book.excused.lost_with_it) == 1 - lost
    assert book.settled() is not bool(lost)


@pytest.mark.parametrize(
    ("sender", "broken", "foreign", "doubled"),
    [
        (OURS, True, True, 0),
        (OURS, False, True, 1),
        (THEIRS, True, True, 1),
        (OURS, True, False, 1),
    ],
)
def test_twice_only_at_the_other_server_and_only_over_a_broken_stream(
    sender: int, broken: bool, foreign: bool, doubled: int
) -> None:
    book = ledger(sender, 3.0, 9.0, foreign=foreign)
    if broken:
        book.breaks.append((5.0, 6.0))
    else:
        book.breaks.append((100.0, 101.0))
    assert len(book.verdict().duplicates) == doubled
    assert len(book.excused.sent_again) == 1 - doubled


@pytest.mark.parametrize(("sender", "kept"), [(OURS, 1), (THEIRS, 0)])
def test_what_came_back_and_arrived_is_excused_at_the_other_server_alone(sender: int, kept: int) -> None:
    book = ledger(sender, 3.0)
    book.bounced(sender, 1, 8.0, "remote-server-timeout")
    book.breaks.append((5.0, 6.0))
    assert len(book.verdict().bounced_and_delivered) == kept


@pytest.mark.parametrize(("sender", "kept"), [(OURS, 1), (THEIRS, 0)])
def test_order_is_the_other_servers_own_where_it_overtakes_itself(sender: int, kept: int) -> None:
    book = AbroadLedger(foreign=True)
    for n in (1, 2):
        book.sent(sender, n, 1, 1.0)
    for n in (2, 1):
        book.got(sender ^ 1, sender, n, Got(4.0, 0, False))
    book.breaks.append((2.0, 3.0))
    assert len(book.verdict().inversions) == kept


def test_faults_are_chosen_by_name_or_id() -> None:
    assert {fault.name for fault in chosen("abroad")} == {f.name for f in ALL if f.id.startswith("S")}
    assert {fault.name for fault in chosen("S01,cut")} == {"s2s-kill", "s2s-midway", "cut"}
    assert len(chosen("all,-roll")) == len(ALL) - 1
    with pytest.raises(ValueError, match="no such fault"):
        chosen("nothing")

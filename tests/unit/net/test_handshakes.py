"""How much of the loop's time handshakes get."""

from __future__ import annotations

from rookery.shared.net.handshakes import BURST, PENALTY, SHARE, Budget


def test_a_burst_is_done_at_once_and_then_paid_back() -> None:
    budget = Budget()
    for _ in range(3):
        assert budget.allows(10.0)
        budget.spend(BURST * 0.45)
    debt = 3 * 0.45 * BURST - BURST
    assert not budget.allows(10.0 + 0.9 * debt / SHARE)
    assert budget.allows(10.0 + 1.1 * debt / SHARE)


def test_no_more_than_its_share_in_the_long_run() -> None:
    budget, now, spent = Budget(), 0.0, 0.0
    while now < 1.0:
        if budget.allows(now):
            budget.spend(0.0002)
            spent += 0.0002
        now += 0.0001
    assert 0.8 * SHARE < spent < SHARE + 2 * BURST


def test_a_slow_key_is_for_the_threads() -> None:
    budget = Budget()
    assert budget.allows(0.0)
    budget.spend(0.004)
    assert not budget.allows(PENALTY / SHARE / 2)
    assert budget.allows(PENALTY / SHARE)

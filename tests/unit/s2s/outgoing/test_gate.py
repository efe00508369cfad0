"""Who may try to connect: domains that fail wait for one another, never those that work."""

from __future__ import annotations

from rookery.workers.s2s.outgoing.gate import Gate, Standing


def test_failing_domains_do_not_hold_up_good_ones() -> None:
    gate = Gate({Standing.GOOD: 2, Standing.NEW: 1, Standing.FAILING: 1})
    went: list[str] = []
    for name in ("dead1", "dead2", "dead3"):
        gate.enter(name, Standing.FAILING, lambda name=name: went.append(name))
    gate.enter("good", Standing.GOOD, lambda: went.append("good"))
    assert went == ["dead1", "good"]
    gate.leave("dead1")
    assert went == ["dead1", "good", "dead2"]
    assert gate.trying == 2


def test_who_leaves_the_line_is_not_called() -> None:
    gate = Gate({Standing.GOOD: 1, Standing.NEW: 1, Standing.FAILING: 1})
    went: list[str] = []
    for name in ("a", "b", "c"):
        gate.enter(name, Standing.NEW, lambda name=name: went.append(name))
    gate.leave("b")
    gate.leave("a")
    gate.leave("nobody")
    assert went == ["a", "c"]

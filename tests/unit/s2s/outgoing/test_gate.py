"""Who may try to connect: domains that fail wait for one another, never those that work."""

from __future__ import annotations

from rookery.workers.s2s.outgoing.gate import STRANGE_A_TICK, Gate, Standing


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


def test_attempts_that_stall_keep_nobody_out() -> None:
    gate = Gate({Standing.GOOD: 1, Standing.NEW: 2, Standing.FAILING: 1}, dict.fromkeys(Standing, 8))
    went: list[str] = []
    for name in ("silent1", "silent2", "silent3", "healthy"):
        gate.enter(name, Standing.NEW, lambda name=name: went.append(name))
    assert went == ["silent1", "silent2"]
    gate.tick()
    assert went == ["silent1", "silent2"], "they may have come just before the tick"
    gate.tick()
    assert went == ["silent1", "silent2", "silent3", "healthy"]
    assert gate.trying == 4
    for name in went:
        gate.leave(name)
    assert gate.trying == 0
    gate.enter("one", Standing.NEW, lambda: went.append("one"))
    gate.enter("two", Standing.NEW, lambda: went.append("two"))
    gate.enter("three", Standing.NEW, lambda: went.append("three"))
    assert went[4:] == ["one", "two"], "places are counted right after stalled ones have left"


def test_attempts_that_stall_are_bounded() -> None:
    gate = Gate(dict.fromkeys(Standing, 1), dict.fromkeys(Standing, 2))
    went: list[int] = []
    for number in range(8):
        gate.enter(str(number), Standing.FAILING, lambda number=number: went.append(number))
    for _ in range(20):
        gate.tick()
    assert went == [0, 1, 2], "two have stalled, the third keeps its place"
    gate.leave("0")
    gate.tick()
    assert went == [0, 1, 2, 3]
    assert gate.trying == 3


def test_answers_to_strangers_cause_few_attempts_and_keep_nobody_out() -> None:
    gate = Gate()
    went: list[str] = []
    for number in range(10_000):
        gate.enter(f"n{number}.big.example", Standing.STRANGE, lambda number=number: went.append(str(number)))
    assert len(went) == STRANGE_A_TICK
    gate.enter("new", Standing.NEW, lambda: went.append("new"))
    assert went[-1] == "new"
    for _ in range(100):
        for name in went:
            gate.leave(f"n{name}.big.example")
        gate.tick()
    assert len(went) == 1 + 101 * STRANGE_A_TICK

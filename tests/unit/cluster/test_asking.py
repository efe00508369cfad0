"""Questions for holders: none without need, the first one late, then fewer and fewer."""

from __future__ import annotations

import itertools

from rookery.shared.cluster.asking import FIRST_SECONDS, LONGEST_SECONDS, Asking


def asked(asking: Asking, seconds: int, waiting: bool = True, begin: int = 0) -> list[int]:
    return [now for now in range(begin, begin + seconds) if asking.due(waiting, now)]


def test_nothing_is_asked_while_nothing_waits() -> None:
    assert asked(Asking(lambda: 0.5), 100, waiting=False) == []


def test_questions_become_rare_while_nobody_answers() -> None:
    times = asked(Asking(lambda: 0.5), 200)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] == FIRST_SECONDS
    assert gaps == sorted(gaps)
    assert gaps[-1] == LONGEST_SECONDS
    assert len(times) < 20


def test_a_holder_that_is_found_in_time_costs_no_question_and_the_next_need_begins_anew() -> None:
    asking = Asking(lambda: 0.5)
    assert not asking.due(True, 0.0)
    assert not asking.due(False, 1.0)
    assert not asking.due(True, 2.0)
    assert asking.due(True, 3.0)


def test_chance_spreads_processes() -> None:
    early, late = Asking(lambda: 0.0), Asking(lambda: 1.0)
    assert asked(early, 3)[0] < asked(late, 3)[0]

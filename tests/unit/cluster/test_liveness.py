"""Who lives, as beats tell it, and what silence proves."""

from __future__ import annotations

from rookery.shared.bus.messages import VERSION, Beat, Kind
from rookery.shared.cluster.liveness import LOST_SECONDS, Liveness


def beat(name: str) -> Beat:
    return Beat(name, (int(Kind.EDGE),), 0, "up", VERSION)


def test_who_is_silent_is_lost() -> None:
    liveness = Liveness("me", 0.0)
    assert liveness.heard(beat("edge"), 1.0)
    assert liveness.lose(1.0 + LOST_SECONDS - 0.1) == []
    assert liveness.lose(1.0 + LOST_SECONDS) == ["edge"]
    assert liveness.of_kind(Kind.EDGE) == []
    assert liveness.heard(beat("edge"), 9.0)


def test_who_stood_still_itself_takes_nobody_for_lost() -> None:
    liveness = Liveness("me", 0.0)
    liveness.heard(beat("edge"), 1.0)
    liveness.paused(20.0)
    assert liveness.lose(20.0) == []
    assert not liveness.silent("edge", 3.0, 22.0)
    assert liveness.silent("edge", 3.0, 23.0)
    assert liveness.lose(20.0 + LOST_SECONDS) == ["edge"]


def test_a_pause_without_the_bus_changes_nothing() -> None:
    liveness = Liveness("me", 0.0)
    liveness.heard(beat("edge"), 1.0)
    liveness.hearing(False, 2.0)
    liveness.paused(20.0)
    assert not liveness.silent("edge", 3.0, 40.0)
    assert liveness.lose(40.0) == []

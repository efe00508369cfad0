"""Who counts as lost on the bus, and who may be taken over."""

from __future__ import annotations

import pytest

from rookery.shared.bus.messages import VERSION, Beat, Kind
from rookery.shared.cluster.evidence import Evidence
from rookery.shared.cluster.leases import Lease
from rookery.shared.cluster.liveness import LOST_SECONDS, Liveness
from rookery.shared.cluster.members import Member
from rookery.shared.config import Cluster

ROUTER = frozenset({"router"})


def beat(name: str, kind: Kind = Kind.ROUTER, *, state: str = "up", version: int = VERSION) -> Beat:
    return Beat(name, (int(kind),), 0, state, version)


def member(name: str, late: float = -2.5, *, draining: bool = False, fenced: bool = False) -> Member:
    return Member(name, ROUTER, draining, not fenced, late)


class Scene:
    """`me` and `other`, both members and heard at second 0."""

    def __init__(self) -> None:
        self.liveness = Liveness("me", 0.0)
        self.evidence = Evidence("me", self.liveness, Cluster())
        self.liveness.heard(beat("other"), 0.0)
        self.evidence.look([member("me"), member("other")], 0.0)

    def at(self, now: float, late: float) -> tuple[set[str], set[str]]:
        self.evidence.look([member("me"), member("other", late)], now)
        return self.evidence.dead(now)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_silent_on_the_bus_counts_after_a_lease(scene: Scene) -> None:
    assert scene.at(2.9, -0.1) == (set(), set())
    assert scene.at(3.0, 0.1) == (set(), {"other"})


def test_expired_but_heard_is_not_dead_until_the_silent_limit(scene: Scene) -> None:
    for second in range(1, 16):
        scene.liveness.heard(beat("other"), float(second))
        assert scene.at(float(second), second - 0.5) == (set(), set())
    scene.liveness.heard(beat("other"), 16.0)
    assert scene.at(16.0, 15.5) == (set(), {"other"})


def test_after_an_outage_of_postgres_nobody_is_dead_although_all_rows_have_expired(scene: Scene) -> None:
    scene.evidence.blind()
    scene.liveness.heard(beat("other"), 60.0)
    scene.liveness.yielded("other", 60.0)
    assert scene.at(60.1, 57.0) == (set(), set())


def test_own_connection_away_means_that_silence_proves_nothing(scene: Scene) -> None:
    scene.liveness.hearing(False, 1.0)
    assert scene.at(10.0, 7.0) == (set(), set())
    assert scene.liveness.lose(10.0) == []
    scene.liveness.hearing(True, 10.0)
    assert scene.at(12.9, 9.0) == (set(), set())
    assert scene.at(13.0, 9.1) == (set(), {"other"})


def test_who_yields_is_dead_once_its_row_has_expired(scene: Scene) -> None:
    scene.at(3.0, -2.0)
    scene.liveness.heard(beat("other"), 6.0)
    scene.liveness.yielded("other", 6.0)
    assert scene.at(6.1, 1.0) == (set(), {"other"})
    scene.liveness.heard(beat("other"), 9.0)
    assert scene.at(9.0, 1.0) == (set(), set()), "it has not asked again"


def test_who_left_or_is_fenced_consents_at_once(scene: Scene) -> None:
    assert scene.liveness.left("other")
    assert scene.at(0.5, -2.0) == ({"other"}, set())
    other = Scene()
    other.evidence.look([member("me"), member("other", fenced=True)], 0.5)
    assert other.evidence.dead(0.5) == ({"other"}, set())


def test_we_are_never_dead_ourselves(scene: Scene) -> None:
    assert not scene.liveness.left("me")
    scene.evidence.look([member("me", 100.0), member("other")], 0.5)
    assert scene.evidence.dead(100.0)[0] == set()
    assert "me" in scene.evidence.live()


def test_leases_that_can_be_claimed(scene: Scene) -> None:
    def lease(holder: str | None) -> list[Lease]:
        return [Lease(Kind.ROUTER, 1, holder, 1)]

    assert scene.evidence.free(lease(None), 0.5)
    assert scene.evidence.free(lease("stranger"), 0.5)
    assert not scene.evidence.free(lease("other"), 0.5)
    scene.at(4.0, 1.0)
    assert scene.evidence.free(lease("other"), 4.0)


def test_who_drains_is_given_nothing(scene: Scene) -> None:
    assert set(scene.evidence.live()) == {"me", "other"}
    scene.liveness.heard(beat("other", state="draining"), 0.5)
    assert set(scene.evidence.live()) == {"me"}
    scene.evidence.look([member("me"), member("late", 0.5), member("drains", draining=True)], 1.0)
    assert set(scene.evidence.live()) == {"me"}


def test_late_member_makes_beats_quicker_and_a_change_is_told_once(scene: Scene) -> None:
    assert not scene.evidence.suspects
    assert not scene.evidence.look([member("me"), member("other")], 1.0)
    assert not scene.evidence.look([member("me"), member("other", -0.2)], 2.0)
    assert scene.evidence.suspects
    assert scene.evidence.look([member("me"), member("other", 0.2)], 2.2)
    assert scene.evidence.look([member("me")], 3.0)
    assert not scene.evidence.look([member("me")], 4.0)


def test_cut_off_from_postgres_for_a_lease(scene: Scene) -> None:
    assert not scene.evidence.cut_off(2.9)
    assert scene.evidence.cut_off(3.1)
    assert not Evidence("me", scene.liveness, Cluster()).cut_off(100.0), "it never held anything"


# --- liveness ---


def test_process_is_found_lost_and_found_again() -> None:
    liveness = Liveness("me", 0.0)
    assert liveness.heard(beat("edge1", Kind.EDGE), 1.0)
    assert not liveness.heard(beat("edge1", Kind.EDGE), 2.0)
    assert liveness.of_kind(Kind.EDGE) == ["edge1"]
    assert liveness.lose(2.0 + LOST_SECONDS - 0.01) == []
    assert liveness.lose(2.0 + LOST_SECONDS) == ["edge1"]
    assert liveness.of_kind(Kind.EDGE) == []
    assert liveness.heard(beat("edge1", Kind.EDGE), 9.0)


def test_who_left_does_not_come_back_by_a_late_beat() -> None:
    liveness = Liveness("me", 0.0)
    liveness.heard(beat("a"), 0.0)
    assert liveness.left("a")
    assert not liveness.left("a")
    assert not liveness.heard(beat("a"), 0.1)
    assert liveness.gone("a")


def test_own_beats_are_not_news() -> None:
    assert not Liveness("me", 0.0).heard(beat("me"), 0.0)


@pytest.mark.parametrize(
    ("theirs", "writes"), [(VERSION, VERSION), (VERSION + 1, VERSION), (VERSION - 1, max(1, VERSION - 1))]
)
def test_lowest_version_alive_is_written(theirs: int, writes: int) -> None:
    liveness = Liveness("me", 0.0)
    liveness.heard(beat("a", version=theirs), 0.0)
    assert liveness.lowest_version() == writes

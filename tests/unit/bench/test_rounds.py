"""Operations that a client does one at a time: those that never began or never ended are failures, not silence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit.bench.scenes import SECOND, WINDOW, Scene

from rookery.bench.driver.client import Client
from rookery.bench.scenarios._rounds import Rounds


class Slow(Rounds):
    """Operations that end when the test says so."""

    operation = "slow"

    def one(self, client: Client, intended: int) -> None:
        """Nothing yet."""
        client.hold = intended


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene(users=4, rate=10.0, scenario="login")
    yield scene
    scene.close()


def test_what_finds_nobody_or_no_end_failed(scene: Scene) -> None:
    slow = Slow(scene.driver)
    slow.begin(WINDOW)
    for number in range(7):
        slow._due(number * SECOND)
    scene.now = 9 * SECOND
    first = scene.driver.clients[0]
    slow.ended(first, "", first.hold)
    assert first.hold == 4 * SECOND  # it took one that waited, with its own intended time
    slow.finish()
    assert slow.outstanding() == 4
    slow.abandon()
    part = scene.recorder.tick(0).parts["slow"]
    assert part.errors == {"not-begun": 2, "unfinished": 4}
    assert sum(count for _, count in part.counts) == 1

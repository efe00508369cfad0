"""Operations that a client does one at a time: those that never began or never ended are failures, not silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.bench.scenes import SECOND, WINDOW, Scene

from rookery.bench.driver.client import Client
from rookery.bench.scenarios._rounds import Rounds
from rookery.bench.scenarios.back import Back, Token
from rookery.bench.scenarios.resume import Managed, Resume


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


class Returning:
    """A client that is back at once, with what it noted on its way."""

    open = True

    def __init__(self, hold: Managed) -> None:
        self.hold = hold
        self.marks: dict[str, int] = {}

    def close(self) -> None:
        """It was cut."""


@pytest.mark.parametrize(("kind", "hold"), [(Resume, Managed("id")), (Back, Token())])
def test_who_comes_back_counts_once(scene: Scene, kind: type[Resume], hold: Managed) -> None:
    """The script notes its end, too."""

    def start(client: Any, script: object, over: Callable[[Any, str], None]) -> None:
        scene.now += SECOND
        client.marks = {"connect": SECOND // 2, kind.operation: SECOND}
        over(client, "")

    scene.start = start  # type: ignore[attr-defined]
    returning = kind(scene.driver)
    returning._window = WINDOW
    client: Any = Returning(hold)
    returning.one(client, 0)
    parts = scene.recorder.tick(0).parts
    assert {name: sum(count for _, count in part.counts) for name, part in parts.items()} == {
        "connect": 1,
        kind.operation: 1,
    }

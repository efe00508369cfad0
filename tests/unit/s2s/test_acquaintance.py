"""Strangers are looked up when they are new, once more a second later, and all of them now and then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import trio

from rookery.workers.s2s.acquaintance import AGAIN_SECONDS, LATER_SECONDS, SOON_SECONDS, Acquaintance


class World:
    """A database with the domains that somebody has written to, and the strangers."""

    def __init__(self) -> None:
        self.db = self
        self.friends: set[str] = set()
        self.known: set[str] = set()
        self.asked: list[list[str]] = []

    async def run(self, partition: int, work: Callable[[Any], Any], *, op: str = "") -> Any:
        await trio.lowlevel.checkpoint()
        return await work(self)

    async def fetch(self, query: str, names: Sequence[str]) -> list[dict[str, str]]:
        self.asked.append(list(names))
        return [{"remote": name} for name in names if name in self.friends]

    def strangers(self) -> list[str]:
        return sorted(self.known)

    def befriend(self, remote: str) -> None:
        self.known.discard(remote)

    def come(self, one: Acquaintance, remote: str) -> None:
        self.known.add(remote)
        one.new(remote)


async def test_who_is_looked_up_and_when(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    one = Acquaintance(world, world)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.sleep(0.1)
        world.known.add("old.example")
        world.friends.add("a.example")
        world.come(one, "a.example")
        world.come(one, "late.example")
        await trio.sleep(2 * SOON_SECONDS)
        assert world.asked == [["a.example", "late.example"]], "not everybody"
        assert world.known == {"old.example", "late.example"}
        world.friends.add("late.example")  # the row of the first message to it was on its way
        for n in range(20):  # others come all the time
            world.come(one, f"n{n}.example")
            await trio.sleep(1.5 * SOON_SECONDS)
        await trio.sleep(LATER_SECONDS / 2)
        assert "late.example" not in world.known
        assert sum("late.example" in names for names in world.asked) == 2
        world.friends.add("old.example")
        await trio.sleep(AGAIN_SECONDS)
        assert "old.example" not in world.known
        nursery.cancel_scope.cancel()

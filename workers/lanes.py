"""Work that is done one after the other for each key, and side by side for different keys.

A worker's `receive` must not block: what needs the database becomes a job in the lane of its bare JID. A lane exists only
while it has jobs, so an idle worker has no tasks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio

Job = Callable[[], Awaitable[None]]


class _Lane:
    __slots__ = ("jobs", "scope")

    def __init__(self, job: Job) -> None:
        self.jobs = deque((job,))
        self.scope = trio.CancelScope()


class Lanes:
    """Serial lanes by (partition, key). Jobs must not raise; they run once `run` does."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[int, str], _Lane] = {}
        self._drained: dict[int, trio.Event] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Do the jobs until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for key, lane in self._lanes.items():
                nursery.start_soon(self._work, key, lane)
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def busy(self, partition: int, key: str) -> bool:
        """Whether the key has jobs that are not done: what comes after them has to wait in the same lane."""
        return (partition, key) in self._lanes

    def any(self) -> bool:
        """Whether any job is not done."""
        return bool(self._lanes)

    def submit(self, partition: int, key: str, job: Job) -> None:
        """Add a job at the end of the key's lane."""
        lane = self._lanes.get((partition, key))
        if lane is not None:
            lane.jobs.append(job)
            return
        lane = self._lanes[partition, key] = _Lane(job)
        if self._nursery is not None:
            self._nursery.start_soon(self._work, (partition, key), lane)

    async def drain(self, partition: int) -> None:
        """Wait until every lane of the partition is empty."""
        while any(key[0] == partition for key in self._lanes):
            await self._drained.setdefault(partition, trio.Event()).wait()

    def drop(self, partition: int) -> None:
        """Forget the jobs of the partition; one that runs is cancelled."""
        for key in [key for key in self._lanes if key[0] == partition]:
            lane = self._lanes[key]
            lane.jobs.clear()
            lane.scope.cancel()
            self._finish(key, lane)

    async def _work(self, key: tuple[int, str], lane: _Lane) -> None:
        try:
            with lane.scope:
                while lane.jobs:
                    await lane.jobs.popleft()()
        finally:
            self._finish(key, lane)

    def _finish(self, key: tuple[int, str], lane: _Lane) -> None:
        # A dropped lane may still be unwinding while a new one has its key.
        if self._lanes.get(key) is lane:
            del self._lanes[key]
            drained = self._drained.pop(key[0], None)
            if drained is not None:
                drained.set()

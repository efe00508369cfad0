"""Work that is done one after the other for each key, and side by side for different keys.

A worker's `receive` must not block: what needs the database becomes a job in the lane of its bare JID. A lane exists only
while it has jobs, so an idle worker has no tasks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio

Job = Callable[[], Awaitable[None]]


class Lanes:
    """Serial lanes by (partition, key). Jobs must not raise; they run once `run` does."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[int, str], deque[Job]] = {}
        self._scopes: dict[tuple[int, str], trio.CancelScope] = {}
        self._waiting: dict[int, trio.Event] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Do the jobs until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for lane in self._lanes:
                nursery.start_soon(self._work, lane)
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
        lane = (partition, key)
        jobs = self._lanes.get(lane)
        if jobs is not None:
            jobs.append(job)
            return
        self._lanes[lane] = deque((job,))
        if self._nursery is not None:
            self._nursery.start_soon(self._work, lane)

    async def drain(self, partition: int) -> None:
        """Wait until every lane of the partition is empty."""
        while any(lane[0] == partition for lane in self._lanes):
            await self._waiting.setdefault(partition, trio.Event()).wait()

    def drop(self, partition: int) -> None:
        """Forget the jobs of the partition; one that runs is cancelled."""
        for lane in [lane for lane in self._lanes if lane[0] == partition]:
            self._lanes[lane].clear()
            scope = self._scopes.get(lane)
            if scope is None:
                self._finish(lane)
            else:
                scope.cancel()

    async def _work(self, lane: tuple[int, str]) -> None:
        jobs = self._lanes.get(lane)
        if jobs is None or lane in self._scopes:
            return
        with trio.CancelScope() as scope:
            self._scopes[lane] = scope
            try:
                while jobs:
                    await jobs[0]()
                    if jobs:
                        jobs.popleft()
            finally:
                self._finish(lane)

    def _finish(self, lane: tuple[int, str]) -> None:
        self._lanes.pop(lane, None)
        self._scopes.pop(lane, None)
        event = self._waiting.pop(lane[0], None)
        if event is not None:
            event.set()

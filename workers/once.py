"""Which requests a worker has: what is sent to it again is done once, and answered once.

An edge sends again what was not accepted: after a while, and as soon as a partition has another holder. Meanwhile the request may wait in
its lane, or be done and its acceptance be on the way. A pure machine.
"""

from __future__ import annotations

from typing import Final

from rookery.shared.bus.messages import Origin

#: Done requests that are remembered, at least.
DONE: Final = 8192

_Uid = tuple[bytes, int]


class Once:
    """Requests by their uids. What is under way is known exactly, what is done for a while."""

    __slots__ = ("_done", "_older", "_running")

    def __init__(self) -> None:
        self._running: dict[int, set[tuple[bytes, int, bool]]] = {}
        self._done: set[_Uid] = set()
        self._older: set[_Uid] = set()

    def begin(self, partition: int, origin: Origin, outbound: bool) -> bool:
        """False when the request waits or runs already. `outbound` as in Handle: one stanza may come from both sides."""
        if not origin.stream:
            return True
        running = self._running.setdefault(partition, set())
        key = (origin.stream, origin.n, outbound)
        if key in running:
            return False
        running.add(key)
        return True

    def end(self, partition: int, origin: Origin, outbound: bool) -> None:
        """It runs no more, whether it was done or not."""
        running = self._running.get(partition)
        if running is not None:
            running.discard((origin.stream, origin.n, outbound))
            if not running:
                del self._running[partition]

    def done(self, origin: Origin) -> None:
        """It was accepted."""
        if origin.stream:
            self._done.add((origin.stream, origin.n))
            if len(self._done) >= DONE:
                self._older, self._done = self._done, set()

    def is_done(self, origin: Origin) -> bool:
        """Whether it was accepted lately."""
        uid = (origin.stream, origin.n)
        return uid in self._done or uid in self._older

    def forget(self, partition: int) -> None:
        """Nothing of the partition runs any more."""
        self._running.pop(partition, None)

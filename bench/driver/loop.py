"""The event loop of a driver process: epoll, a heap of timers, nothing else.

epoll waits in whole milliseconds; for a nearer timer the epoll descriptor itself is waited for by `select`, which knows
microseconds: an intended send time would otherwise be missed by up to one millisecond, more than a fast server takes.
"""

from __future__ import annotations

import ctypes
import heapq
import select
import time
from collections.abc import Callable
from typing import Final

Clock = Callable[[], int]
Handler = Callable[[int], None]
Action = Callable[[int], None]

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
#: Timers nearer than this are waited for by select.
_NEAR_NS: Final = 2_500_000
_FAR_NS: Final = 1_000_000_000
_BATCH: Final = 512
_PR_SET_TIMERSLACK: Final = 29


class Loop:
    """Handlers by file descriptor, actions by time (nanoseconds of the monotonic clock, which all processes share)."""

    __slots__ = ("_epoll", "_number", "_running", "_timers", "clock", "handlers")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._timers: list[tuple[int, int, Action]] = []
        self._number = 0
        self._running = False
        self.clock: Clock = time.monotonic_ns
        #: Called with the events of the descriptor; replaced in place when a connection enters its next phase.
        self.handlers: dict[int, Handler] = {}
        # Sleeps end within a microsecond instead of 50: intended times are kept.
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)

    def add(self, fd: int, events: int, handler: Handler) -> None:
        """Watch a descriptor."""
        self.handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Watch it for other events."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Watch it no more; before it is closed."""
        if self.handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def at(self, due: int, action: Action) -> None:
        """Call `action(now)` when the clock has reached `due`."""
        self._number += 1
        heapq.heappush(self._timers, (due, self._number, action))

    def stop(self) -> None:
        """Let `run` return."""
        self._running = False

    def run(self) -> None:
        """Serve until `stop`."""
        self._running = True
        timers, clock, poll, handlers = self._timers, self.clock, self._epoll.poll, self.handlers
        while self._running:
            now = clock()
            while timers and timers[0][0] <= now:
                heapq.heappop(timers)[2](now)
            wait = timers[0][0] - clock() if timers else _FAR_NS
            if wait <= 0:
                timeout = 0.0
            elif wait < _NEAR_NS:
                select.select((self._epoll,), (), (), wait / 1e9)
                timeout = 0.0
            else:
                timeout = min(wait - 1_000_000, _FAR_NS) / 1e9
            for fd, events in poll(timeout, _BATCH):
                handler = handlers.get(fd)
                # An earlier handler of this batch may have closed it.
                if handler is not None:
                    handler(events)

    def close(self) -> None:
        """Free the epoll descriptor."""
        self._epoll.close()

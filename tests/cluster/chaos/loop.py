"""One thread that waits for sockets and timers, and runs scripts.

The runner shares two cores with the cluster that it measures, so its clients are callbacks on one selector. A script is a generator:
it yields seconds to sleep, or a condition to wait for.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import time
from collections.abc import Callable, Generator
from typing import Final, Protocol

#: How often conditions that scripts wait for are looked at, in seconds.
POLL: Final = 0.02

Script = Generator["float | Callable[[], bool]", None, None]


class Watcher(Protocol):
    """Whoever owns a socket."""

    @property
    def closed(self) -> bool:
        """Whether the socket is no more."""

    def readable(self) -> None:
        """There is something to read, or the connection has ended."""

    def writable(self) -> None:
        """There is room to write, or a connection attempt is decided."""


class Timer:
    """A call in the future; `cancel` makes it none."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """It will not be called."""
        self.call = None


class Loop:
    """See the module's text. `now` is monotonic, in seconds, and the same during one round."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self.now = time.monotonic()
        #: The longest time that a round took: the runner must not be what stalls.
        self.longest = 0.0

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call soon after so many seconds."""
        timer = Timer(call)
        heapq.heappush(self._timers, (self.now + seconds, next(self._order), timer))
        return timer

    def watch(self, sock: socket.socket, watcher: Watcher, *, write: bool) -> None:
        """Tell `watcher` when the socket can be read, and written if `write`."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)
        try:
            self._selector.modify(sock, events, watcher)
        except KeyError:
            self._selector.register(sock, events, watcher)

    def forget(self, sock: socket.socket) -> None:
        """Stop watching."""
        try:
            self._selector.unregister(sock)
        except (KeyError, ValueError):
            pass

    def spawn(self, script: Script, done: Callable[[], None] | None = None) -> None:
        """Run a script beside the others; `done` is called after its end."""

        def step() -> None:
            try:
                wanted = next(script)
            except StopIteration:
                if done is not None:
                    done()
                return
            if callable(wanted):
                wait(wanted)
            else:
                self.after(wanted, step)

        def wait(condition: Callable[[], bool]) -> None:
            if condition():
                step()
            else:
                self.after(POLL, lambda: wait(condition))

        self.after(0, step)

    def run(self, until: Callable[[], bool]) -> None:
        """Turn until the condition holds after a round."""
        while not until():
            self.now = began = time.monotonic()
            wait = POLL if not self._timers else max(0.0, min(POLL, self._timers[0][0] - began))
            for key, events in self._selector.select(wait):
                if events & selectors.EVENT_READ and not key.data.closed:
                    key.data.readable()
                # What it did there may have closed the socket.
                if events & selectors.EVENT_WRITE and not key.data.closed:
                    key.data.writable()
            self.now = time.monotonic()
            while self._timers and self._timers[0][0] <= self.now:
                timer = heapq.heappop(self._timers)[2]
                if timer.call is not None:
                    timer.call()
            self.longest = max(self.longest, time.monotonic() - began - wait)

    def close(self) -> None:
        """Release the selector."""
        self._selector.close()

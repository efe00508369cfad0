"""The reactor: one trio task that waits for an inner epoll and then serves all ready sockets without blocking.

A trio task per connection costs a task switch and two system calls per read; here a turn costs one wait, one `epoll_wait` and then
only the work. Each turn is one batch for the bus and, for each connection, at most one send.

A turn is bounded: each source does a bounded piece of work (64 stanzas or 32 KiB) and asks to be called again with
`again`; the whole turn ends after TURN_SECONDS, and what is left goes first in the next one.

A process that stood still for STANDSTILL_SECONDS or more (stopped, swapped out, moved to another host) reads nothing of what came
meanwhile: its peers may have given it up, gone elsewhere and said newer things there. It gives up all its sockets first.
"""

from __future__ import annotations

import math
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Final, Protocol

import structlog
import trio

from rookery.shared.net.timers import NEVER, Timed, Wheel

_log = structlog.get_logger()
READ: Final = select.EPOLLIN | select.EPOLLRDHUP
WRITE: Final = select.EPOLLOUT
GONE: Final = select.EPOLLHUP | select.EPOLLERR
TURN_SECONDS: Final = 0.005
#: After so long a standstill what waits in sockets is not read; how often the clock is looked at.
STANDSTILL_SECONDS: Final = 3.0
_HEART_SECONDS: Final = 0.5
#: How many sources are served between two looks at the clock.
_LOOK: Final = 16


class Source(Protocol):
    """Something with a file descriptor in the reactor. `open` turns False when it was closed."""

    open: bool

    def on_events(self, mask: int) -> None:
        """Its descriptor is ready (epoll's mask)."""

    def on_again(self) -> None:
        """It asked with `again` to be called in the next turn."""

    def abort(self, reason: str) -> None:
        """Close it: its own code has failed."""


class Flushable(Protocol):
    """Something with bytes to send at the end of a turn."""

    def flush(self) -> None:
        """Send what was queued; called once for each `dirty`."""

    def abort(self, reason: str) -> None:
        """Close it: its own code has failed."""


class Reactor:
    """One inner epoll, its sources, the timer wheel, and the end of each turn."""

    def __init__(self, standstill: float = STANDSTILL_SECONDS) -> None:
        self._standstill = standstill
        #: The clock now, for what happens outside of turns: trio's, without the calls around it once this runs.
        self.clock: Callable[[], float] = trio.current_time
        self.wheel = Wheel()
        #: The clock of the current turn (trio's clock, seconds).
        self.now = 0.0
        #: Called at the end of each turn, before sockets are closed: the bus sends its batches here.
        self.on_turn_end: Callable[[], None] = lambda: None
        #: Called when this process stood still, after all sources were aborted.
        self.on_standstill: Callable[[], None] = lambda: None
        self._expected = math.inf
        #: Turns, and sources served: for metrics and tests.
        self.turns = 0
        self._epoll = select.epoll()
        self._sources: dict[int, Source] = {}
        self._again: list[Source] = []
        self._carry: list[tuple[Source, int]] = []
        self._dirty: list[Flushable] = []
        self._graves: list[socket.socket] = []
        self._lot = trio.lowlevel.ParkingLot()
        self._sleep = trio.CancelScope()
        #: In a turn; `_in_turn` also while the flusher ends one.
        self._serving = False
        self._in_turn = False

    # --- sources ---

    def register(self, fd: int, source: Source, mask: int = READ) -> None:
        """Watch `fd`."""
        self._sources[fd] = source
        self._epoll.register(fd, mask)

    def modify(self, fd: int, mask: int) -> None:
        """Watch `fd` for other events; with 0, for nothing but its end."""
        self._epoll.modify(fd, mask)

    def unregister(self, fd: int) -> None:
        """Watch `fd` no more."""
        if self._sources.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def bury(self, sock: socket.socket) -> None:
        """Close a socket at the end of the turn: so its number cannot come back while events of this turn still name it."""
        self._graves.append(sock)
        if not self._in_turn:
            self._lot.unpark()

    def again(self, source: Source) -> None:
        """Call `source.on_again` in the next turn, which comes at once."""
        self._again.append(source)
        if not self._serving:
            self._wake(0.0)

    def dirty(self, item: Flushable) -> None:
        """Flush `item` at the end of this turn, or, outside of a turn, when the running task yields."""
        self._dirty.append(item)
        if not self._in_turn and self._lot:
            self._lot.unpark()

    def touch(self) -> None:
        """Something other than a turn begins to work: its time is now."""
        self.now = self.clock()

    def at(self, timed: Timed, when: float) -> None:
        """Let the wheel ask `timed` at `when`."""
        if self.wheel.schedule(timed, when, self.clock()):
            self._wake(when)

    def _wake(self, when: float) -> None:
        if when < self._sleep.deadline:
            self._sleep.deadline = when

    # --- running ---

    async def run(self) -> None:
        """Serve until cancelled."""
        self.clock = trio.lowlevel.current_clock().current_time
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._flusher)
            nursery.start_soon(self._heart)
            try:
                while True:
                    # One scope for many turns: to make one costs as much as a stanza. It ends with the first timer.
                    with trio.CancelScope() as self._sleep:
                        while True:
                            await self._wait(self._sleep)
                            self.turn()
                    self.turn()
            finally:
                self._sources.clear()
                self._finish()

    async def _wait(self, sleep: trio.CancelScope) -> None:
        if self._again or self._carry:
            await trio.lowlevel.checkpoint()
            return
        due = self.wheel.due()
        if due != sleep.deadline:
            sleep.deadline = due
        await trio.lowlevel.wait_readable(self._epoll.fileno())

    def turn(self) -> None:
        """Serve everything that is ready now, within the bounds of one turn."""
        self.turns += 1
        self._in_turn = self._serving = True
        self.now = now = self.clock()
        if now > self._expected:
            self.stood_still()
        self.wheel.advance(now)
        again = self._again
        self._again = []
        for source in again:
            if source.open:
                try:
                    source.on_again()
                except Exception:
                    self._crashed(source)
        # epoll still reports what the last turn left: that comes first and alone, or it would be read twice.
        work, self._carry = self._carry or self._ready(), []
        limit = time.perf_counter() + TURN_SECONDS
        for done, (source, mask) in enumerate(work, 1):
            if source.open:
                try:
                    source.on_events(mask)
                except Exception:
                    self._crashed(source)
            if done % _LOOK == 0 and time.perf_counter() > limit:
                self._carry = work[done:]
                break
        self._finish()
        self._serving = False

    async def _heart(self) -> None:
        while True:
            now = self.clock()
            if now > self._expected:
                self.stood_still()
            self._expected = now + _HEART_SECONDS + self._standstill
            await trio.sleep(_HEART_SECONDS)

    def stood_still(self) -> None:
        """This process stood still: abort every source, unread and unwritten."""
        self._expected = math.inf
        self._carry = []
        for source in list(self._sources.values()):
            try:
                source.abort("frozen")
            except Exception:
                _log.exception("connection_abort_failed")
        self.on_standstill()

    def _ready(self) -> list[tuple[Source, int]]:
        sources = self._sources
        return [(sources[fd], mask) for fd, mask in self._epoll.poll(0, 1024) if fd in sources]

    async def _flusher(self) -> None:
        """Ends the turns of others: what the bus delivers between two turns is sent when its task yields."""
        while True:
            await self._lot.park()
            self.now = self.clock()
            self._finish()

    def _finish(self) -> None:
        """Write what was queued, hand the bus its batch, write what that brought in from this very process; close sockets."""
        self._in_turn = True
        for _ in range(2):
            while self._dirty:
                dirty = self._dirty
                self._dirty = []
                for item in dirty:
                    try:
                        item.flush()
                    except Exception:
                        self._crashed(item)
            self.on_turn_end()
            if not self._dirty:
                break
        self._in_turn = False
        if self._graves:
            graves = self._graves
            self._graves = []
            for sock in graves:
                close_quietly(sock)
        if self._dirty:
            self._lot.unpark()

    def _crashed(self, source: Source | Flushable) -> None:
        """A mistake of ours in one connection is not the end of all others."""
        _log.exception("connection_failed")
        try:
            source.abort("bug")
        except Exception:
            _log.exception("connection_abort_failed")

    def close(self) -> None:
        """Free the descriptor; the sources close their own sockets."""
        self._finish()
        self._epoll.close()


def close_quietly(sock: socket.socket) -> None:
    """Close; what the kernel or OpenSSL has to say about it interests nobody any more."""
    try:
        sock.close()
    except (OSError, ssl.SSLError):
        pass


__all__ = ["GONE", "NEVER", "READ", "WRITE", "Flushable", "Reactor", "Source", "close_quietly"]

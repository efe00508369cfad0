"""A busy process wakes on a grid of times: wake-ups are the cost, not stanzas.

Whatever comes within one slot is served together: sockets, the bus, commits and timers in one round of the loop, which then has
more to do at once. A process that has little to do wakes at once.
"""

from __future__ import annotations

import time
from math import floor
from typing import Final

import trio

#: Seconds. Of a process whose rounds have much to do, two slots are one.
SLOT: Final = 0.002
#: A round has much to do when it takes more than this share of a slot: then the others on this machine are busy too.
LOADED: Final = 0.25
#: So many rounds may follow each other at once before they are paced: a question and its answer are not yet a load.
CLOSE: Final = 4


class Pace:
    """When the next round may begin. A pure machine: the times are arguments, in seconds."""

    __slots__ = ("_close", "_last", "_slot")

    def __init__(self, slot: float) -> None:
        self._slot = slot
        self._last = 0.0
        self._close = 0

    def due(self, now: float, took: float) -> float:
        """A round is over at `now`, after `took` seconds of work: when the next one may begin, now or with the next slot."""
        slot = self._slot if took <= self._slot * LOADED else 2 * self._slot
        self._close = self._close + 1 if now - self._last < 2 * slot else 0
        if self._close <= CLOSE:
            return now
        this = floor(now / slot)
        return now if this != floor(self._last / slot) else (this + 1) * slot

    def began(self, now: float) -> None:
        """The next round begins to wait for what comes."""
        self._last = now


class Naps(trio.abc.Instrument):
    """Holds the whole loop until the next slot. A sleep of the thread costs a tenth of a timer of the loop, and less than a slot
    of everybody's time; threads beside the loop go on meanwhile.
    """

    def __init__(self, slot: float = SLOT) -> None:
        self._pace = Pace(slot)
        self._woke = 0.0

    def after_io_wait(self, timeout: float) -> None:
        """A round begins, or goes on."""
        if timeout > 0.0:
            self._woke = time.monotonic()

    def before_io_wait(self, timeout: float) -> None:
        """The round is over when nobody can run any more."""
        if timeout <= 0.0:
            return
        now = time.monotonic()
        due = self._pace.due(now, now - self._woke)
        if due > now:
            time.sleep(min(due - now, timeout))
            now = time.monotonic()
        self._pace.began(now)

"""What a driver process counts: latencies and errors by operation, second by second.

Hot paths only append nanoseconds to a list; every 50 ms the lists are folded into counts of microseconds, with 11 significant
bits, which is what an HDR histogram of three digits keeps. The parent makes histograms of them.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from typing import Final

from rookery.bench.driver.report import Part, Tick

_BITS: Final = 11
_FLOOR: Final = 1 << _BITS


def rounded(us: int) -> int:
    """Microseconds with 11 significant bits."""
    if us < _FLOOR:
        return max(0, us)
    shift = us.bit_length() - _BITS
    return us >> shift << shift


class Recorder:
    """Counts of one process; `tick` takes what came since the last one."""

    def __init__(self) -> None:
        #: Nanoseconds by operation; scenarios bind `append` of a list.
        self.latencies: dict[str, list[int]] = {}
        self._counts: dict[str, Counter[int]] = {}
        self._errors: dict[str, Counter[str]] = {}
        #: Nanoseconds by which operations began late.
        self.late: list[int] = []
        self._late: Counter[int] = Counter()
        self.sent = 0
        self.delivered = 0
        self.connected = 0
        self._cpu = time.process_time_ns()
        self._totals = (0, 0)

    def latency(self, operation: str) -> list[int]:
        """The list to which nanoseconds of that operation are appended; it stays the same."""
        return self.latencies.setdefault(operation, [])

    def error(self, operation: str, condition: str) -> None:
        """Count a failed operation by its condition."""
        self._errors.setdefault(operation, Counter())[condition] += 1

    def fold(self) -> None:
        """Turn lists into counts."""
        for name, values in self.latencies.items():
            if values:
                counts = self._counts.get(name)
                if counts is None:
                    counts = self._counts[name] = Counter()
                counts.update([rounded(value // 1000) for value in values])
                values.clear()
        if self.late:
            self._late.update([rounded(value // 1000) for value in self.late])
            self.late.clear()

    def tick(self, second: int) -> Tick:
        """What came since the last tick."""
        self.fold()
        cpu = time.process_time_ns()
        names = self._counts.keys() | self._errors.keys()
        tick = Tick(
            second=second,
            sent=self.sent - self._totals[0],
            delivered=self.delivered - self._totals[1],
            connected=self.connected,
            cpu_ns=cpu - self._cpu,
            parts={
                name: Part(list(self._counts.get(name, {}).items()), dict(self._errors.get(name, {})))
                for name in names
            },
            late=list(self._late.items()),
        )
        self._cpu, self._totals = cpu, (self.sent, self.delivered)
        self._counts, self._errors, self._late = {}, {}, Counter()
        return tick

    def forget(self) -> None:
        """Drop what the preparation counted, and keep its garbage from being looked at again."""
        self.tick(0)
        gc.collect()
        gc.freeze()

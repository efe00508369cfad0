"""What a process has counted in the last minutes, for those who look at it without a monitoring system: one sample every few seconds."""

from __future__ import annotations

import resource
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

import trio
from prometheus_client.registry import Collector

from rookery.shared.observe import metrics

#: Seconds between samples; all processes take them at the same times, so that they can be added up.
EVERY: Final = 5
#: Samples that are kept: ten minutes.
KEPT: Final = 120


class Source(NamedTuple):
    """A number that is sampled: the sum of a metric's series, of those with these labels. `rate`: it only grows, and its growth is shown."""

    name: str
    collector: Collector
    labels: dict[str, str]
    rate: bool

    def read(self) -> float:
        """Its value now."""
        return sum(
            sample.value
            for family in self.collector.collect()
            for sample in family.samples
            if all(sample.labels.get(name) == value for name, value in self.labels.items())
        )


SOURCES: Final = (
    Source("connections", metrics.C2S_CONNECTIONS, {}, False),
    Source("sessions", metrics.C2S_SESSIONS, {}, False),
    Source("stanzas_in", metrics.STANZAS, {"direction": "in"}, True),
    Source("stanzas_out", metrics.STANZAS, {"direction": "out"}, True),
    Source("logins", metrics.SESSIONS_OPENED, {}, True),
    Source("auth_failures", metrics.AUTH, {"result": "failure"}, True),
    Source("bus_items", metrics.BUS_ITEMS, {"direction": "out"}, True),
    Source("s2s_stanzas", metrics.S2S_STANZAS, {}, True),
)
#: What a sample has, in this order: the sources, seconds of CPU, bytes of memory.
NAMES: Final = (*(source.name for source in SOURCES), "cpu", "memory")
RATES: Final = frozenset({source.name for source in SOURCES if source.rate} | {"cpu"})


class History:
    """The samples of this process."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, tuple[float, ...]]] = deque(maxlen=KEPT)

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            now = time.time()
            await trio.sleep(EVERY - now % EVERY)
            self.sample(round(time.time()))

    def sample(self, at: int) -> None:
        """Take one now."""
        values = (*(source.read() for source in SOURCES), time.process_time(), float(_memory()))
        self._samples.append((at // EVERY * EVERY, values))

    def document(self) -> dict[str, object]:
        """As an operator is told it."""
        return {"names": NAMES, "samples": [[at, *values] for at, values in self._samples]}


def _memory() -> int:
    """Resident bytes."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def added(histories: Iterable[dict[str, list[object]]]) -> dict[str, list[tuple[int, float]]]:
    """Name -> (time, value) of all processes together; what only grows as growth a second."""
    sums: dict[str, dict[int, float]] = {name: {} for name in NAMES}
    for history in histories:
        names = [str(name) for name in history.get("names", [])]
        before: list[float] | None = None
        previous = 0
        for row in history.get("samples", []):
            assert isinstance(row, list)
            at, values = int(row[0]), [float(value) for value in row[1:]]
            for at_column, name in enumerate(names[: len(values)]):
                if name not in sums:
                    continue
                value = values[at_column]
                if name in RATES:
                    if before is None or at <= previous:
                        continue
                    value = max(0.0, value - before[at_column]) / (at - previous)
                sums[name][at] = sums[name].get(at, 0.0) + value
            before, previous = values, at
    return {name: sorted(found.items()) for name, found in sums.items()}

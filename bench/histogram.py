"""Latency histograms: HDR histograms of microseconds, three significant digits, up to one hour; encoded they merge exactly.

The counts are those of the HdrHistogram project's V2 format, so that other tools read the encoded strings of a result file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Self

from hdrh.histogram import HdrHistogram

LOWEST_US: Final = 1
HIGHEST_US: Final = 3_600_000_000
DIGITS: Final = 3


class Histogram:
    """Counts of latencies in microseconds. Values above one hour count as one hour, values below zero as zero."""

    __slots__ = ("_hdr",)

    def __init__(self) -> None:
        self._hdr = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)

    @classmethod
    def decode(cls, encoded: str) -> Self:
        """The histogram that `encode` wrote. Raises ValueError for anything else."""
        histogram = cls()
        histogram.merge(encoded)
        return histogram

    def encode(self) -> str:
        """The V2 compressed form in base64; "" when nothing was counted."""
        if not self.count:
            return ""
        return bytes(self._hdr.encode()).decode("ascii")

    def record(self, us: int, count: int = 1) -> None:
        """Count one latency (about a microsecond of work: hot loops collect a list for `record_many`)."""
        self._hdr.record_value(min(max(us, 0), HIGHEST_US), count)

    def record_many(self, latencies_us: Iterable[int]) -> None:
        """Count many latencies: equal ones are recorded at once."""
        for us, count in Counter(latencies_us).items():
            self.record(us, count)

    def merge(self, other: Histogram | str) -> None:
        """Add the counts of another histogram, or of an encoded one. Raises ValueError when it cannot be read."""
        if isinstance(other, Histogram):
            self._hdr.add(other._hdr)
        elif other:
            try:
                self._hdr.add(HdrHistogram.decode(other.encode("ascii")))
            except Exception as error:  # the library raises of many kinds: base64, zlib, struct, its own
                raise ValueError("not an encoded HDR histogram") from error

    def reset(self) -> None:
        """Forget all counts."""
        self._hdr.reset()

    @property
    def count(self) -> int:
        """How many latencies were counted."""
        return int(self._hdr.get_total_count())

    @property
    def max_ms(self) -> float:
        """The longest, in milliseconds; 0 when empty."""
        return float(self._hdr.get_max_value()) / 1000 if self.count else 0.0

    @property
    def mean_ms(self) -> float:
        """The mean, in milliseconds; 0 when empty."""
        return float(self._hdr.get_mean_value()) / 1000 if self.count else 0.0

    def percentile_ms(self, percentile: float) -> float:
        """The latency that `percentile` % of the operations did not exceed, in milliseconds; 0 when empty."""
        return float(self._hdr.get_value_at_percentile(percentile)) / 1000 if self.count else 0.0

    def recorded(self) -> list[tuple[int, int]]:
        """(highest microseconds of the bucket, count) of every bucket in use, ascending: what a chart draws."""
        return [
            (int(step.value_iterated_to), int(step.count_added_in_this_iter_step))
            for step in self._hdr.get_recorded_iterator()
        ]

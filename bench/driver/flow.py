"""The numbered messages of one sender to one receiver: what was lost, came twice or out of order, exactly."""

from __future__ import annotations

from collections.abc import Iterable

from rookery.bench.result import Messages


class Flow:
    """Counts of one direction. `sent` is also the next number to send, `expected` the next one to arrive."""

    __slots__ = ("_missing", "duplicated", "expected", "reordered", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.expected = 0
        self.duplicated = 0
        self.reordered = 0
        self._missing: set[int] | None = None

    def strange(self, number: int) -> bool:
        """Take a number other than `expected`; whether it is the first of its number."""
        if number > self.expected:
            # Those between may still come.
            if self._missing is None:
                self._missing = set()
            self._missing.update(range(self.expected, number))
            self.expected = number + 1
            return True
        if self._missing is not None and number in self._missing:
            self._missing.discard(number)
            self.reordered += 1
            return True
        self.duplicated += 1
        return False

    @property
    def arrived(self) -> int:
        """How many different numbers arrived."""
        return self.expected - (len(self._missing) if self._missing else 0)

    @property
    def outstanding(self) -> int:
        """How many are on the way, or lost."""
        return self.sent - self.arrived


def messages(flows: Iterable[Flow]) -> Messages:
    """The sums of many flows, once nothing is on the way any more."""
    sent = delivered = duplicated = reordered = 0
    for flow in flows:
        sent += flow.sent
        delivered += flow.arrived
        duplicated += flow.duplicated
        reordered += flow.reordered
    return Messages(sent, delivered, sent - delivered, duplicated, reordered)

"""The numbered messages of one sender to one receiver: what was lost, refused, came twice or out of order, exactly."""

from __future__ import annotations

from collections.abc import Iterable

from rookery.bench.result import Messages


class Flow:
    """Counts of one direction. `sent` is also the next number to send, `expected` the next one to arrive."""

    __slots__ = ("_ahead", "_missing", "_refused", "duplicated", "expected", "reordered", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.expected = 0
        self.duplicated = 0
        self.reordered = 0
        self._missing: set[int] | None = None
        #: Refused numbers that others passed by; never those that arrived all the same.
        self._refused: set[int] | None = None
        #: Refused numbers that were not yet expected then. Once `expected` is beyond one, it arrived all the same: only
        #: `strange` passes numbers by, and it takes those out.
        self._ahead: set[int] | None = None

    def strange(self, number: int) -> bool:
        """Take a number other than `expected`; whether it is the first of its number."""
        if number > self.expected:
            # Those between may still come.
            between = set(range(self.expected, number))
            self.expected = number + 1
            if self._ahead:
                passed = between & self._ahead
                between -= passed
                self._ahead -= passed
                self._refused = (self._refused or set()) | passed
            if self._missing is None:
                self._missing = between
            else:
                self._missing |= between
            return True
        for late in (self._missing, self._refused):
            if late is not None and number in late:
                late.discard(number)
                self.reordered += 1
                return True
        self.duplicated += 1
        return False

    def refuse(self, number: int) -> bool:
        """Take an error for a number; whether it was on the way until then."""
        if number >= self.sent:
            return False
        if number >= self.expected:
            if self._ahead is None:
                self._ahead = set()
            elif number in self._ahead:
                return False
            self._ahead.add(number)
            return True
        if self._missing is not None and number in self._missing:
            self._missing.discard(number)
            self._refused = (self._refused or set()) | {number}
            return True
        return False

    @property
    def arrived(self) -> int:
        """How many different numbers arrived."""
        return self.expected - len(self._missing or ()) - len(self._refused or ())

    @property
    def refused(self) -> int:
        """How many came back as errors and did not arrive."""
        ahead = sum(number >= self.expected for number in self._ahead) if self._ahead else 0
        return ahead + len(self._refused or ())

    @property
    def settled(self) -> int:
        """How many are over, well or not."""
        return self.arrived + self.refused

    @property
    def outstanding(self) -> int:
        """How many are on the way, or lost."""
        return self.sent - self.settled


def messages(flows: Iterable[Flow]) -> Messages:
    """The sums of many flows, once nothing is on the way any more."""
    sent = delivered = duplicated = reordered = refused = 0
    for flow in flows:
        sent += flow.sent
        delivered += flow.arrived
        duplicated += flow.duplicated
        reordered += flow.reordered
        refused += flow.refused
    return Messages(sent, delivered, sent - delivered - refused, duplicated, reordered, refused)

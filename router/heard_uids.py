"""What each recipient has heard of a stream whose stanzas go to many (a room, a node): a repeated one is given once. A pure machine.

Numbers of such a stream grow, but may come a little out of order. So the highest number that a recipient has heard and a window of
WINDOW numbers below it is all that is remembered: one integer for each recipient, however much is said. What is older than the window counts
as heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

#: Numbers below the highest one that are told apart.
WINDOW: Final = 64
_MASK: Final = (1 << WINDOW) - 1
#: Turns of `rotate` (a minute each) after which a recipient who heard nothing is forgotten, at least; at most twice as many.
KEEP_TURNS: Final = 12


class Heard:
    """(stream, recipient) -> what was heard, of one partition."""

    __slots__ = ("_before", "_now", "_turn")

    def __init__(self) -> None:
        # The highest number << WINDOW, and a bit for each number from it downwards. Two generations, so that who is gone is forgotten.
        self._now: dict[bytes, dict[str, int]] = {}
        self._before: dict[bytes, dict[str, int]] = {}
        self._turn = 0

    def new(self, stream: bytes, n: int, to: str) -> bool:
        """Whether `to` has not heard number `n` of the stream; from now on it has."""
        heard = self._now.get(stream)
        if heard is None:
            heard = self._now[stream] = {}
        known = heard.get(to)
        if known is None:
            before = self._before.get(stream)
            known = None if before is None else before.get(to)
            if known is None:
                heard[to] = n << WINDOW | 1
                return True
        behind = (known >> WINDOW) - n
        if behind < 0:
            # A long step leaves nothing of the window.
            bits = (known & _MASK) << -behind & _MASK if behind > -WINDOW else 0
            heard[to] = n << WINDOW | bits | 1
            return True
        if behind >= WINDOW or known >> behind & 1:
            heard[to] = known
            return False
        heard[to] = known | 1 << behind
        return True

    def next(self, stream: bytes, n: int, to: str) -> bool:
        """Whether number `n` of a stream that is given in order is above all that `to` has heard of it; from now on it has heard that."""
        if self.past(stream, n, to):
            return False
        self.reached(stream, n, to)
        return True

    def reached(self, stream: bytes, n: int, to: str) -> None:
        """A former holder gave `to` number `n` of a stream that is given in order: and all before it."""
        heard = self._now.setdefault(stream, {})
        all_of_it = n << WINDOW | _MASK
        known = heard.get(to)
        heard[to] = all_of_it if known is None else _both(known, all_of_it)

    def past(self, stream: bytes, n: int, to: str) -> bool:
        """Whether `to` has heard number `n` of the stream, or a higher one."""
        for generation in (self._now, self._before):
            known = generation.get(stream, {}).get(to)
            if known is not None:
                return known >> WINDOW >= n
        return False

    def rotate(self) -> None:
        """A minute has passed."""
        self._turn += 1
        if self._turn % KEEP_TURNS == 0:
            self._before, self._now = self._now, {}

    def told(self, limit: int) -> dict[bytes, dict[str, tuple[int, int]]]:
        """What is known, for the next holder: stream -> recipient -> (highest number, window); at most so many recipients."""
        told: dict[bytes, dict[str, tuple[int, int]]] = {}
        for stream, to, known in self._all():
            if limit == 0:
                break
            its = told.setdefault(stream, {})
            if to not in its:
                its[to] = (known >> WINDOW, known & _MASK)
                limit -= 1
        return told

    def learn(self, told: dict[bytes, dict[str, tuple[int, int]]]) -> None:
        """Take over what a former holder told, besides what is known already (from edges, who remember the newest only)."""
        for stream, its in told.items():
            heard = self._now.setdefault(stream, {})
            for to, (n, bits) in its.items():
                known = heard.get(to)
                heard[to] = n << WINDOW | bits if known is None else _both(known, n << WINDOW | bits)

    def _all(self) -> Iterator[tuple[bytes, str, int]]:
        for generation in (self._now, self._before):
            for stream, heard in generation.items():
                for to, known in heard.items():
                    yield stream, to, known

    def __len__(self) -> int:
        return sum(len(heard) for heard in self._now.values())


def _both(one: int, other: int) -> int:
    """What was heard by either."""
    low, high = (one, other) if one < other else (other, one)
    behind = (high >> WINDOW) - (low >> WINDOW)
    return high | ((low & _MASK) << behind & _MASK if behind < WINDOW else 0)

"""Who may try to connect now. Domains that fail wait for one another, never those that work. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from typing import Final


class Standing(IntEnum):
    """What is known of a domain before an attempt."""

    #: A stream to it has worked, and nothing has failed since.
    GOOD = 0
    #: Nothing is known of it.
    NEW = 1
    #: The last attempt failed.
    FAILING = 2


#: Attempts at once, by standing.
AT_ONCE: Final = {Standing.GOOD: 128, Standing.NEW: 48, Standing.FAILING: 16}


class Gate:
    """Bounds attempts at once; each standing has places of its own."""

    def __init__(self, at_once: dict[Standing, int] = AT_ONCE) -> None:
        self._at_once = at_once
        self._inside: dict[str, Standing] = {}
        self._counts = dict.fromkeys(Standing, 0)
        self._lines: dict[Standing, OrderedDict[str, Callable[[], None]]] = {
            standing: OrderedDict() for standing in Standing
        }

    def enter(self, name: str, standing: Standing, go: Callable[[], None]) -> None:
        """Call `go` as soon as there is a place: now, or when others have left."""
        if self._counts[standing] < self._at_once[standing]:
            self._admit(name, standing, go)
        else:
            self._lines[standing][name] = go

    def leave(self, name: str) -> None:
        """The attempt has ended, or is not wanted any more."""
        for line in self._lines.values():
            line.pop(name, None)
        standing = self._inside.pop(name, None)
        if standing is None:
            return
        self._counts[standing] -= 1
        line = self._lines[standing]
        if line:
            self._admit(*self._next(line, standing))

    @staticmethod
    def _next(
        line: OrderedDict[str, Callable[[], None]], standing: Standing
    ) -> tuple[str, Standing, Callable[[], None]]:
        name, go = line.popitem(last=False)
        return name, standing, go

    def _admit(self, name: str, standing: Standing, go: Callable[[], None]) -> None:
        self._inside[name] = standing
        self._counts[standing] += 1
        go()

    @property
    def trying(self) -> int:
        """Attempts under way."""
        return len(self._inside)

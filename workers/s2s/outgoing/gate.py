"""Who may try to connect now. Domains that fail wait for one another, never those that work. Pure.

A place bounds what attempts cost us at once: questions, handshakes. An attempt that waits for the other side costs little more than its socket, so
after a while it holds no place any more: domains that accept and say nothing do not keep out those that would answer.
"""

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
    #: Nobody here wants anything of it: only answers to what it sent wait.
    STRANGE = 3


def standing_of(*, failing: bool, worked: bool, wanted: bool) -> Standing:
    """The standing of a domain; `wanted`: something else than answers is for it."""
    if failing:
        return Standing.FAILING
    if worked:
        return Standing.GOOD
    return Standing.NEW if wanted else Standing.STRANGE


#: Attempts at once, by standing.
AT_ONCE: Final = {Standing.GOOD: 128, Standing.NEW: 48, Standing.FAILING: 16, Standing.STRANGE: 8}
#: Attempts beside these that wait for the other side, by standing. When there are so many, further ones keep their places.
STALLED: Final = {Standing.GOOD: 1024, Standing.NEW: 1024, Standing.FAILING: 512, Standing.STRANGE: 128}
#: Attempts between two ticks that answers to strangers may cause: one server with ten thousand names does not make us connect to each.
STRANGE_A_TICK: Final = 6


class Gate:
    """Bounds attempts at once; each standing has places of its own. Call `tick` now and then: it frees the places of what has stalled."""

    def __init__(
        self, at_once: dict[Standing, int] = AT_ONCE, stalled: dict[Standing, int] = STALLED
    ) -> None:
        self._at_once = at_once
        self._may_stall = stalled
        #: Who has a place; `_since` has those who had it at the last tick already.
        self._inside: dict[str, Standing] = {}
        self._since: set[str] = set()
        self._stalled: dict[str, Standing] = {}
        self._counts = dict.fromkeys(Standing, 0)
        self._stalls = dict.fromkeys(Standing, 0)
        self._strange = STRANGE_A_TICK
        self._lines: dict[Standing, OrderedDict[str, Callable[[], None]]] = {
            standing: OrderedDict() for standing in Standing
        }

    def enter(self, name: str, standing: Standing, go: Callable[[], None]) -> None:
        """Call `go` as soon as there is a place: now, or when others have left."""
        if self._room(standing):
            self._admit(name, standing, go)
        else:
            self._lines[standing][name] = go

    def leave(self, name: str) -> None:
        """The attempt has ended, or is not wanted any more."""
        for line in self._lines.values():
            line.pop(name, None)
        stalled = self._stalled.pop(name, None)
        if stalled is not None:
            self._stalls[stalled] -= 1
        self._since.discard(name)
        standing = self._inside.pop(name, None)
        if standing is not None:
            self._free(standing)

    def tick(self) -> None:
        """Attempts that have had their places since the last tick wait for the other side: they keep nobody out any more."""
        self._strange = STRANGE_A_TICK
        self._fill(Standing.STRANGE)
        stalled, self._since = self._since, set()
        for name in stalled:
            standing = self._inside.get(name)
            if standing is None:
                continue
            if self._stalls[standing] >= self._may_stall[standing]:
                self._since.add(name)
                continue
            del self._inside[name]
            self._stalled[name] = standing
            self._stalls[standing] += 1
            self._free(standing)
        self._since.update(self._inside)

    def _free(self, standing: Standing) -> None:
        self._counts[standing] -= 1
        self._fill(standing)

    def _fill(self, standing: Standing) -> None:
        line = self._lines[standing]
        while line and self._room(standing):
            name, go = line.popitem(last=False)
            self._admit(name, standing, go)

    def _room(self, standing: Standing) -> bool:
        if standing is Standing.STRANGE and not self._strange:
            return False
        return self._counts[standing] < self._at_once[standing]

    def _admit(self, name: str, standing: Standing, go: Callable[[], None]) -> None:
        self._inside[name] = standing
        self._counts[standing] += 1
        self._strange -= standing is Standing.STRANGE
        go()

    @property
    def trying(self) -> int:
        """Attempts under way."""
        return len(self._inside) + len(self._stalled)

"""What sessions were told of nodes lately (XEP-0163): a notification is given once, and none behind a newer one. A pure machine.

The same number may come again when a process was lost, and a node's last item beside its publication. Both happen within seconds, so what is
older than a minute is forgotten.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

#: Nodes that are told of one session: more than a client follows that moves in that minute.
MOST: Final = 200


class ToldNodes:
    """Stream of a session -> stream of a node -> the highest number that the session was told."""

    __slots__ = ("_before", "_now")

    def __init__(self) -> None:
        self._now: dict[bytes, dict[bytes, int]] = {}
        self._before: dict[bytes, dict[bytes, int]] = {}

    def new(self, session: bytes, node: bytes, n: int) -> bool:
        """Whether the session was not told number `n` of the node, nor a higher one; from now on it was."""
        now = self._now.get(session)
        told = None if now is None else now.get(node)
        if told is None:
            before = self._before.get(session)
            told = -1 if before is None else before.get(node, -1)
        if n <= told:
            return False
        if now is None:
            now = self._now[session] = {}
        now[node] = n
        return True

    def of(self, session: bytes) -> tuple[tuple[bytes, int], ...]:
        """(stream of a node, number) of what a session was told lately: it goes with the session when that moves."""
        told = {**self._before.get(session, {}), **self._now.get(session, {})}
        return tuple(islice(told.items(), max(0, len(told) - MOST), None))

    def rotate(self) -> None:
        """A minute has passed."""
        self._before, self._now = self._now, {}

    def __len__(self) -> int:
        return sum(len(told) for memory in (self._now, self._before) for told in memory.values())

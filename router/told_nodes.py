"""What sessions were told of nodes lately (XEP-0163): a notification is given once, and none behind a newer one. A pure machine.

The same number may come again when a process was lost, and a node's last item beside its publication. Both happen within seconds, so what is
older than a minute is forgotten.
"""

from __future__ import annotations


class ToldNodes:
    """(stream of a session, stream of a node) -> the highest number that the session was told."""

    __slots__ = ("_before", "_now")

    def __init__(self) -> None:
        self._now: dict[tuple[bytes, bytes], int] = {}
        self._before: dict[tuple[bytes, bytes], int] = {}

    def new(self, session: bytes, node: bytes, n: int) -> bool:
        """Whether the session was not told number `n` of the node, nor a higher one; from now on it was."""
        key = session, node
        told = self._now.get(key)
        if told is None:
            told = self._before.get(key, -1)
        if n <= told:
            return False
        self._now[key] = n
        return True

    def rotate(self) -> None:
        """A minute has passed."""
        self._before, self._now = self._now, {}

    def __len__(self) -> int:
        return len(self._now) + len(self._before)

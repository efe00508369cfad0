"""Which stanzas a partition has taken already: an edge sends again what nobody accepted, and it must count once.

The uid of a stanza is (stream, number). A number is remembered as accepted (say so again) or pending (its commit is under
way: say nothing). Streams that were silent for two turns of `rotate` are forgotten; a stream remembers its newest numbers,
more of them than an edge keeps unaccepted.
"""

from __future__ import annotations

from typing import Final

#: Numbers remembered for one stream; an edge keeps at most half as many (`limits.uncommitted_stanzas`).
PER_STREAM: Final = 2048


class Recent:
    """Uids of one partition."""

    __slots__ = ("_old", "_young")

    def __init__(self) -> None:
        self._young: dict[bytes, dict[int, bool]] = {}
        self._old: dict[bytes, dict[int, bool]] = {}

    def state(self, stream: bytes, n: int) -> bool | None:
        """True: accepted. False: pending. None: new."""
        seen = self._young.get(stream)
        if seen is None:
            seen = self._old.get(stream)
            if seen is None:
                return None
        return seen.get(n)

    def mark(self, stream: bytes, n: int, accepted: bool) -> None:
        """Remember a uid."""
        seen = self._young.get(stream)
        if seen is None:
            seen = self._old.pop(stream, None)
            if seen is None:
                seen = {}
            self._young[stream] = seen
        seen[n] = accepted
        if len(seen) > PER_STREAM:
            for number in sorted(seen)[: PER_STREAM // 2]:
                del seen[number]

    def forget(self, stream: bytes, n: int) -> None:
        """What was pending did not happen: it may be tried again."""
        for table in (self._young, self._old):
            seen = table.get(stream)
            if seen is not None:
                seen.pop(n, None)

    def rotate(self) -> None:
        """Forget streams that were silent since the last call but one."""
        self._old = self._young
        self._young = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

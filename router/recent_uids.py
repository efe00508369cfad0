"""Which stanzas a partition has taken already: an edge sends again what nobody accepted, and it must count once.

The uid of a stanza is (stream, number). A number is remembered as accepted (say so again) or pending (its commit is under
way: say nothing). A stream remembers what came lately: at least since the last turn of `rotate`, and at most PER_STREAM numbers, more
than an edge keeps unaccepted. That memory outlives the stream's silence by KEEP_TURNS turns: a client that resumes its stream elsewhere
(XEP-0198) sends again what its edge could not acknowledge any more.
"""

from __future__ import annotations

from typing import Final

#: Numbers remembered for one stream; an edge keeps at most half as many (`limits.uncommitted_stanzas`).
PER_STREAM: Final = 2048
#: Turns of `rotate` (a minute each) that a silent stream is remembered: longer than a session lives without a socket.
KEEP_TURNS: Final = 12


class _Stream:
    """One stream's numbers in the order in which they came. `aged` of them are older than the last turn."""

    __slots__ = ("aged", "numbers", "touched")

    def __init__(self, turn: int) -> None:
        self.numbers: dict[int, bool] = {}
        self.aged = 0
        self.touched = turn


class Recent:
    """Uids of one partition."""

    __slots__ = ("_streams", "_turn")

    def __init__(self) -> None:
        self._streams: dict[bytes, _Stream] = {}
        self._turn = 0

    def state(self, stream: bytes, n: int) -> bool | None:
        """True: accepted. False: pending. None: new."""
        seen = self._streams.get(stream)
        return None if seen is None else seen.numbers.get(n)

    def mark(self, stream: bytes, n: int, accepted: bool) -> None:
        """Remember a uid."""
        seen = self._streams.get(stream)
        if seen is None:
            seen = self._streams[stream] = _Stream(self._turn)
        numbers = seen.numbers
        numbers[n] = accepted
        seen.touched = self._turn
        if len(numbers) > PER_STREAM:
            self._shorten(seen, PER_STREAM // 2)

    @staticmethod
    def _shorten(seen: _Stream, count: int) -> None:
        """Forget the `count` oldest."""
        numbers = seen.numbers
        for number in list(numbers)[:count]:
            del numbers[number]
        seen.aged = max(0, seen.aged - count)

    def forget(self, stream: bytes, n: int) -> None:
        """What was pending did not happen: it may be tried again."""
        seen = self._streams.get(stream)
        if seen is not None:
            seen.numbers.pop(n, None)
            seen.aged = min(seen.aged, len(seen.numbers))

    def rotate(self) -> None:
        """A minute has passed: forget what streams that go on said before it, and streams that were silent for long."""
        gone = []
        for stream, seen in self._streams.items():
            if seen.touched == self._turn:
                if seen.aged:
                    self._shorten(seen, seen.aged)
                seen.aged = len(seen.numbers)
            elif seen.touched + KEEP_TURNS <= self._turn:
                gone.append(stream)
        for stream in gone:
            del self._streams[stream]
        self._turn += 1

    def told(self, limit: int) -> dict[bytes, list[int]]:
        """What was accepted lately, for the next holder: at most so many numbers, of the streams that spoke last."""
        told: dict[bytes, list[int]] = {}
        for stream, seen in sorted(self._streams.items(), key=lambda one: -one[1].touched):
            numbers = [n for n, accepted in seen.numbers.items() if accepted]
            if len(numbers) > limit:
                break
            limit -= len(numbers)
            if numbers:
                told[stream] = numbers
        return told

    def __len__(self) -> int:
        return len(self._streams)

"""Which processes live, as their beats on the bus tell it. Pure; edges have nothing else to go by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rookery.shared.bus.messages import VERSION, Beat, Kind
from rookery.shared.bus.versions import OLDEST

#: A process is lost after so many seconds without a beat.
LOST_SECONDS: Final = 4.0
#: Incarnations that said Left and are not believed to live again.
_REMEMBERED: Final = 4096


class Liveness:
    """`me` is never lost; `speaks` is the highest item version that it reads. Times are monotonic seconds."""

    def __init__(self, me: str, now: float, speaks: int = VERSION) -> None:
        self._me = me
        self._speaks = speaks
        self._beats: dict[str, tuple[float, Beat]] = {}
        self._left: dict[str, None] = {}
        self._yields: dict[str, float] = {}
        #: Since when silence means something: our own connection must have been up.
        self._hearing_since: float | None = now

    def heard(self, beat: Beat, now: float) -> bool:
        """Take a beat; True when the process was not known to live."""
        name = beat.incarnation
        if name == self._me or name in self._left:
            return False
        new = name not in self._beats
        self._beats[name] = (now, beat)
        return new

    def left(self, incarnation: str) -> bool:
        """The process has said that it is gone, or its parent has; True when it was known."""
        if incarnation == self._me:
            return False
        if len(self._left) >= _REMEMBERED:
            del self._left[next(iter(self._left))]
        self._left[incarnation] = None
        self._yields.pop(incarnation, None)
        return self._beats.pop(incarnation, None) is not None

    def yielded(self, incarnation: str, now: float) -> None:
        """The process asks to be taken over."""
        self._yields[incarnation] = now

    def hearing(self, connected: bool, now: float) -> None:
        """Tell whether the bus is up. While it is not, silence proves nothing; then everybody gets a new chance."""
        if not connected:
            self._hearing_since = None
        elif self._hearing_since is None:
            self._hearing_since = now
            self._beats = {name: (now, beat) for name, (_, beat) in self._beats.items()}

    def paused(self, now: float) -> None:
        """This process itself stood still for a while: what it did not hear meanwhile proves nothing about the others."""
        if self._hearing_since is not None:
            self._hearing_since = None
            self.hearing(True, now)

    def lose(self, now: float) -> list[str]:
        """Forget and return the processes that have been silent for too long."""
        if self._hearing_since is None:
            return []
        lost = [name for name, (at, _) in self._beats.items() if now - at >= LOST_SECONDS]
        for name in lost:
            del self._beats[name]
        return lost

    def silent(self, incarnation: str, seconds: float, now: float) -> bool:
        """Whether the bus has not heard the process for so long although it could have."""
        if incarnation == self._me or self._hearing_since is None or now - self._hearing_since < seconds:
            return False
        beat = self._beats.get(incarnation)
        return beat is None or now - beat[0] >= seconds

    def consents(self, incarnation: str, now: float) -> bool:
        """Whether the process has left, or asked to be taken over in the last two beats."""
        return incarnation in self._left or now - self._yields.get(incarnation, -100.0) < 2.5

    def gone(self, incarnation: str) -> bool:
        """Whether the process has left."""
        return incarnation in self._left

    def draining(self, incarnation: str) -> bool:
        """Whether its last beat said that it drains: sooner known than from its row."""
        beat = self._beats.get(incarnation)
        return beat is not None and beat[1].state == "draining"

    def beats(self) -> Iterable[Beat]:
        """The last beat of each living process, without our own."""
        return [beat for _, beat in self._beats.values()]

    def of_kind(self, kind: Kind) -> list[str]:
        """Living processes that host the kind, without ourselves."""
        return [name for name, (_, beat) in self._beats.items() if kind in beat.kinds]

    def lowest_version(self) -> int:
        """The item version that everyone alive reads, this process included; never below what it can write."""
        lowest = min((beat.version for _, beat in self._beats.values()), default=self._speaks)
        return max(OLDEST, min(self._speaks, lowest))

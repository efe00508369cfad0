"""How long to wait before something that ended is started again. Pure."""

from __future__ import annotations

from typing import Final

#: What worked for so long is started again at once.
STABLE: Final = 10.0
#: What worked for less waits so long, then twice as long each time, up to `SOON`: while it is away, clients wait.
SHORTEST: Final = 0.25
SOON: Final = 1.0
#: What never worked has a fault that haste does not heal.
LONGEST: Final = 15.0


class Patience:
    """The pauses of one process or server, in seconds."""

    __slots__ = ("_pause",)

    def __init__(self) -> None:
        self._pause = 0.0

    def pause(self, worked: float, *, orderly: bool = False) -> float:
        """It has ended after it was ready for `worked` seconds, 0.0 when it never was; `orderly` when it was asked to."""
        if worked > 0.0 and (orderly or worked >= STABLE):
            self._pause = 0.0
        else:
            self._pause = min(SOON if worked > 0.0 else LONGEST, max(SHORTEST, self._pause * 2))
        return self._pause

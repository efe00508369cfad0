"""The garbage collector without long stops: what lives is looked at once, while it is young, and all of it only when there is time.

The message path makes no cycles, but a busy process keeps much for seconds. Python's collector looks at what is kept again and again, at
hundreds of thousands of objects at once: that stops everybody for a tenth of a second. Here a young generation is small, and what has
outlived it is set aside (`gc.freeze`, which costs nothing). Cycles among what was set aside are found by a full look: in a calm second,
or after LONGEST when there is none.
"""

from __future__ import annotations

import gc
import time
from typing import Final

import trio

#: So many new objects are looked at together: about a millisecond.
YOUNG: Final = 2_000
#: Seconds between two full looks in a process that is calm, and in one that never is.
OFTEN: Final = 60.0
LONGEST: Final = 600.0
#: A process is calm in a second in which it works for less than this share.
CALM: Final = 0.02


class Due:
    """When a full look is due. A pure machine; times are in seconds."""

    __slots__ = ("_last",)

    def __init__(self, now: float) -> None:
        self._last = now

    def full(self, now: float, share: float) -> bool:
        """A second is over, in which the process worked for this share of it: whether all is to be looked at now."""
        since = now - self._last
        if since < OFTEN or (share >= CALM and since < LONGEST):
            return False
        self._last = now
        return True


def set_up() -> None:
    """Look at young objects in small portions, and set aside what stays. For the whole process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 1_000_000, 1_000_000)
    if _looked not in gc.callbacks:
        gc.callbacks.append(_looked)


def _looked(phase: str, info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] == 0:
        gc.freeze()


async def run() -> None:
    """Look at all of it when there is time, until cancelled."""
    due = Due(time.monotonic())
    while True:
        began, worked = time.monotonic(), time.process_time()
        await trio.sleep(1.0)
        now = time.monotonic()
        if due.full(now, (time.process_time() - worked) / max(0.1, now - began)):
            gc.unfreeze()
            gc.collect()
            gc.freeze()


__all__ = ["Due", "run", "set_up"]

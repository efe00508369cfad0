"""A new holder says of nobody that they are gone until edges that are silent have had time to come back with them.

An edge that was given up and is heard again still has its sessions. Who was told meanwhile that they are gone would never hear otherwise: the holder after this one
learns them from that edge and goes on with them. Rooms keep for that one what such sessions did not get here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from rookery.router.partition import Part

#: Seconds since a partition was taken over. An edge that is silent for longer has ended its sessions itself, or is dead.
GRACE: Final = 20.0


class Absences:
    """What is said of sessions that this process does not know, in time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        #: (Unix seconds, partition, what to do then), in the order in which it was asked.
        self._later: deque[tuple[float, Part, Callable[[], None]]] = deque()
        #: Until when (Unix seconds) the holder after this one may learn of a session that has missed something.
        self._missed = 0.0

    def judge(self, part: Part, say: Callable[[], None]) -> None:
        """Call `say`, which looks whether they are still unknown: now, or once `part` is held for GRACE seconds.

        Never when it is held by another process by then, which whoever asked asks anew.
        """
        due = part.since + GRACE if part.since else 0.0
        if self._clock() >= due:
            say()
        else:
            self._later.append((due, part, say))

    def missed(self, part: Part) -> None:
        """Somebody who is not known here did not get something."""
        if part.since:
            self._missed = max(self._missed, part.since + GRACE)

    @property
    def waiting(self) -> bool:
        """Whether somebody who has missed something may still be learnt of."""
        return self._clock() < self._missed

    def tick(self) -> None:
        """Say what is due. Call about twice a second."""
        now = self._clock()
        for _ in range(len(self._later)):
            due, part, say = one = self._later.popleft()
            if not part.live:
                continue
            if now >= due:
                say()
            else:
                self._later.append(one)

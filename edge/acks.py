"""Acknowledgements of written deliveries on their way to the routers: collected, since nobody waits for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rookery.edge.session import Session

#: So many are reported at once: the router keeps what was not reported, and stops long answers when that is much.
MANY: Final = 32


class Acks:
    """Sessions whose deliveries have left, with the number that was not reported yet when they came in here."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[Session, int]] = {}

    def add(self, session: Session) -> bool:
        """Deliveries of this session have left. True when they are so many that they are to be reported now."""
        waiting = self._waiting.setdefault(session.sid, (session, session.mirror.acked))
        if session.mirror.acked - waiting[1] < MANY:
            return False
        del self._waiting[session.sid]
        return True

    def drop(self, sid: int) -> bool:
        """The session ends; whether it has something to report."""
        return self._waiting.pop(sid, None) is not None

    def take(self) -> Iterable[Session]:
        """All that have something to report."""
        waiting, self._waiting = self._waiting, {}
        return [session for session, _ in waiting.values()]

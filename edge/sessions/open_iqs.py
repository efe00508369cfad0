"""Requests of clients that wait for an answer: no iq may hang.

All deadlines have the same length, so one queue in order of sending is the timer of all of them.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from typing import Final, NamedTuple

from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

#: Open requests of one stream: about a third of a megabyte. Clients ask for a thousand things at once after a login.
MAX_OPEN: Final = 1000
_CLOSED: Final = (-1.0, 0)


class IqKey(NamedTuple):
    """A request as its answer will name it: `to` is "" for the account itself (RFC 6120 section 8.1.2.1)."""

    sid: int
    id: str
    to: str


class OpenIqs:
    """Open iq requests of all streams of an edge, each with its deadline and the number in its uid (0: not known any more)."""

    __slots__ = ("_keys", "_open", "_order", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: dict[IqKey, tuple[float, int]] = {}
        self._order: deque[tuple[float, IqKey]] = deque()
        self._keys: dict[int, set[IqKey]] = {}

    def open(self, key: IqKey, now: float, n: int = 0) -> bool:
        """Note a request; False when the stream has too many open ones. A repeated id starts its time anew."""
        if key not in self._open:
            keys = self._keys.get(key.sid)
            if keys is None:
                self._keys[key.sid] = {key}
            elif len(keys) >= MAX_OPEN:
                return False
            else:
                keys.add(key)
        deadline = now + self._seconds
        self._open[key] = (deadline, n)
        self._order.append((deadline, key))
        return True

    def answered(self, key: IqKey) -> int:
        """An answer was written to the client: the number in the uid of its request, -1 when nobody asked."""
        open_ = self._open.pop(key, None)
        if open_ is None:
            return -1
        keys = self._keys[key.sid]
        keys.discard(key)
        if not keys:
            del self._keys[key.sid]
        return open_[1]

    def reopen(self, key: IqKey, deadline: float) -> None:
        """A request of a stream that was resumed here: its time has begun before."""
        self._keys.setdefault(key.sid, set()).add(key)
        self._open[key] = (deadline, 0)
        insort(self._order, (deadline, key))

    def of(self, sid: int) -> list[tuple[IqKey, float]]:
        """The open requests of a stream with their deadlines."""
        return [(key, self._open[key][0]) for key in self._keys.get(sid, ())]

    def close(self, sid: int) -> None:
        """The stream is gone; what it asked expires unheard."""
        for key in self._keys.pop(sid, ()):
            del self._open[key]

    def due(self) -> float | None:
        """When `expire` may have something, or None."""
        order = self._order
        while order and self._open.get(order[0][1], _CLOSED)[0] != order[0][0]:
            order.popleft()
        return order[0][0] if order else None

    def expire(self, now: float) -> list[tuple[IqKey, int]]:
        """Requests that had no answer in time, with their numbers; they are closed by this."""
        late: list[tuple[IqKey, int]] = []
        order = self._order
        while order and order[0][0] <= now:
            deadline, key = order.popleft()
            open_ = self._open.get(key, _CLOSED)
            if open_[0] == deadline:
                self.answered(key)
                late.append((key, open_[1]))
        return late

    def __len__(self) -> int:
        return len(self._open)


def timeout_answer(key: IqKey, full: str) -> Stanza:
    """`remote-server-timeout` (RFC 6120 section 8.3.3.16) to `full`, from the entity that did not answer."""
    request = Stanza("iq", "get", key.to or full.partition("/")[0], full, key.id, "", (), (), b"")
    return request.error(StanzaError("remote-server-timeout"))


def ping(id: str, domain: str, full: str) -> Stanza:
    """A ping from the server to a silent client (XEP-0199 section 4.1)."""
    return Stanza.build("iq", Element("urn:xmpp:ping", "ping"), type="get", id=id, from_=domain, to=full)

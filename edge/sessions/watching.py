"""Accounts that an operator watches: what their sessions at this edge send and get is remembered for a moment, until somebody asks.

A session that is not watched pays for one comparison of a stanza. A watch lasts as long as somebody goes on asking; what it keeps is
bounded, and so is the number of watches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol

from rookery.shared.xmpp.stanza import Stanza

#: Stanzas that are kept of one account, and accounts that are watched at once.
KEPT: Final = 500
WATCHES: Final = 16
#: Seconds that a watch lasts when nobody asks again.
LASTS: Final = 15.0
#: Octets of a stanza that are told with its content.
SHOWN: Final = 8192


class Seen(NamedTuple):
    """A stanza that passed: `sent` by the client, or given to it."""

    number: int
    at: float
    full: str
    sent: bool
    stanza: Stanza


class Watch:
    """One account that is watched."""

    __slots__ = ("number", "seen", "until", "wall")

    def __init__(self, wall: Callable[[], float]) -> None:
        self.wall = wall
        self.seen: deque[Seen] = deque(maxlen=KEPT)
        self.number = 0
        self.until = 0.0

    def note(self, full: str, sent: bool, stanza: Stanza) -> None:
        """A stanza passes."""
        self.number += 1
        self.seen.append(Seen(self.number, self.wall(), full, sent, stanza))


class Watched(Protocol):
    """A session as the watches see it."""

    watch: Watch | None


class Watches:
    """The watches of one edge, by bare JID. `clock` gives seconds that grow, `wall` Unix seconds."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._clock = clock
        self._wall = wall
        self._by_account: dict[str, Watch] = {}

    def __bool__(self) -> bool:
        return bool(self._by_account)

    def of(self, account: str) -> Watch | None:
        """Who watches an account, for a session that begins."""
        return self._by_account.get(account)

    def renew(self, account: str) -> tuple[Watch, bool]:
        """The watch of an account, which goes on for a while, and whether it is new. Raises ValueError when there are too many."""
        watch = self._by_account.get(account)
        new = watch is None
        if watch is None:
            if len(self._by_account) >= WATCHES:
                raise ValueError(f"{WATCHES} accounts are watched already")
            watch = self._by_account[account] = Watch(self._wall)
        watch.until = self._clock() + LASTS
        return watch, new

    def answer(
        self, detail: dict[str, Any], sessions: Callable[[str], Iterable[Watched]]
    ) -> list[dict[str, Any]]:
        """What an operator asks: {"account", "after", "limit", "bodies"}. Raises ValueError, KeyError."""
        account = str(detail["account"])
        watch, new = self.renew(account)
        for session in sessions(account) if new else ():
            session.watch = watch
        limit = min(KEPT, int(detail.get("limit", 100)))
        return told(watch.seen, int(detail.get("after", 0)), limit, bodies=detail.get("bodies") is True)

    def tick(self, sessions: Callable[[str], Iterable[Watched]]) -> None:
        """Once a second: end what nobody has asked for lately."""
        for account in self.expired() if self._by_account else ():
            for session in sessions(account):
                session.watch = None

    def expired(self) -> list[str]:
        """Forget and return the accounts whose watches nobody has renewed."""
        now = self._clock()
        gone = [account for account, watch in self._by_account.items() if watch.until < now]
        for account in gone:
            del self._by_account[account]
        return gone


def told(seen: Iterable[Seen], after: int, limit: int, *, bodies: bool) -> list[dict[str, Any]]:
    """What is behind the number `after`; without `bodies` only what routing needs, and the names of what is in it."""
    return [_told(one, bodies) for one in seen if one.number > after][:limit]


def _told(one: Seen, bodies: bool) -> dict[str, Any]:
    stanza = one.stanza
    found: dict[str, Any] = {
        "number": one.number,
        "at": one.at,
        "session": one.full,
        "sent": one.sent,
        "kind": stanza.kind,
        "type": stanza.type,
        "from": stanza.from_,
        "to": stanza.to,
        "id": stanza.id,
        "names": [f"{{{namespace}}}{name}" for namespace, name in stanza.payloads],
        "octets": len(stanza.inner),
    }
    if bodies:
        found["content"] = stanza.inner[:SHOWN].decode("utf-8", "replace")
    return found

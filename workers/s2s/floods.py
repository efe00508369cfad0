"""Who asks or writes too much: strangers that ask for subscriptions, and accounts of ours that flood other servers. Pure: time is an argument."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, Generic, TypeVar

from rookery.shared.bucket import Bucket
from rookery.shared.xmpp.stanza import Stanza

T = TypeVar("T")
#: Names that are remembered; those that were heard of longest ago are forgotten.
NAMES: Final = 16_384
#: What waits of one account; beyond it is refused.
LINE: Final = 1000


class _Buckets:
    """A bucket for each name. It may be empty, but not overdrawn: what it does not allow is not taken."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._rate = per_second
        self._burst = burst
        self._found: OrderedDict[str, Bucket] = OrderedDict()

    def allows(self, name: str, now: float) -> bool:
        """Take one, if there is one."""
        bucket = self._found.pop(name, None)
        if bucket is None:
            bucket = Bucket(self._rate, self._burst, now)
            if len(self._found) >= NAMES:
                self._found.popitem(last=False)
        self._found[name] = bucket
        if bucket.take(0, now):
            return False
        bucket.take(1, now)
        return True


class Requests:
    """Requests for subscriptions that come in: so many a minute of each remote domain, and a quarter of it for each account. 0: no limit."""

    def __init__(self, per_minute: int) -> None:
        self._remotes = _Buckets(per_minute / 60, per_minute) if per_minute else None
        fewer = max(1, per_minute // 4)
        self._accounts = _Buckets(fewer / 60, fewer)
        #: How many were refused.
        self.refused = 0

    def allows(self, remote: str, account: str, now: float) -> bool:
        """Whether one more may be passed on."""
        if self._remotes is None:
            return True
        if self._remotes.allows(remote, now) and self._accounts.allows(account, now):
            return True
        self.refused += 1
        return False


class Floods(Generic[T]):
    """What accounts of ours send to other servers: beyond their rate it waits in a line for each account, in order. 0: no limit."""

    def __init__(self, per_minute: int, burst: int) -> None:
        self._buckets = _Buckets(per_minute / 60, burst) if per_minute else None
        self._lines: dict[str, deque[tuple[bool, T]]] = {}

    @property
    def slowed(self) -> int:
        """Accounts for which something waits."""
        return len(self._lines)

    def take(self, account: str, stanza: Stanza, item: T, now: float) -> bool | None:
        """True: it goes on now. False: it waits. None: too much waits, it is to be refused."""
        if self._buckets is None:
            return True
        line = self._lines.get(account)
        counts = counted(stanza)
        if line is None:
            if not counts or self._buckets.allows(account, now):
                return True
            self._lines[account] = deque([(counts, item)])
            return False
        if len(line) >= LINE:
            return None
        line.append((counts, item))
        return False

    def due(self, now: float) -> list[T]:
        """What may go on now."""
        found: list[T] = []
        for account, line in list(self._lines.items()):
            while line and (not line[0][0] or self._buckets is None or self._buckets.allows(account, now)):
                found.append(line.popleft()[1])
            if not line:
                del self._lines[account]
        return found


def counted(stanza: Stanza) -> bool:
    """What strangers would call spam: messages that say something by themselves, and requests for subscriptions."""
    if stanza.kind == "message":
        return stanza.type not in ("error", "groupchat")
    return stanza.kind == "presence" and stanza.type == "subscribe"

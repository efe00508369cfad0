"""Accounts of which a change was heard lately: what others have read of them in Postgres may be older. Pure.

What the roster worker, or another account's presence worker, says of an account is believed only where nothing was heard of that account
since before it can have been read.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

#: Seconds that a change is remembered: longer than anything that was read before it is under way.
REMEMBERED: Final = 60.0
#: Accounts that are remembered; when there are more, nobody is believed for that long.
MOST: Final = 50_000


class Changes:
    """When each account changed, and when each partition came here: before that, changes were told to somebody else."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._heard: OrderedDict[str, float] = OrderedDict()
        self._since: dict[int, float] = {}
        #: Before this time nothing is believed.
        self._from = 0.0

    def acquired(self, partition: int, now: float) -> None:
        """The partition is this process's from now on."""
        self._since[partition] = now

    def forget(self, partition: int) -> None:
        """The partition is another process's."""
        self._since.pop(partition, None)

    def heard(self, account: str, now: float) -> None:
        """Something of the account has changed."""
        heard = self._heard
        heard[account] = now
        heard.move_to_end(account)
        while heard and next(iter(heard.values())) < now - REMEMBERED:
            heard.popitem(last=False)
        if len(heard) > self._most:
            heard.clear()
            self._from = now + REMEMBERED

    def none(self, partition: int, account: str, now: float) -> bool:
        """Whether the account, of that partition, has not changed for long enough to believe what was read of it."""
        since = self._since.get(partition)
        if since is None or since > now - REMEMBERED or now < self._from:
            return False
        at = self._heard.get(account)
        return at is None or at < now - REMEMBERED

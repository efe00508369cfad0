"""Whose roster was read for the presence worker lately: that one keeps it for longer, so it need not be told of every request."""

from __future__ import annotations

from typing import Final

#: Seconds between two tellings; the presence worker keeps subscriptions for 300.
EVERY: Final = 200.0
#: Accounts of a partition that are remembered, then all are told again.
MOST: Final = 8192
#: Contacts in one telling; whoever has more is read by the presence worker.
MOST_CONTACTS: Final = 2000


class Reading:
    """When each account was told, by partition."""

    def __init__(self) -> None:
        self._told: dict[int, dict[str, float]] = {}

    def due(self, partition: int, account: str, now: float) -> bool:
        """Whether the account is to be told now; then it was."""
        told = self._told.setdefault(partition, {})
        if told.get(account, -EVERY) > now - EVERY:
            return False
        if len(told) >= MOST:
            told.clear()
        told[account] = now
        return True

    def forget(self, partition: int) -> None:
        """The partition is another process's now."""
        self._told.pop(partition, None)

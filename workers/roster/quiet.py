"""Accounts that have no open subscription request: most have none, so most sessions that become available need no statement.

Only the holder of the account's partition commits a request, so what it knows stays true until it does.
"""

from __future__ import annotations

from typing import Final

#: Accounts of one partition that are remembered; then all of that partition are asked for again.
MAX_ACCOUNTS: Final = 8192


class Quiet:
    """Such accounts, by partition."""

    def __init__(self) -> None:
        self._accounts: dict[int, set[str]] = {}
        self._changes: dict[int, int] = {}

    def changes(self, partition: int) -> int:
        """How often something of the partition was discarded: `add` wants to know how often it was before Postgres was asked."""
        return self._changes.get(partition, 0)

    def known(self, partition: int, account: str) -> bool:
        """Whether the account has no open request for sure."""
        return account in self._accounts.get(partition, ())

    def add(self, partition: int, account: str, since: int) -> None:
        """Postgres says that it has none; `since`: `changes` before it was asked. A request may have been committed meanwhile: then nothing is known."""
        if self.changes(partition) != since:
            return
        accounts = self._accounts.setdefault(partition, set())
        if len(accounts) >= MAX_ACCOUNTS:
            accounts.clear()
        accounts.add(account)

    def discard(self, partition: int, account: str) -> None:
        """It may have one from now on. To be called before a request is committed, and after it."""
        self._changes[partition] = self.changes(partition) + 1
        self._accounts.get(partition, set()).discard(account)

    def forget(self, partition: int) -> None:
        """The partition is another process's now."""
        self._accounts.pop(partition, None)

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

    def known(self, partition: int, account: str) -> bool:
        """Whether the account has no open request for sure."""
        return account in self._accounts.get(partition, ())

    def add(self, partition: int, account: str) -> None:
        """Postgres says that it has none."""
        accounts = self._accounts.setdefault(partition, set())
        if len(accounts) >= MAX_ACCOUNTS:
            accounts.clear()
        accounts.add(account)

    def discard(self, partition: int, account: str) -> None:
        """It may have one from now on."""
        self._accounts.get(partition, set()).discard(account)

    def forget(self, partition: int) -> None:
        """The partition is another process's now."""
        self._accounts.pop(partition, None)

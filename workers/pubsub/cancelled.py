"""Contacts who were cancelled lately: approved again, they are told last items under new numbers. Pure.

Routers give each number of a node once to a session, and remember that for a while (`shared.custody.told_nodes`). Whoever was cancelled
meanwhile has forgotten what it was told, so it is told once more.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

#: Seconds: longer than routers and edges remember what sessions were told.
SECONDS: Final = 300.0
#: Pairs that are remembered.
MOST: Final = 10_000


class Cancelled:
    """When each contact was cancelled, by (account, contact)."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._pairs: OrderedDict[tuple[str, str], float] = OrderedDict()

    def add(self, account: str, contact: str, now: float) -> None:
        """The contact does not see the account any more."""
        self._pairs[account, contact] = now
        self._pairs.move_to_end((account, contact))
        if len(self._pairs) > self._most:
            self._pairs.popitem(last=False)

    def take(self, account: str, contact: str, now: float) -> bool:
        """The contact sees the account from now on: whether it was cancelled lately."""
        at = self._pairs.pop((account, contact), None)
        return at is not None and at > now - SECONDS

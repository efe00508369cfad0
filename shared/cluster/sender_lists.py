"""Lists of senders that other servers publish, as a process knows them: kept current from the rows, asked for each address."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog
import trio

from rookery.shared.cluster.api import Node
from rookery.shared.db import sender_lists
from rookery.shared.db.api import DatabaseUnavailable

#: Between looks at the versions, which are one row for each list. Seconds.
INTERVAL: Final = 5.0
#: Answers that are remembered.
_REMEMBERED: Final = 4096
_log = structlog.get_logger()


class SenderLists:
    """Whether an address stands in one of the lists. `changed` is called when that may be another."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._names: Sequence[str] = list(node.config.s2s.block_lists)
        self._versions: Mapping[str, int] = {}
        self._hashes: frozenset[bytes] = frozenset()
        self._asked: dict[str, bool] = {}
        self.changed: Callable[[], None] = lambda: None

    def __bool__(self) -> bool:
        """Whether anybody is listed."""
        return bool(self._hashes)

    def has(self, bare: str) -> bool:
        """Whether a bare JID or its domain is listed."""
        if not self._hashes:
            return False
        found = self._asked.get(bare)
        if found is None:
            found = hashed(bare) in self._hashes or hashed(bare.rpartition("@")[2]) in self._hashes
            if len(self._asked) >= _REMEMBERED:
                self._asked.clear()
            self._asked[bare] = found
        return found

    def learn(self, hashes: frozenset[bytes]) -> None:
        """The entries of all lists."""
        self._hashes = hashes
        self._asked.clear()
        self.changed()

    async def run(self) -> None:
        """Follow the rows until cancelled; without lists there is nothing to do."""
        while self._names:
            try:
                await self._look()
            except DatabaseUnavailable:
                pass
            await trio.sleep(INTERVAL)

    async def _look(self) -> None:
        db, names = self._node.db, self._names
        versions = await db.run(0, lambda conn: sender_lists.versions(conn, names), op="sender_lists")
        if versions != self._versions:
            self.learn(await db.run(0, lambda conn: sender_lists.entries(conn, names), op="sender_lists"))
            self._versions = versions
            _log.info("sender_lists_read", lists=len(versions), entries=len(self._hashes))


def hashed(address: str) -> bytes:
    """How lists name a bare JID or a domain."""
    return hashlib.sha256(address.encode()).digest()

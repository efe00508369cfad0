"""The hosted domains, as the router needs them: which are ours, whether registration is open, contact addresses."""

from __future__ import annotations

import json
from typing import Any, Final

import trio

from rookery.router.core import Core
from rookery.shared.db.api import Connection, DatabaseUnavailable

Contacts = tuple[tuple[str, tuple[str, ...]], ...]
_SELECT: Final = "SELECT name, registration, policy FROM domain"
_RETRY: Final = 0.5


def contacts_of(policy: object) -> Contacts:
    """The contact addresses (XEP-0157) in a domain's policy: {"contacts": {"abuse-addresses": ["mailto:..."]}}."""
    if isinstance(policy, str):
        policy = json.loads(policy)
    contacts: Any = policy.get("contacts") if isinstance(policy, dict) else None
    if not isinstance(contacts, dict):
        return ()
    return tuple(
        (str(field), tuple(str(uri) for uri in uris))
        for field, uris in sorted(contacts.items())
        if isinstance(uris, list)
    )


class Domains:
    """Keeps `Core.domains` current."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._stale = trio.Event()
        self._stale.set()
        self._known = trio.Event()

    def changed(self) -> None:
        """The rows may have changed."""
        self._stale.set()

    async def known(self) -> None:
        """Wait until the rows were read once."""
        await self._known.wait()

    async def run(self) -> None:
        """Read the rows whenever they may have changed, until cancelled."""

        async def work(conn: Connection) -> dict[str, tuple[bool, Contacts]]:
            rows = await conn.fetch(_SELECT)
            return {row["name"]: (row["registration"], contacts_of(row["policy"])) for row in rows}

        while True:
            await self._stale.wait()
            self._stale = trio.Event()
            try:
                self._core.domains = await self._core.node.db.run(0, work)
            except DatabaseUnavailable:
                self._stale.set()
                await trio.sleep(_RETRY)
                continue
            self._known.set()

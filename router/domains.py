"""The hosted domains, as the router needs them: which are ours, whether registration is open, contact addresses."""

from __future__ import annotations

import json
from collections.abc import Callable
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


def relaxed_by(policy: object, default: str) -> bool:
    """Whether a domain's messages are accepted on receipt: {"durability": "relaxed"}, else what is configured."""
    if isinstance(policy, str):
        policy = json.loads(policy)
    said = policy.get("durability") if isinstance(policy, dict) else None
    return (said if said in ("durable", "relaxed") else default) == "relaxed"


class Domains:
    """Keeps `Core.domains` and `Core.relaxed` current."""

    def __init__(self, core: Core) -> None:
        self._core = core
        #: Called with the domains whose durability has changed.
        self.on_durability: Callable[[frozenset[str]], None] = _ignore
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

        default = self._core.config.durability

        async def work(conn: Connection) -> tuple[dict[str, tuple[bool, Contacts]], frozenset[str]]:
            rows = await conn.fetch(_SELECT)
            domains = {row["name"]: (row["registration"], contacts_of(row["policy"])) for row in rows}
            return domains, frozenset(row["name"] for row in rows if relaxed_by(row["policy"], default))

        while True:
            await self._stale.wait()
            self._stale = trio.Event()
            try:
                self._core.domains, relaxed = await self._core.node.db.run(0, work)
            except DatabaseUnavailable:
                self._stale.set()
                await trio.sleep(_RETRY)
                continue
            changed, self._core.relaxed = relaxed ^ self._core.relaxed, relaxed
            self._known.set()
            if changed:
                self.on_durability(changed)


def _ignore(changed: frozenset[str]) -> None:
    pass

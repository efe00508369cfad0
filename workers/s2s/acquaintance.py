"""Which remote domains are strangers: those that no user here has ever written to. What they may send is limited (`streams.ground`)."""

from __future__ import annotations

from functools import partial
from typing import Final, Protocol

import trio

from rookery.shared.cluster.addresses import Addresses
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.queue import sql

#: Another process may have heard of it: strangers that still have streams are looked up again after this time.
AGAIN_SECONDS: Final = 30.0
#: New ones that come within this time are looked up together.
SOON_SECONDS: Final = 0.05


class Known(Protocol):
    """Who limits strangers."""

    def strangers(self) -> list[str]:
        """Remote domains that nobody here has written to, as far as is known."""

    def befriend(self, remote: str) -> None:
        """Somebody here has written to this domain."""


class Acquaintance:
    """Looks strangers up in the rows of the queues."""

    def __init__(self, node: Node, known: Known) -> None:
        self._node = node
        self._known = known
        self._new = trio.Event()

    def new(self, _remote: str) -> None:
        """A remote domain has proved itself, of which nothing is known here."""
        self._new.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with trio.move_on_after(AGAIN_SECONDS):
                await self._new.wait()
            self._new = trio.Event()
            await trio.sleep(SOON_SECONDS)
            strangers = self._known.strangers()
            if not strangers:
                continue
            try:
                friends = await self._node.db.run(
                    0, partial(sql.friends, remotes=strangers), op="s2s_friends"
                )
            except DatabaseUnavailable:
                continue
            for remote in friends:
                self._known.befriend(remote)


def speaks(stanza: Stanza, addresses: Addresses) -> bool:
    """Whether a user here wants something of whom it is for: no answer, no error, nothing that the server says by itself."""
    if stanza.kind == "message":
        return stanza.type != "error" and addresses.account(stanza.from_)
    if stanza.kind == "presence":
        return stanza.type in ("", "subscribe", "subscribed") and addresses.account(stanza.from_)
    return stanza.type in ("get", "set") and "/" in stanza.from_ and addresses.account(stanza.from_)

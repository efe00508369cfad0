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
#: New ones that come within this time are looked up together; once more after a while, for the row of a first message may be on its way.
SOON_SECONDS: Final = 0.05
LATER_SECONDS: Final = 1.0


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
        #: Those that were not looked up yet, and those that were once.
        self._unknown: set[str] = set()
        self._doubtful: set[str] = set()

    def new(self, remote: str) -> None:
        """A remote domain has proved itself, of which nothing is known here."""
        self._unknown.add(remote)
        self._new.set()

    async def run(self) -> None:
        """Until cancelled. Only now and then are all strangers looked up: there may be thousands, and new ones all the time."""
        everybody = trio.current_time() + AGAIN_SECONDS
        later = everybody
        while True:
            with trio.move_on_at(min(later, everybody)):
                await self._new.wait()
            self._new = trio.Event()
            await trio.sleep(SOON_SECONDS)
            now = trio.current_time()
            if now >= everybody:
                later = everybody = now + AGAIN_SECONDS
                self._unknown, self._doubtful = set(), set()
                await self._look(self._known.strangers())
                continue
            doubtful: set[str] = set()
            if now >= later:
                doubtful, self._doubtful, later = self._doubtful, set(), everybody
            new, self._unknown = self._unknown, set()
            if new:
                self._doubtful |= new
                later = min(later, now + LATER_SECONDS)
            await self._look(sorted(new | doubtful))

    async def _look(self, names: list[str]) -> None:
        if not names:
            return
        try:
            friends = await self._node.db.run(0, partial(sql.friends, remotes=names), op="s2s_friends")
        except DatabaseUnavailable:
            self._doubtful.update(names)
            return
        self._doubtful -= friends
        for remote in friends:
            self._known.befriend(remote)


def speaks(stanza: Stanza, addresses: Addresses) -> bool:
    """Whether a user here wants something of whom it is for: no answer, no error, nothing that the server says by itself."""
    if stanza.kind == "message":
        return stanza.type != "error" and addresses.account(stanza.from_)
    if stanza.kind == "presence":
        return stanza.type in ("", "subscribe", "subscribed") and addresses.account(stanza.from_)
    return stanza.type in ("get", "set") and "/" in stanza.from_ and addresses.account(stanza.from_)

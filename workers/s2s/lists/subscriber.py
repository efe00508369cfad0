"""Keeps the rows of lists current: whoever holds the partition of a list's service asks, every process takes what that service tells."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
import trio

from rookery.shared.bus.messages import NOBODY, Kind, Route
from rookery.shared.cluster.addresses import Addresses
from rookery.shared.cluster.api import Node
from rookery.shared.db import sender_lists
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.lists.wire import MOST, Source, Told, fetch, source, subscribe, told

#: A list that was read is read again after this time; one that was not, after the first of these pauses, twice as long each time. Seconds.
AGAIN: Final = 6 * 3600.0
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0
_TICK: Final = 5.0
_PAUSE: Final = 1.0
#: What was told and is not written; beyond it the list is read anew later.
_WAITING: Final = 10_000
_PREFIX: Final = "sender-list-"
_log = structlog.get_logger()


class _Asked:
    """When a list is asked for next, and the pause after that."""

    def __init__(self) -> None:
        self.at = 0.0
        self.pause = FIRST_PAUSE


class Subscriber:
    """`held` tells whether this process has the partition of a remote domain."""

    def __init__(self, node: Node, addresses: Addresses, held: Callable[[int], bool]) -> None:
        self._node = node
        self._addresses = addresses
        self._held = held
        self._sources = [source(said) for said in node.config.s2s.block_lists]
        self._names = {of.name for of in self._sources}
        self._services = {of.service for of in self._sources}
        self._asked: dict[Source, _Asked] = {}
        self._us = ""
        self._send, self._changes = trio.open_memory_channel[tuple[str, Told]](_WAITING)

    def __bool__(self) -> bool:
        """Whether there are lists."""
        return bool(self._sources)

    def learn(self, domains: list[str]) -> None:
        """The hosted domains of accounts: the configured one of them subscribes, or the first."""
        chosen = self._node.config.s2s.block_lists_as
        self._us = chosen if chosen in domains else min(domains, default="")

    # --- what services tell ------------------------------------------------------------------------------------------

    def took(self, stanza: Stanza) -> bool:
        """Whether a stanza is about a list: then it is for nobody else."""
        if stanza.from_ not in self._services or "@" in stanza.to:
            return False
        if stanza.kind == "iq" and stanza.id.startswith(_PREFIX):
            if stanza.type == "error":
                _log.warning("sender_list_refused", service=stanza.from_, error=_condition(stanza))
        elif stanza.kind != "message":
            return False
        found = told(stanza)
        if found is None:
            return stanza.kind == "iq"
        name = Source(stanza.from_, found.node).name
        if name not in self._names:
            return False
        try:
            self._send.send_nowait((name, found))
        except trio.WouldBlock:
            _log.warning("sender_list_behind", list=name)
        return True

    async def _write(self) -> None:
        async for name, found in self._changes:
            if found.whole and len(found.added) == MOST:
                _log.warning("sender_list_too_long", list=name, entries=MOST)
            change = partial(
                sender_lists.change, name=name, added=found.added, removed=found.removed, whole=found.whole
            )
            while True:
                try:
                    await self._node.db.run(0, change, op="sender_lists")
                    break
                except DatabaseUnavailable:
                    await trio.sleep(_PAUSE)

    # --- asking ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ask, and write what is told, until cancelled."""
        if not self:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            while True:
                for of in self._sources:
                    try:
                        await self._look(of)
                    except DatabaseUnavailable:
                        continue
                await trio.sleep(_TICK)

    async def _look(self, of: Source) -> None:
        """Ask for a list if that is ours to do, and due."""
        place = self._addresses.place(of.service)
        if not self._us or place.kind is not Kind.S2S or not self._held(place.partition):
            self._asked.pop(of, None)
            return
        now, asked = trio.current_time(), self._asked.get(of)
        if asked is None:
            # Also what another process has asked for: what was told meanwhile may be lost with it.
            asked = self._asked[of] = _Asked()
        elif now < asked.at:
            return
        else:
            age = await self._node.db.run(0, partial(sender_lists.age, name=of.name), op="sender_lists")
            if age < AGAIN:
                asked.at, asked.pause = now + AGAIN - age, FIRST_PAUSE
                return
        asked.at, asked.pause = now + asked.pause, min(asked.pause * 2, LONGEST_PAUSE)
        for request in (subscribe, fetch):
            stanza = request(of, self._us, _PREFIX + secrets.token_urlsafe(12))
            self._node.bus.post(Kind.S2S, place.partition, Route(NOBODY, stanza))


def _condition(stanza: Stanza) -> str:
    """What an error says."""
    error = next((one for one in stanza.elements() if one.name == "error"), None)
    return next((one.name for one in error.elements()), "") if error is not None else ""

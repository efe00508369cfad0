"""Rosters in which everybody knows K others, both ways, made over XMPP alone (RFC 6121 section 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.scan import split
from rookery.bench.driver.script import Script, Send, ask
from rookery.bench.scenarios._scenario import Phase
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.xml import escape_attr

if TYPE_CHECKING:
    from rookery.bench.driver.driver import Driver

_ITEM: Final = re.compile(rb"<item\b[^>]*>")
_JID: Final = re.compile(rb" jid=['\"]([^'\"]+)['\"]")
_BOTH: Final = re.compile(rb" subscription=['\"]both['\"]")
_SUBSCRIBE: Final = re.compile(rb"\A<presence[^>]* type=['\"]subscribe['\"]")
_FROM: Final = re.compile(rb" from=['\"]([^'\"/]+)[^'\"]*['\"]")


class Contacts:
    """The K nearest of a ring of the process's clients, made friends."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._place = {client: place for place, client in enumerate(driver.clients)}
        #: Bare JIDs that a client shall know and does not yet know both ways.
        self._wanted: dict[Client, set[bytes]] = {}

    def of(self, client: Client) -> list[Client]:
        """The contacts of a client: a relation both ways (for odd K, the one opposite in a ring of even size)."""
        clients, place = self._driver.clients, self._place[client]
        size, half = len(clients), self._driver.plan.contacts // 2
        steps = [step for near in range(1, half + 1) for step in (near, -near)]
        if self._driver.plan.contacts % 2:
            steps.append(size // 2 if size % 2 == 0 else 0)
        return [clients[(place + step) % size] for step in steps if step]

    def phases(self) -> Iterable[Phase]:
        """Fetch the roster, then ask those who are not there."""
        yield Phase("reading rosters", self._read)
        yield Phase("asking contacts", self._ask)

    def missing(self) -> int:
        """Contacts that are not there yet, of all clients."""
        return sum(len(wanted) for client, wanted in self._wanted.items() if client.open)

    def _read(self, client: Client) -> Script:
        known = set()
        roster = yield from ask("roster", "get", f"<query xmlns='{ns.ROSTER}'/>")
        query = roster.find(ns.ROSTER, "query")
        for item in query.elements() if query is not None else ():
            if item.get("subscription") == "both":
                known.add((item.get("jid") or "").encode())
        self._wanted[client] = {
            contact.session.account.bare.encode() for contact in self.of(client) if contact.open
        } - known

    def _ask(self, client: Client) -> Script | None:
        wanted = self._wanted.get(client)
        if not wanted:
            return None

        def script() -> Script:
            for bare in sorted(wanted):
                to = escape_attr(bare.decode()).encode()
                yield Send(b"<presence%b to='%b' type='subscribe'/>" % (client.xmlns, to))

        return script()

    def listen(self, client: Client, data: bytes) -> None:
        """Approve who asks, and see from roster pushes who is a contact now."""
        whole, client.tail = split(client.tail + data)
        for element in whole:
            if _SUBSCRIBE.match(element):
                found = _FROM.search(element)
                if found is not None:
                    client.write(b"<presence%b to='%b' type='subscribed'/>" % (client.xmlns, found[1]))
                continue
            if element.startswith(b"<iq") and b"jabber:iq:roster" in element:
                self._pushed(client, element)
            self._driver.other(client, element)

    def _pushed(self, client: Client, element: bytes) -> None:
        for item in _ITEM.findall(element):
            jid = _JID.search(item)
            if jid is not None and _BOTH.search(item) and client in self._wanted:
                self._wanted[client].discard(jid[1])

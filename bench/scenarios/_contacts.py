"""Rosters in which everybody, or each of some guests, knows K others, both ways, made over XMPP alone (RFC 6121 section 3).

Of two who shall know each other one asks, and the other approves and asks back: requests that cross make servers write the
same two roster items at once. One asks a few at a time: requests that wait for a server that writes whole rosters would be asked for again
meanwhile. What does not come to an end is read, approved and asked for again, which changes nothing where all is well. At the end all rosters are
read until that goes fast: some servers still work on the presence that subscriptions bring long after the last of them is granted, and would be
measured with that.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from html import unescape
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import SECOND, Driver
from rookery.bench.driver.scan import split
from rookery.bench.driver.script import Script, Send, ask
from rookery.bench.plan import Plan, PlanError
from rookery.bench.scenarios._scenario import Phase, Scenario
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.xml import escape_attr

_ITEM: Final = re.compile(rb"<item\b[^>]*>")
_JID: Final = re.compile(rb" jid=['\"]([^'\"]+)['\"]")
_ROSTER: Final = b"<iq%b type='get' id='again'><query xmlns='jabber:iq:roster'/></iq>"
_BOTH: Final = re.compile(rb" subscription=['\"]both['\"]")
_SUBSCRIBE: Final = re.compile(rb"\A<presence[^>]* type=['\"]subscribe['\"]")
#: Nanoseconds without a new contact after which those that lack are asked again.
_AGAIN_NS: Final = 5 * SECOND
#: A server that tells all rosters in this time has nothing else to do.
_QUIET_NS: Final = SECOND
_MOST_CHECKS: Final = 60
#: Contacts that one asks at a time.
_ASKED: Final = 10
_FROM: Final = re.compile(rb" from=['\"]([^'\"/]+)[^'\"]*['\"]")


class Contacts:
    """The K nearest of a ring of the process's clients, made friends; with `guests`, each of these and K of the others, who are not friends among
    themselves: that needs guests x K relations, not clients x K / 2.
    """

    def __init__(self, driver: Driver, guests: int = 0) -> None:
        self._driver = driver
        self._guests = guests
        self._place = {client: place for place, client in enumerate(driver.clients)}
        #: Bare JIDs that a client shall know and does not yet know both ways.
        self._wanted: dict[Client, set[bytes]] = {}
        self._clients = {client.session.account.bare.encode(): client for client in driver.clients}
        #: Whose presence a client gets besides, from rosters of earlier runs.
        self.further: dict[Client, set[bytes]] = {}
        #: Whom it has not asked yet, of those whom it asks.
        self._later: dict[Client, deque[bytes]] = {}
        #: All that it shall know.
        self._all: dict[Client, set[bytes]] = {}
        self._checks = self._checked = 0
        self._lacking = -1
        self._since = 0

    def of(self, client: Client) -> list[Client]:
        """The contacts of a client: a relation both ways (for odd K, the one opposite in a ring of even size)."""
        clients, place = self._driver.clients, self._place[client]
        if self._guests:
            return self._across(place)
        size, half = len(clients), self._driver.plan.contacts // 2
        steps = [step for near in range(1, half + 1) for step in (near, -near)]
        if self._driver.plan.contacts % 2:
            steps.append(size // 2 if size % 2 == 0 else 0)
        return [clients[(place + step) % size] for step in steps if step]

    def guest(self, client: Client) -> bool:
        """Whether it is one of the guests."""
        return self._place[client] < self._guests

    def _across(self, place: int) -> list[Client]:
        """Guests come first among the clients; each begins one place further among the others."""
        clients, guests, most = self._driver.clients, self._guests, self._driver.plan.contacts
        others = len(clients) - guests
        if place < guests:
            return [clients[guests + (place + step) % others] for step in range(min(most, others))]
        return [clients[one] for one in range(guests) if (place - guests - one) % others < most]

    def phases(self) -> Iterable[Phase]:
        """Fetch the roster, then ask those who are not there."""
        yield Phase("reading rosters", self._read)
        yield Phase("asking contacts", self._ask)

    def doubt(self) -> str:
        """What is to be said of rosters that hold more than was asked for; "" when none does."""
        if not self.further:
            return ""
        return (
            f"rosters of {len(self.further)} users hold more contacts than {self._driver.plan.contacts}, of earlier runs: the server "
            "works for them, too, and that is not counted; use other users"
        )

    def missing(self, now: int) -> int:
        """Contacts that are not there yet, of all clients; asks again when nothing moves, checks when all are there."""
        lacking = sum(len(wanted) for client, wanted in self._wanted.items() if client.open)
        if lacking != self._lacking:
            self._lacking, self._since = lacking, now
        if not lacking:
            slow = not self._checks or now - self._checked > _QUIET_NS
            return self._check(now) if slow and self._checks < _MOST_CHECKS else 0
        if now - self._since > _AGAIN_NS:
            self._since = now
            for client, wanted in self._wanted.items():
                if client.open and wanted:
                    self._repeat(client, wanted)
        return lacking

    def _check(self, now: int) -> int:
        """Read all rosters anew; until they are there, nobody knows anybody."""
        self._checks, self._checked = self._checks + 1, now
        for client, wanted in self._all.items():
            self._wanted[client] = set(wanted)
            if client.open and wanted:
                client.write(_ROSTER % client.xmlns)
        return sum(len(wanted) for client, wanted in self._all.items() if client.open)

    def _repeat(self, client: Client, wanted: set[bytes]) -> None:
        """Read the roster; approve and ask, whoever should have: what is granted or asked already stays as it is."""
        client.write(_ROSTER % client.xmlns)
        later = self._later.get(client, ())
        for bare in sorted(wanted.difference(later)):
            self._say(client, bare, b"subscribed")
            self._say(client, bare, b"subscribe")

    def _say(self, client: Client, bare: bytes, kind: bytes) -> None:
        client.write(_presence(client, bare, kind))

    def _first(self, client: Client, bare: bytes) -> bool:
        """Whether the client is the one of the two who asks first."""
        other = self._clients.get(bare)
        return other is None or self._place[client] < self._place[other]

    def _read(self, client: Client) -> Script:
        known, sees = set(), set()
        roster = yield from ask("roster", "get", f"<query xmlns='{ns.ROSTER}'/>")
        query = roster.find(ns.ROSTER, "query")
        for item in query.elements() if query is not None else ():
            if item.get("subscription") == "both":
                known.add((item.get("jid") or "").encode())
            if item.get("subscription") in ("both", "to"):
                sees.add((item.get("jid") or "").encode())
        wanted = {contact.session.account.bare.encode() for contact in self.of(client) if contact.open}
        self._all[client] = wanted
        self._wanted[client] = wanted - known
        if sees - wanted:
            self.further[client] = sees - wanted

    def _ask(self, client: Client) -> Script | None:
        wanted = self._wanted.get(client)
        if not wanted:
            return None

        self._later[client] = later = deque(bare for bare in sorted(wanted) if self._first(client, bare))

        def script() -> Script:
            for _ in range(min(_ASKED, len(later))):
                yield Send(_presence(client, later.popleft(), b"subscribe"))

        return script()

    def listen(self, client: Client, data: bytes) -> None:
        """Approve who asks, and see from roster pushes who is a contact now."""
        whole, client.tail = split(client.tail + data)
        for element in whole:
            if _SUBSCRIBE.match(element):
                found = _FROM.search(element)
                if found is not None:
                    self._asked(client, unescape(found[1].decode()).encode())
                continue
            if element.startswith(b"<iq") and b"jabber:iq:roster" in element:
                self._pushed(client, element)
            self._driver.other(client, element)

    def _asked(self, client: Client, bare: bytes) -> None:
        self._say(client, bare, b"subscribed")
        if bare in self._wanted.get(client, ()) and not self._first(client, bare):
            self._say(client, bare, b"subscribe")

    def _pushed(self, client: Client, element: bytes) -> None:
        for item in _ITEM.findall(element):
            jid = _JID.search(item)
            if jid is None or not _BOTH.search(item) or client not in self._wanted:
                continue
            bare, wanted = unescape(jid[1].decode()).encode(), self._wanted[client]
            if bare in wanted:
                wanted.discard(bare)
                later = self._later.get(client)
                if later and self._first(client, bare):
                    self._say(client, later.popleft(), b"subscribe")


def _presence(client: Client, bare: bytes, kind: bytes) -> bytes:
    return b"<presence%b to='%b' type='%b'/>" % (client.xmlns, escape_attr(bare.decode()).encode(), kind)


class Acquainted(Scenario):
    """A scenario whose users have K contacts each, of the same driver process."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self.contacts = Contacts(driver, self.guests())

    def guests(self) -> int:
        """How many of this process's users alone have K contacts, among the others; 0: everybody has."""
        return 0

    @classmethod
    def check(cls, plan: Plan) -> None:
        """Everybody needs K others in the same process. Raises PlanError."""
        super().check(plan)
        if plan.users // plan.processes < plan.contacts + 2:
            raise PlanError(
                f"{plan.contacts} contacts need more than {plan.contacts + 1} users in each process"
            )

    def phases(self) -> Iterable[Phase]:
        """Rosters."""
        return self.contacts.phases()

    def unsettled(self) -> int:
        """Subscriptions that are not there yet."""
        return self.contacts.missing(self.driver.loop.clock())

    def listen(self, client: Client, data: bytes) -> None:
        """Approve subscriptions."""
        self.contacts.listen(client, data)

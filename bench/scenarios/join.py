"""Who comes and goes in rooms (XEP-0045 sections 7.2 and 7.14): others stay in each room, guests enter it and leave it again.

An operation is one stay, and its latency the time from the join to the own presence, which comes behind those of all others. The users of a room
are its first one, who opens it, `talkers` guests, and residents. With as many talkers as users the rooms are empty: each guest has a persistent room of
its own. Delivered are the stays; what residents hear of them is not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import SECOND, Driver
from rookery.bench.driver.scan import ERROR, error_condition, split
from rookery.bench.driver.script import Script, ask
from rookery.bench.plan import Plan, PlanError
from rookery.bench.scenarios._rooms import MUC, Place, enter, leave, nick, places
from rookery.bench.scenarios._rounds import Rounds
from rookery.bench.scenarios._scenario import Phase
from rookery.shared.xmpp.xml import escape_attr

_SELF: Final = re.compile(rb"<status[^>]* code=['\"]110['\"]")
_GONE: Final = re.compile(rb"\A<presence[^>]* type=['\"]unavailable['\"]")


class Stay:
    """What a guest is doing: `inside` once its own presence has come. The addresses are of its own occupant."""

    __slots__ = ("address", "began", "enter", "inside", "intended", "leave", "own", "room")

    def __init__(self, client: Client, address: str) -> None:
        own = escape_attr(f"{address}/{nick(client)}").encode()
        join = f"<x xmlns='{MUC}'><history maxstanzas='0'/></x></presence>".encode()
        self.enter = b"<presence%b to='%b'>%b" % (client.xmlns, own, join)
        self.address = address
        self.own = re.compile(rb"\A<presence[^>]* from=['\"]" + re.escape(own))
        self.leave = b"<presence%b to='%b' type='unavailable'/>" % (client.xmlns, own)
        self.room = escape_attr(address).encode()
        self.inside = False
        self.intended = self.began = 0


class Join(Rounds):
    """Guests of all rooms take turns."""

    operation = "stay"
    parts = ("join",)
    summary = "Guests who enter and leave rooms that others are in: CPU of a stay, latency of the join."

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._join = driver.recorder.latency("join")
        self._places = places(driver)
        self._stays: dict[Client, Stay] = {}
        for place in self._places:
            for client, address in _guests(place, self.plan.talkers):
                self._stays[client] = Stay(client, address)

    @classmethod
    def check(cls, plan: Plan) -> None:
        """Each room needs its guests. Raises PlanError."""
        super().check(plan)
        if plan.users // plan.rooms < plan.talkers:
            raise PlanError("each room needs as many users as talkers, or more")

    def phases(self) -> Iterable[Phase]:
        """The first of each room opens it, then the residents enter."""
        residents = {
            client: place.address
            for place in self._places
            for client in place.occupants
            if client not in self._stays
        }
        first = {place.occupants[0] for place in self._places if place.occupants}

        def enters(client: Client, opening: bool) -> Script | None:
            address = residents.get(client)
            return None if address is None or (client in first) is not opening else enter(client, address)

        yield Phase("opening rooms", lambda client: enters(client, True))
        yield Phase("entering rooms", lambda client: enters(client, False))
        if not residents:
            yield Phase("making rooms", self._make)

    def _make(self, client: Client) -> Script:
        """A room that stays when nobody is in it; one of an earlier run is as good."""
        address = self._stays[client].address
        yield from enter(client, address)
        field = "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>"
        field += "<field var='muc#roomconfig_persistentroom'><value>1</value></field>"
        form = f"<x xmlns='jabber:x:data' type='submit'>{field}</x>"
        yield from ask("persistent", "set", f"<query xmlns='{MUC}#owner'>{form}</query>", address)
        yield from leave(client, address)

    def at_once(self) -> int:
        """All guests."""
        return len(self._stays)

    def takes_part(self, client: Client) -> bool:
        """Whether it is a guest."""
        return client in self._stays

    def one(self, client: Client, intended: int) -> None:
        """Enter."""
        stay = self._stays[client]
        stay.inside = False
        stay.intended, stay.began = intended, self.driver.loop.clock()
        client.hold = stay
        client.sink = self._sink
        client.write(stay.enter)

    def _sink(self, client: Client, data: bytes) -> None:
        stay: Stay | None = client.hold
        if stay is None:
            self.driver.passive(client, data)
            return
        whole, client.tail = split(client.tail + data)
        for element in whole:
            if stay.room not in element or not element.startswith(b"<presence"):
                continue
            if ERROR.match(element):
                self._end(client, stay, error_condition(element))
                return
            if not stay.inside:
                if not _SELF.search(element):
                    continue
                stay.inside = True
                now = self.driver.loop.clock()
                if self._window.first <= stay.intended < self._window.last:
                    self._join.append(now - stay.began)
                client.write(stay.leave)
            elif _GONE.match(element) and stay.own.match(element):
                self._end(client, stay, "")
                return

    def _end(self, client: Client, stay: Stay, condition: str) -> None:
        client.hold = None
        client.tail = b""
        self.ended(client, condition, stay.intended)

    def watch(self, now: int) -> None:
        """End stays that are not answered."""
        limit = now - int(self.plan.timeout * SECOND)
        for client, stay in self._stays.items():
            if client.hold is stay and (stay.began < limit or not client.open):
                self._end(client, stay, "timeout" if client.open else "closed")


def _guests(place: Place, talkers: int) -> Iterable[tuple[Client, str]]:
    """The guests of a room, and where each goes: the last of its users; to rooms of their own when there are no others."""
    if talkers < len(place.occupants):
        return [(client, place.address) for client in place.occupants[-talkers:]]
    name, _, service = place.address.partition("@")
    return [(client, f"{name}-{nick(client)}@{service}") for client in place.occupants]


SCENARIO = Join

"""Rooms of a service (XEP-0045) and who goes into which: entering them, over XMPP alone, as a client does it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.script import Note, Script, ScriptError, Send, ask, condition_of, receive
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.xml import Element, escape_attr

MUC: Final = "http://jabber.org/protocol/muc"
_USER: Final = f"{MUC}#user"
#: What may be one's own presence, or the answer to it: of a large room one hears thousands before that.
_MINE: Final = re.compile(rb"code=['\"]110['\"]|type=['\"]error['\"]")
#: An instant room (section 10.1.2): servers that lock a new one open it.
_INSTANT: Final = f"<query xmlns='{MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>"


class Place:
    """One room and its occupants; the first opens it."""

    __slots__ = ("address", "occupants")

    def __init__(self, address: str) -> None:
        self.address = address
        self.occupants: list[Client] = []


def sizes(users: int, rooms: int, zipf: bool) -> list[int]:
    """How many occupants each room has: the same, or by Zipf's law (the second half of the first); at least one."""
    weights = [1 / (rank + 1) if zipf else 1.0 for rank in range(rooms)]
    whole = sum(weights)
    counts = [max(1, int(users * weight / whole)) for weight in weights]
    for at in range(max(0, users - sum(counts))):
        counts[at % rooms] += 1
    return counts


def places(driver: Driver) -> list[Place]:
    """The rooms of this process's clients."""
    plan = driver.plan
    share = max(1, plan.rooms // plan.processes)
    service = plan.muc or f"conference.{plan.domain}"
    clients: Sequence[Client] = driver.clients
    found: list[Place] = []
    at = 0
    for number, count in enumerate(sizes(len(clients), min(share, len(clients)), plan.sizes == "zipf")):
        place = Place(f"bench{plan.seed}-{driver.order.number}-{number}@{service}")
        place.occupants = list(clients[at : at + count])
        at += count
        found.append(place)
    return found


def nick(client: Client) -> str:
    """A nick that is unique within the run."""
    return f"u{client.session.account.index}"


def enter(client: Client, address: str) -> Script:
    """Enter a room and wait for the own presence (section 7.2.2); open it if it is new. Raises ScriptError."""
    own = f"{address}/{nick(client)}"
    yield Send(
        f"<presence xmlns='{ns.CLIENT}' to='{escape_attr(own)}'><x xmlns='{MUC}'><history maxstanzas='0'/></x></presence>".encode()
    )
    while True:
        element = yield from receive(_MINE)
        if element.name == "presence" and element.get("type") == "error" and _of(element, address):
            raise ScriptError(condition_of(element))
        if (
            element.name == "presence"
            and (codes := _codes(element))
            and "110" in codes
            and _of(element, address)
        ):
            break
    yield Note("join")
    if "201" in codes:
        yield from ask("instant", "set", _INSTANT, address)


def leave(client: Client, address: str) -> Script:
    """Leave a room and wait for the own presence that says so. Raises ScriptError."""
    yield Send(
        f"<presence xmlns='{ns.CLIENT}' to='{escape_attr(address)}/{nick(client)}' type='unavailable'/>".encode()
    )
    while True:
        element = yield from receive(_MINE)
        if (
            element.name == "presence"
            and element.get("type") == "unavailable"
            and element.get("from") == f"{address}/{nick(client)}"
        ):
            return


def _of(element: Element, address: str) -> bool:
    return (element.get("from") or "").partition("/")[0] == address


def _codes(element: Element) -> set[str]:
    x = element.find(_USER, "x")
    return set() if x is None else {one.get("code") or "" for one in x.elements(_USER, "status")}

"""What an idle occupant of a room takes in the memory of its holder: the machine's part, by allocation."""

from __future__ import annotations

import gc
import tracemalloc

from tests.unit.muc.room.scene import FAST, ROOM

from rookery.shared.xeps.multi_user_chat import NS
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.room.facts import Facts
from rookery.workers.muc.room.room import Room

#: Bytes; 2 KiB is promised for edge, router and room together.
MOST = 1000
PEOPLE = 200
CAPS = "http://jabber.org/protocol/caps"


def joins(number: int) -> Stanza:
    """As the bus gives it: nothing is shared with another stanza. Most clients send the same capabilities."""
    x = f"<x xmlns='{NS}'><history maxstanzas='0'/></x>"
    inner = f"{x}<c xmlns='{CAPS}' hash='sha-1' node='https://client.example' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>"
    full = "".join(("user", str(number), "@example.org/", "phone-", str(number)))
    payloads = (str(bytes(NS, "ascii"), "ascii"), "x"), (str(bytes(CAPS, "ascii"), "ascii"), "c")
    return Stanza("presence", "", f"{ROOM}/nick{number}", full, "", "", (), payloads, inner.encode())


def test_an_idle_occupant_is_small() -> None:
    room = Room.new(ROOM)
    room.handle(joins(0), Facts(1.0, FAST, secret=b"secret"))
    room.state.locked = False
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1, PEOPLE + 1):
            room.handle(joins(number), Facts(1.0 + number, FAST, secret=b"secret"))
        room.rest()
        gc.collect()
        each = (tracemalloc.get_traced_memory()[0] - before) / PEOPLE
    finally:
        tracemalloc.stop()
    assert len(room.occupants) == PEOPLE + 1
    assert each < MOST, f"{each:.0f} bytes"


def test_what_was_forgotten_is_made_anew() -> None:
    room = Room.new(ROOM)
    room.handle(joins(0), Facts(1.0, FAST, secret=b"secret"))
    room.state.locked = False
    room.handle(joins(1), Facts(2.0, FAST, secret=b"secret"))
    told = [stanza.inner for stanza in room.entrance(joins(1).from_, (), FAST)]
    room.rest()
    assert [stanza.inner for stanza in room.entrance(joins(1).from_, (), FAST)] == told

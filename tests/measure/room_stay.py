"""The shell and the machine of one room without bus and database: CPU of a stay (join and leave), and bytes of an idle occupant.

`make compile` first, for figures that count; `ROOKERY_COMPILED=0` for the sources::

    python -m tests.measure.room_stay stay --residents 1000    # us of this thread's CPU, best of 9
    python -m tests.measure.room_stay memory                   # by allocation, 40 rooms of 50
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

from rookery import _compiled
from rookery.shared.bus.messages import Kind, Origin
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.store.holding import Holding
from rookery.shared.xeps.multi_user_chat import NS, OWNER
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.live import Live, Work
from rookery.workers.muc.part import Part
from rookery.workers.muc.policy import Policy
from rookery.workers.muc.room.room import Room
from rookery.workers.muc.shell import Shell
from rookery.workers.muc.store.rows import Rows
from rookery.workers.muc.store.writer import coalesce

SERVICE = "conference.example.org"
CAPS = "http://jabber.org/protocol/caps"
_FIELDS = "".join(
    f"<field var='{name}'><value>{value}</value></field>"
    for name, value in (
        ("FORM_TYPE", "http://jabber.org/protocol/muc#roomconfig"),
        ("muc#roomconfig_persistentroom", "1"),
    )
)


class Quiet:
    """What takes the place of the writers, of the database and of all ways out."""

    full = False

    def __init__(self) -> None:
        self.pending: list[tuple[Rows, Callable[[], None] | None]] = []

    def put(self, rows: Any, done: Any, holding: Holding) -> None:
        self.pending.append((rows, done))

    def later(self, rows: Rows, holding: Holding) -> None: ...

    def route(self, stanza: Stanza) -> None: ...

    def pass_on(self, partition: int, stanza: Stanza, origin: Origin) -> None: ...

    def job(self, partition: int, key: str, work: Callable[[], Awaitable[None]]) -> None: ...

    async def database(self, partition: int, work: Any) -> Any: ...


class Bench:
    """Rooms of one process whose commits are there at once."""

    def __init__(self) -> None:
        cluster = FakeCluster(clock=lambda: 0.0)
        cluster.node("router1", Kind.ROUTER)
        node = cluster.node("muc1", Kind.MUC)
        self.now = 1000.0
        self.quiet = Quiet()
        self.shell = Shell(
            node, self.quiet, self.quiet, self.quiet, lambda jid: "@example.org" in jid, lambda: self.now
        )
        self.policy = Policy(node.config, lambda jid: True)
        self.part = Part(3, 1, 0)
        self._n = 0
        for name in ("post", "post_to"):
            setattr(node.bus, name, lambda *args, **more: None)

    def room(self, name: str) -> Live:
        """A persistent room without anybody in it."""
        live = Live(self.shell, self.part, 1, Room.new(f"{name}@{SERVICE}"), lambda live: None)
        owner = f"owner@example.org/{name}"
        self.take(live, joins(live.jid, owner, "owner"))
        form = f"<query xmlns='{OWNER}'><x xmlns='jabber:x:data' type='submit'>{_FIELDS}</x></query>"
        self.take(
            live,
            Stanza("iq", "set", live.jid, owner, "1", "", (), ((OWNER, "query"),), form.encode()),
        )
        self.take(live, leaves(live.jid, owner, "owner"))
        return live

    def take(self, live: Live, stanza: Stanza) -> None:
        """One stanza, until it is committed and said."""
        self._n += 1
        self.now += 0.1
        origin = Origin(b"s" * 16, self._n, "router1")
        self.part.uids.repeated(origin)
        facts = self.policy.facts(stanza, self.now, live.history)
        live.do(live.room.handle(stanza, facts), Work(origin, stanza, self.now))
        pending, self.quiet.pending = self.quiet.pending, []
        coalesce([rows for rows, _ in pending])
        for _, done in pending:
            if done is not None:
                done()
        self.shell.flush_accepted()

    def heard(self, live: Live) -> None:
        """All routers have confirmed all."""
        live.speaker.confirmed("router1", 1 << 60)
        live.speaker.tail.clear()


def joins(room: str, full: str, nick: str) -> Stanza:
    """As the bus gives it: its bytes are shared with no other stanza."""
    inner = f"<x xmlns='{NS}'><history maxstanzas='0'/></x><c xmlns='{CAPS}' hash='sha-1' node='https://client.example' ver='QgayPKawpk='/>"
    return Stanza(
        "presence", "", f"{room}/{nick}", full, "", "", (), ((NS, "x"), (CAPS, "c")), inner.encode()
    )


def leaves(room: str, full: str, nick: str) -> Stanza:
    """The end of a stay."""
    return Stanza("presence", "unavailable", f"{room}/{nick}", full, "", "", (), (), b"")


def stay(residents: int) -> None:
    """CPU of a guest's stay beside residents."""
    bench = Bench()
    live = bench.room("room")
    for number in range(residents):
        bench.take(live, joins(live.jid, f"r{number}@example.org/phone", f"r{number}"))
    times = 1000 if residents < 500 else 100
    best = float("inf")
    for _ in range(9):
        began = time.thread_time()
        for number in range(times):
            full, nick = f"g{number % 60}@example.org/phone", f"g{number % 60}"
            bench.take(live, joins(live.jid, full, nick))
            bench.take(live, leaves(live.jid, full, nick))
            bench.heard(live)
        best = min(best, time.thread_time() - began)
    print(f"{_compiled.state}, {residents} residents: {best / times * 1e6:.0f} us a stay")


def memory() -> None:
    """Bytes of an occupant that has done nothing for a while."""
    rooms, people = 40, 50
    bench = Bench()
    lives = [bench.room(f"room{number}") for number in range(rooms)]
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for live in lives:
        for number in range(people):
            bench.take(live, joins(live.jid, f"p{number}-{live.jid[:6]}@example.org/phone", f"nick{number}"))
        bench.heard(live)
        live.room.rest()
        live.speaker.rest()
    for _ in range(2):
        bench.part.uids.rotate()
    gc.collect()
    print(
        f"{(tracemalloc.get_traced_memory()[0] - before) / rooms / people:.0f} bytes for each of {rooms * people} occupants"
    )


def main() -> None:
    """Measure one thing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["stay", "memory"])
    parser.add_argument("--residents", type=int, default=0)
    args = parser.parse_args()
    if args.what == "stay":
        stay(args.residents)
    else:
        memory()


if __name__ == "__main__":
    main()

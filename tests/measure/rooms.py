"""Rooms of a cluster of its own: memory of occupants and of rooms at rest, a large room, and what a takeover costs those who are in.

Starts `rookery up --ephemeral` with its defaults (`make compile` first, for figures that count)::

    python tests/measure/rooms.py idle --people 2000           # KiB for each occupant, 50 in a room
    python tests/measure/rooms.py rest --rooms 100000          # MiB of the muc process before and after
    python tests/measure/rooms.py large --people 5000          # joins at 100/s, messages at 10/s
    python tests/measure/rooms.py takeover --rooms 100 --people 20
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import trio

from rookery.shared import config
from rookery.shared.db.bridge import open_database
from rookery.shared.observe import log
from rookery.up.state import read_running

OPEN = b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
SERVICE = "conference.localhost"
#: Sessions of one account: a room lets 20 of them in.
SESSIONS = 10
BODY = re.compile(rb"<body>(\d+) ([0-9.]+)</body>")


class Person:
    """One session. `gaps` are seconds between messages that it heard, `late` seconds that they were under way."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.inside = trio.Event()
        self.joined = 0.0
        self.order: list[int] = []
        self.late: list[float] = []
        self.gaps: list[float] = []
        self.heard_at = 0.0
        self.ended = 0
        self._stream: trio.SocketStream

    async def login(self, port: int) -> None:
        """Authenticate and bind, without presence."""
        user = f"p{self.number // SESSIONS}"
        self._stream = await trio.open_tcp_stream("127.0.0.1", port)
        await self._ask(OPEN, b"</stream:features>")
        token = base64.b64encode(f"\0{user}\0secret".encode())
        auth = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%b</auth>" % token
        assert b"<success" in await self._ask(auth, b"success", b"</failure>")
        await self._ask(OPEN, b"</stream:features>")
        await self._ask(
            b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", b"</iq>"
        )

    async def _ask(self, data: bytes, *ends: bytes) -> bytes:
        await self._stream.send_all(data)
        found = b""
        while not any(end in found for end in ends):
            chunk = await self._stream.receive_some(65536)
            assert chunk, found
            found += chunk
        return found

    async def send(self, text: str) -> None:
        """Write a stanza."""
        await self._stream.send_all(text.encode())

    async def enter(self, room: str) -> None:
        """Join without history, and wait to be in."""
        began = time.monotonic()
        x = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>"
        await self.send(f"<presence to='{room}@{SERVICE}/n{self.number}'>{x}</presence>")
        with trio.fail_after(120):
            await self.inside.wait()
        self.joined = time.monotonic() - began

    async def open(self, room: str) -> None:
        """A room that others can enter."""
        form = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>"
        await self.send(f"<iq type='set' id='o' to='{room}@{SERVICE}'>{form}</iq>")

    async def say(self, room: str, number: int) -> None:
        """A message with its number and the time."""
        body = f"<body>{number} {time.monotonic():.6f}</body>"
        await self.send(f"<message type='groupchat' to='{room}@{SERVICE}'>{body}</message>")

    async def listen(self) -> None:
        """Hear until cancelled."""
        tail = b""
        while True:
            data = await self._stream.receive_some(65536)
            if not data:
                return
            now = time.monotonic()
            data = tail + data
            end = data.rfind(b">") + 1
            if not self.inside.is_set() and b"code='110'" in data:
                self.inside.set()
            last = 0
            for found in BODY.finditer(data):
                self.order.append(int(found[1]))
                self.late.append(now - float(found[2]))
                if self.heard_at:
                    self.gaps.append(now - self.heard_at)
                self.heard_at = now
                last = found.end()
            self.ended += data.count(b"code='332'") + data.count(b"code='333'")
            tail = data[max(last, end - 400, 0) :] if last < end else data[end:]
            tail = tail[-600:]


class Site:
    """A running cluster."""

    def __init__(self, info: dict[str, Any]) -> None:
        self.info = info
        self.port = next(one["ports"]["c2s"] for one in info["processes"] if "edge" in one["kinds"])
        self.data = Path(str(info["ca_file"])).parents[1]

    def pids(self, kind: str) -> list[int]:
        """Processes with a kind."""
        return [one["pid"] for one in self.info["processes"] if kind in one["kinds"]]

    def memory(self) -> dict[str, int]:
        """KiB of each process (PSS)."""
        return {"+".join(one["kinds"]): pss(one["pid"]) for one in self.info["processes"]}


def pss(pid: int) -> int:
    """Proportional set size in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def quantile(values: Sequence[float], q: float) -> float:
    """The value below which this share is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0


@contextmanager
def cluster(people: int, *options: str) -> Iterator[Site]:
    """Run one with accounts for so many sessions."""
    with tempfile.TemporaryDirectory() as folder:
        ready, table = Path(folder, "ready.json"), Path(folder, "users.csv")
        argv = [
            sys.executable,
            "-m",
            "rookery",
            "up",
            "--ephemeral",
            "--allow-plaintext",
            "--ready-file",
            str(ready),
        ]
        ports = ["--c2s-port", "0", "--c2s-tls-port", "0", "--http-port", "0", "--admin-port", "0"]
        fast = {
            "ROOKERY_LIMITS__LOGINS_PER_SECOND": "100000",
            "ROOKERY_UPLOAD__PORT": "0",
            "ROOKERY_COMPONENT__PORT": "0",
        }
        up = subprocess.Popen(
            [*argv, *ports, *options],
            env={**os.environ, **fast},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not ready.exists():
                assert up.poll() is None, "rookery up ended early"
                time.sleep(0.1)
            site = Site(json.loads(ready.read_text()))
            table.write_text(
                "jid,password\n" + "".join(f"p{n}@localhost,secret\n" for n in range(people // SESSIONS + 1))
            )
            subprocess.run(
                [sys.executable, "-m", "rookery", "user", "import", str(table), "--data", str(site.data)],
                check=True,
            )
            yield site
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)


async def crowd(site: Site, count: int, nursery: trio.Nursery) -> list[Person]:
    """So many sessions that listen."""
    people = [Person(number) for number in range(count)]
    gate = trio.CapacityLimiter(16)

    async def one(person: Person) -> None:
        async with gate:
            await person.login(site.port)

    async with trio.open_nursery() as logins:
        for person in people:
            logins.start_soon(one, person)
    for person in people:
        nursery.start_soon(person.listen)
    return people


async def occupy(people: Sequence[Person], rooms: int, kind: str = "r") -> None:
    """All enter their rooms."""
    gate = trio.CapacityLimiter(32)

    async def one(person: Person) -> None:
        async with gate:
            await person.enter(f"{kind}{person.number % rooms}")

    for person in people[:rooms]:
        await person.enter(f"{kind}{person.number % rooms}")
        await person.open(f"{kind}{person.number % rooms}")
    async with trio.open_nursery() as joins:
        for person in people[rooms:]:
            joins.start_soon(one, person)


async def idle(site: Site, args: argparse.Namespace, nursery: trio.Nursery) -> None:
    """What occupants cost who do nothing."""
    people = await crowd(site, args.people, nursery)
    await trio.sleep(args.settle)
    readings = [site.memory()]
    for kind in "rst":
        for person in people:
            person.inside = trio.Event()
        await occupy(people, max(1, args.people // 50), kind)
        # (longer than what is remembered of requests that were answered)
        await trio.sleep(args.settle + 90)
        readings.append(site.memory())
    print(
        "KiB for each occupant: the first traffic of its session with the first room, then each further room"
    )
    for name, kib in readings[0].items():
        each = [(after[name] - before[name]) / args.people for before, after in pairwise(readings)]
        print(f"{name:60} {kib:8} KiB  {'  '.join(f'{one:6.2f}' for one in each)}")


async def rest(site: Site, args: argparse.Namespace, nursery: trio.Nursery) -> None:
    """What rooms cost that nobody is in: rows are made, the process is started anew, some are looked at and left alone again."""
    [person] = await crowd(site, 1, nursery)
    before = pss(site.pids("muc")[0])
    running = read_running(site.data)
    assert running is not None
    async with open_database(
        config.Database(url=running.database_url, pool_max=1, statement_timeout=600.0)
    ) as db:

        async def fill(conn: Any) -> None:
            await conn.execute(
                "WITH o AS (INSERT INTO archive_owner (domain, kind, name) SELECT $1, 'room', 'rest' || i"
                " FROM generate_series(1, $2::integer) i RETURNING id, name)"
                " INSERT INTO room (id, partition, jid, state, public, persistent) SELECT id, id % 256, name || '@' || $1, ''::bytea, true, true FROM o",
                SERVICE,
                args.rooms,
            )

        await db.run(0, fill)
    for number in range(1, 501):
        await person.send(
            f"<iq type='get' id='i{number}' to='rest{number}@{SERVICE}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
    await trio.sleep(5)
    loaded = pss(site.pids("muc")[0])
    await trio.sleep(90)
    print(
        f"muc process: {before} KiB, 500 rooms loaded {loaded} KiB, {args.rooms} rooms at rest {pss(site.pids('muc')[0])} KiB"
    )


async def large(site: Site, args: argparse.Namespace, nursery: trio.Nursery) -> None:
    """Joins at 100/s into one room while it is spoken in."""
    people = await crowd(site, args.people, nursery)
    print(f"{len(people)} are logged in", flush=True)
    await people[0].enter("big")
    await people[0].open("big")
    said = 0
    began = time.monotonic()
    async with trio.open_nursery() as joins:
        for person in people[1:]:
            joins.start_soon(person.enter, "big")
            await trio.sleep(max(0.0, began + person.number / args.rate - time.monotonic()))
            if person.number % (args.rate // 10) == 0:
                await people[said % 10].say("big", said) if person.number > 20 else None
                said += person.number > 20
    joined = time.monotonic() - began
    first = said
    while said < first + args.messages:
        await people[said % 10].say("big", said)
        said += 1
        await trio.sleep(0.1)
    await trio.sleep(10)
    late = [one for person in people for one in person.late[-args.messages :]]
    whole = sum(person.order[-args.messages :] == list(range(first, said)) for person in people)
    print(
        f"{len(people)} came in within {joined:.1f} s ({len(people) / joined:.0f}/s): join p50 {quantile([p.joined for p in people], 0.5) * 1000:.0f} ms,"
        f" p99 {quantile([p.joined for p in people], 0.99) * 1000:.0f} ms; then 10 messages/s: delivery p50 {quantile(late, 0.5) * 1000:.0f} ms,"
        f" p99 {quantile(late, 0.99) * 1000:.0f} ms; {whole} of {len(people)} heard all {args.messages} in order"
    )
    print({name: f"{kib} KiB" for name, kib in site.memory().items()})


async def takeover(site: Site, args: argparse.Namespace, nursery: trio.Nursery) -> None:
    """The gap that occupants hear when the process of their rooms is killed."""
    people = await crowd(site, args.rooms * args.people, nursery)
    await occupy(people, args.rooms)
    speakers = people[: args.rooms]
    said = [0] * args.rooms

    async def speak(scope: trio.CancelScope) -> None:
        with scope:
            while True:
                for person in speakers:
                    await person.say(f"r{person.number}", said[person.number])
                    said[person.number] += 1
                await trio.sleep(args.every)

    scope = trio.CancelScope()
    nursery.start_soon(speak, scope)
    await trio.sleep(5)
    for person in people:
        person.gaps.clear()
    os.kill(site.pids("muc")[0], signal.SIGKILL)
    await trio.sleep(args.settle + 15)
    scope.cancel()
    await trio.sleep(10)
    gaps = [max(person.gaps, default=0.0) for person in people]
    whole = sum(person.order == list(range(said[person.number % args.rooms])) for person in people)
    print(
        f"{args.rooms} rooms x {args.people}, a message every {args.every} s in each: gap p50 {quantile(gaps, 0.5):.2f} s, p99 {quantile(gaps, 0.99):.2f} s,"
        f" longest {max(gaps):.2f} s; {whole} of {len(people)} heard all in order and once, {sum(p.ended for p in people)} were told that they are out"
    )


async def measure(site: Site, args: argparse.Namespace) -> None:
    """One of them."""
    what = {"idle": idle, "rest": rest, "large": large, "takeover": takeover}[args.what]
    async with trio.open_nursery() as nursery:
        await what(site, args, nursery)
        nursery.cancel_scope.cancel()


def main() -> None:
    """Measure one thing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["idle", "rest", "large", "takeover"])
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--rooms", type=int, default=100)
    parser.add_argument("--rate", type=int, default=100, help="joins a second (large)")
    parser.add_argument("--messages", type=int, default=100, help="messages behind the joins (large)")
    parser.add_argument(
        "--every", type=float, default=0.5, help="seconds between messages of a room (takeover)"
    )
    parser.add_argument("--settle", type=float, default=8.0, help="seconds to wait before a reading")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    gc.freeze()
    log.configure(level="warning", form="console")
    people = {"rest": 1, "takeover": args.rooms * args.people}.get(args.what, args.people)
    with cluster(people, "--workers", "2" if args.what == "takeover" else "1") as site:
        trio.run(measure, site, args)


if __name__ == "__main__":
    main()

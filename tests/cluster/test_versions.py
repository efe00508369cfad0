"""A rolling upgrade as operators do it: processes of the previous version beside new ones, on one NATS and one Postgres.

A process that is told `cluster.speak_version` stands for one that was not upgraded: it neither writes nor reads what came since.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.stories.client import Client, Endpoint, StreamEndError

from rookery.shared import config
from rookery.shared.bus.messages import VERSION
from rookery.shared.bus.versions import OLDEST
from rookery.shared.db import migrate

ALL = ("roster", "presence", "offline", "account")
BODY = "{jabber:client}body"
#: An addition of a version that is newer than this one.
FUTURE = (
    "ALTER TABLE account ADD COLUMN later text NOT NULL DEFAULT '';"
    "ALTER TABLE message ADD COLUMN later integer; CREATE TABLE later (id integer);"
)


async def poll(condition: Callable[[], bool], limit: float = 40.0) -> None:
    """Wait for what other processes do."""
    with trio.fail_after(limit):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.05)


class Process:
    """One `rookery edge | router | worker` and its log."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as out:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "rookery", *arguments],
                stdout=out,
                stderr=out,
                env={**os.environ, **environment},
            )

    def events(self, event: str = "") -> list[dict[str, Any]]:
        """Lines of its log, those of one event."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if not event or line["event"] == event]

    async def ready(self) -> None:
        """Wait until it serves."""
        await poll(lambda: bool(self.events("process_ready")) or self.popen.poll() is not None)
        assert self.popen.poll() is None, self._log.read_text()[-3000:]

    async def upgraded(self) -> None:
        """SIGTERM, as an orchestrator does, and a clean end."""
        self.popen.send_signal(signal.SIGTERM)
        await poll(lambda: self.popen.poll() is not None)
        assert self.popen.returncode == 0, self._log.read_text()[-3000:]

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.events("process_ready")[0]["c2s"], "plain")


class Fleet:
    """Processes of two versions."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self._home = home
        self._environment = environment
        self.all: list[Process] = []

    def cli(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "rookery", *arguments],
            env={**os.environ, **self._environment},
            check=True,
            timeout=60,
            capture_output=True,
        )

    def start(self, version: int, *arguments: str) -> Process:
        name = f"{arguments[0]}-v{version}-{len(self.all)}"
        environment = self._environment | {
            "ROOKERY_CLUSTER__SPEAK_VERSION": str(version if version != VERSION else 0)
        }
        process = Process(name, list(arguments), environment, self._home / f"{name}.log")
        self.all.append(process)
        return process

    async def add(self, version: int, *arguments: str) -> Process:
        process = self.start(version, *arguments)
        await process.ready()
        return process

    async def three(self, version: int) -> tuple[Process, Process, Process]:
        """An edge, a router and a worker of all kinds."""
        started = [
            self.start(version, *arguments) for arguments in (("worker", *ALL), ("router",), ("edge",))
        ]
        for process in started:
            await process.ready()
        worker, router, edge = started
        return edge, router, worker

    def stop(self) -> None:
        for process in self.all:
            if process.popen.poll() is None:
                process.popen.kill()
            process.popen.wait()


@pytest.fixture
def fleet(
    tmp_path: Path, nats_url: str, bus_prefix: str, database_settings: config.Database
) -> Iterator[Fleet]:
    it = Fleet(
        tmp_path,
        {
            "ROOKERY_BUS__URL": nats_url,
            "ROOKERY_BUS__PREFIX": bus_prefix,
            "ROOKERY_DATABASE__URL": database_settings.url,
            "ROOKERY_EDGE__HOST": "127.0.0.1",
            "ROOKERY_EDGE__ALLOW_PLAINTEXT": "true",
            "ROOKERY_EDGE__C2S_PORT": "0",
            "ROOKERY_EDGE__C2S_TLS_PORT": "0",
            "ROOKERY_EDGE__HTTP_PORT": "0",
            "ROOKERY_LOG__FORMAT": "json",
        },
    )
    users = tmp_path / "users.csv"
    users.write_text("jid,password\n" + "".join(f"user{n}@localhost,secret\n" for n in range(20)))
    it.cli("domain", "add", "localhost")
    it.cli("user", "import", str(users))
    try:
        yield it
    finally:
        it.stop()


class Talk:
    """One user writes numbers to another all the time; each end is a client that logs in again when its stream was ended."""

    def __init__(self, number: int, writer: Process, reader: Process) -> None:
        self._names = (f"user{2 * number}", f"user{2 * number + 1}")
        self.writer, self.reader = writer, reader
        self.sent = 0
        self.got: list[int] = []
        self.errors: list[str] = []
        self.again = 0
        self.stop = False
        self._writing: trio.CancelScope | None = None

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read)
            await self._write()
            await poll(lambda: self.got[-1:] == [self.sent])
            nursery.cancel_scope.cancel()

    async def _online(self, name: str, edge: Process) -> Client:
        client = Client(edge.endpoint, "localhost")
        await client.login(name, "secret", "here")
        await client.send("<presence/>")
        return client

    async def _write(self) -> None:
        """Without stream management nobody can promise what is sent into a closing stream: the writer moves between messages."""
        edge = self.writer
        client = await self._online(self._names[0], edge)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            while not self.stop:
                if self.writer is not edge:
                    assert (await client.ping()).get("type") == "result", "all before it was taken"
                    await client.disconnect()
                    edge = self.writer
                    client = await self._online(self._names[0], edge)
                    nursery.start_soon(client.run)
                self.sent += 1
                await client.send(
                    f"<message to='{self._names[1]}@localhost' type='chat' id='m{self.sent}'><body>{self.sent}</body></message>"
                )
                await trio.sleep(0.01)
                self.errors += [node.tag for node in client.inbox if node.get("type") == "error"]
            await client.disconnect()

    async def _read(self) -> None:
        while True:
            client = await self._online(self._names[1], self.reader)
            try:
                while True:
                    node = await client.receive(60)
                    if (body := node.find(BODY)) is not None:
                        self.got.append(int(body.text or ""))
            except StreamEndError:
                self.again += 1
            finally:
                await client.drop()


@asynccontextmanager
async def talking(*talks: Talk) -> AsyncIterator[None]:
    """Messages flow while the block runs; at its end every one must have arrived, once and in order."""
    async with trio.open_nursery() as nursery:
        for talk in talks:
            nursery.start_soon(talk.run)
        yield
        for talk in talks:
            talk.stop = True
    for talk in talks:
        assert talk.sent > 100
        assert talk.got == list(range(1, talk.sent + 1))
        assert talk.errors == []


async def everything_works(fleet: Fleet, one: Process, other: Process, number: int) -> None:
    """Log in on two edges, read the roster, subscribe, see presence, ask, write."""
    a, b = Client(one.endpoint, "localhost"), Client(other.endpoint, "localhost")
    first, second = f"user{number}", f"user{number + 1}"
    for client, name in ((a, first), (b, second)):
        await client.login(name, "secret", "r")
        roster = await client.request("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
        assert roster.get("type") == "result"
        await client.send("<presence/>")
    await a.send(f"<presence to='{second}@localhost' type='subscribe'/>")
    await until(b, "presence", "subscribe")
    await b.send(f"<presence to='{first}@localhost' type='subscribed'/>")
    await until(a, "presence", "subscribed")
    await until(a, "presence", None, f"{second}@localhost/r")
    assert (await a.ping("localhost")).get("type") == "result"
    await a.send(f"<message to='{second}@localhost/r' type='chat'><body>hi</body></message>")
    await until(b, "message", "chat", f"{first}@localhost/r")
    for client in (a, b):
        await client.disconnect()


async def until(client: Client, name: str, type: str | None, sender: str | None = None) -> None:
    """Wait for that stanza and take it; others stay, for presence and what is directed come in any order."""
    with trio.fail_after(20):
        while True:
            for node in client.inbox:
                wanted = node.tag.endswith(f"}}{name}") and node.get("type") == type
                if wanted and sender in (None, node.get("from")):
                    client.inbox.remove(node)
                    return
            await client.pump()


@pytest.mark.cluster
@pytest.mark.timeout(240)
async def test_a_rolling_upgrade_loses_nothing(fleet: Fleet, database_settings: config.Database) -> None:
    old_edge, old_router, old_worker = await fleet.three(OLDEST)
    talks = [Talk(0, old_edge, old_edge), Talk(1, old_edge, old_edge)]
    async with talking(*talks):
        edge, router, worker = await fleet.three(VERSION)
        talks[0].reader = talks[1].writer = edge
        await everything_works(fleet, old_edge, edge, 4)
        await everything_works(fleet, edge, old_edge, 6)

        addition = migrate.parse(f"{migrate.load()[-1].number + 1:04}_future.sql", FUTURE)
        await migrate.up(database_settings, files=[*migrate.load(), addition])
        await everything_works(fleet, edge, old_edge, 8)

        await old_worker.upgraded()
        await everything_works(fleet, edge, old_edge, 10)
        await old_router.upgraded()
        await everything_works(fleet, old_edge, edge, 12)
        for talk in talks:
            talk.writer = talk.reader = edge
        await trio.sleep(1.0)
        await old_edge.upgraded()
        await poll(lambda: all(process.events("bus_version") for process in (edge, router, worker)), 10)
        await everything_works(fleet, edge, edge, 14)

        # Back again: one of the previous version is started beside those that speak the new one by now.
        back = await fleet.add(OLDEST, "router")
        await everything_works(fleet, edge, edge, 16)
        await back.upgraded()
        await everything_works(fleet, edge, edge, 18)
    assert [event["version"] for event in edge.events("bus_version")][:2] == [VERSION, OLDEST]
    assert not any(process.events("bus_version") for process in (old_edge, old_router, old_worker, back))
    assert len(edge.events("process_left")) == 4
    for process in fleet.all:
        said = [event for event in process.events() if event["level"] in ("error", "critical")]
        assert said == [], process.name
        for name in ("bus_bad_item", "bus_bad_batch", "bus_item_unsendable", "process_lost"):
            assert process.events(name) == [], process.name
        if process is not back:
            assert process.events("bus_wrong_version") == [], process.name


@pytest.mark.cluster
async def test_a_version_that_this_one_cannot_speak_is_refused(fleet: Fleet) -> None:
    process = fleet.start(VERSION + 1, "edge")
    await poll(lambda: process.popen.poll() is not None)
    (line,) = process.events("process_stops")
    assert (
        line["reason"] == f"cluster.speak_version is {VERSION + 1}; this version speaks {OLDEST} to {VERSION}"
    )
    assert process.popen.returncode == 75

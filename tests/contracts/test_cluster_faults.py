"""Nodes whose NATS or Postgres is away, together or alone: nobody is taken over without reason, nobody writes who was."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from tests.contracts.test_cluster import Cluster, until

from rookery.embedded import start_nats, start_postgres
from rookery.shared import config
from rookery.shared.bus.messages import Acked, Kind
from rookery.shared.cluster.node import NodeFailed
from rookery.shared.db import migrate


class Cable:
    """A TCP proxy that a test can pinch: bytes stop, connections stay, as when a process is paused or a cable is cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open = trio.Event()
        self._open.set()
        self.port = 0

    def pinch(self) -> None:
        self._open = trio.Event()

    def let_go(self) -> None:
        self._open.set()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, client: trio.SocketStream) -> None:
        async with (
            client,
            await trio.open_tcp_stream(*self._target) as server,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._pump, client, server, nursery.cancel_scope)
            nursery.start_soon(self._pump, server, client, nursery.cancel_scope)

    async def _pump(
        self, source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        try:
            async for data in source:
                await self._open.wait()
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()


def through(url: str, cable: Cable) -> str:
    """The same URL by way of the cable; what went over a unix socket then goes over TCP."""
    parts = urlsplit(url)
    return parts._replace(
        netloc=f"{parts.netloc.partition('@')[0]}@127.0.0.1:{cable.port}", query=""
    ).geturl()


@asynccontextmanager
async def cable_to(nursery: trio.Nursery, url: str) -> AsyncIterator[Cable]:
    parts = urlsplit(url)
    cable = Cable("127.0.0.1", parts.port or int(parse_qs(parts.query)["port"][0]))
    await nursery.start(cable.run)
    yield cable


async def settled(*running: object) -> None:
    await until(lambda: sorted(len(r.service.held) for r in running) == [128, 128])  # type: ignore[attr-defined]


@pytest.mark.slow
async def test_restarted_nats_moves_nothing(database_settings: config.Database) -> None:
    server = start_nats()
    port, token = server.port, server.token
    settings = config.Config(bus=config.Bus(url=server.url), database=database_settings)
    try:
        async with trio.open_nursery() as nursery:
            cluster = Cluster(nursery, settings)
            edge, first, second = [await cluster.start(k) for k in (Kind.EDGE, Kind.ROUTER, Kind.ROUTER)]
            await settled(first, second)
            history = dict(cluster.history)
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            server.stop()
            await trio.sleep(6)  # longer than any lease, and than silence that means loss
            edge.node.bus.post(Kind.ROUTER, 7, Acked("", 0, 1))
            server = start_nats(port=port, token=token)
            await until(lambda: len(first.service.received) + len(second.service.received) == 1, 5)
            await trio.sleep(3)
            assert cluster.history == history
            assert first.error is second.error is None
            nursery.cancel_scope.cancel()
    finally:
        server.stop()


@pytest.mark.slow
async def test_postgres_away_moves_nothing_and_holders_go_on_serving(nats_url: str, bus_prefix: str) -> None:
    server = start_postgres()
    try:
        await migrate.up(config.Database(url=server.url))
        async with trio.open_nursery() as nursery, cable_to(nursery, server.url) as cable:
            database = config.Database(url=through(server.url, cable), statement_timeout=1.0)
            cluster = Cluster(
                nursery, config.Config(bus=config.Bus(url=nats_url, prefix=bus_prefix), database=database)
            )
            edge, first, second = [await cluster.start(k) for k in (Kind.EDGE, Kind.ROUTER, Kind.ROUTER)]
            await settled(first, second)
            history = dict(cluster.history)
            cable.pinch()
            await trio.sleep(6)
            assert not first.node.db.healthy
            for n in range(256):
                edge.node.bus.post(Kind.ROUTER, n, Acked("", 0, n))
            await until(lambda: len(first.service.received) + len(second.service.received) == 256, 2)
            cable.let_go()
            await trio.sleep(6)
            assert cluster.history == history, "everybody's row had expired, but nobody was dead"
            assert first.error is second.error is None
            nursery.cancel_scope.cancel()
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("also_bus", [False, True], ids=["postgres", "both"])
async def test_process_that_is_cut_off_is_taken_over_and_fails_when_it_is_back(
    nats_url: str, bus_prefix: str, database_settings: config.Database, also_bus: bool
) -> None:
    """Cut off from Postgres alone it asks to be taken over; cut off from both it is as a paused process."""
    bus = config.Bus(url=nats_url, prefix=bus_prefix)
    async with (
        trio.open_nursery() as nursery,
        cable_to(nursery, nats_url) as nats,
        cable_to(nursery, database_settings.url) as postgres,
    ):
        healthy = Cluster(nursery, config.Config(bus=bus, database=database_settings))
        cut = Cluster(
            nursery,
            config.Config(
                bus=config.Bus(url=through(nats_url, nats), prefix=bus_prefix),
                database=config.Database(url=through(database_settings.url, postgres), statement_timeout=1.0),
            ),
        )
        cut.history = healthy.history
        first, second = await healthy.start(), await cut.start()
        await settled(first, second)
        postgres.pinch()
        if also_bus:
            nats.pinch()
        took = await until(lambda: len(first.service.held) == 256, 12)
        assert took <= (5.0 if also_bus else 7.0)
        if not also_bus:  # it hears that a higher epoch exists
            await until(lambda: not second.service.held, 1)
        postgres.let_go()
        nats.let_go()
        await until(second.over.is_set)
        assert isinstance(second.error, NodeFailed)
        assert first.error is None
        nursery.cancel_scope.cancel()

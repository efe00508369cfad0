"""What operators and storms ask of an edge on real sockets: admission of logins, drains that are called off, other limits while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import Bind, Item, Kind, Management, Resume, Resumed, Unbind
from rookery.shared.config import Config, Limits
from rookery.shared.xeps import stream_management as sm

from .edge_lab import running

BIND = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"


async def test_a_storm_of_logins_waits_or_is_told_to_come_back(tmp_path: Path) -> None:
    """RFC 6120 section 4.9.3.17: the stream error is one that clients try again after."""
    limits = Limits(logins_per_second=1, login_wait_seconds=0.25)
    async with running(tmp_path, limits=limits) as lab:
        ends: list[str] = []

        async def login(user: str) -> None:
            client = await lab.connect()
            await client.authenticate(user)
            await client.open()
            await client.send(BIND)
            ends.append(await client.until("<jid>|<resource-constraint [^>]*/><text[^>]*>[^<]*"))

        async with trio.open_nursery() as nursery:
            for number in range(16):
                nursery.start_soon(login, f"user{number}")
        refused = [text for text in ends if "too many logins at once, try again later" in text]
        assert 0 < len(refused) < 16, ends
        assert len(lab.router.bindings) == 16 - len(refused)
        # Who comes back later is let in.
        await trio.sleep(2.1)
        await login("user0")
        assert "<jid>" in ends[-1]


async def test_a_drain_that_is_called_off_lets_clients_in_again(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        ports = dict(lab.edge.ports)
        stays = [await lab.login(f"user{number}", tls=False) for number in range(8)]
        lab.edge.drain_rate = 4
        with trio.move_on_after(0.4):
            await lab.edge.drain(30.0)
        with pytest.raises(OSError):
            await trio.open_tcp_stream("127.0.0.1", ports["c2s"])
        assert 0 < len(lab.router.of(Unbind)) < len(stays)
        lab.edge.undrain()
        assert lab.edge.ports == ports
        assert lab.edge.ready
        await lab.login("newcomer", tls=False)


async def test_an_edge_gives_streams_away_that_can_go_on_elsewhere(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        shed = lab.cluster.nodes["edge1"].orders.questions["shed"]
        movable = [await lab.login(f"user{number}", tls=False) for number in range(4)]
        for client in movable:
            await client.send(f"<enable xmlns='{sm.NS}' resume='true'/>")
            await client.until("<enabled [^>]*/>")
        stays = await lab.login("stays", tls=False)
        assert shed({}) == {"left": 0, "rate": 0, "connections": 5}
        shed({"connections": 5, "rate": 8})
        assert not lab.edge.ready
        for client in movable:
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await client.until("<nothing/>")
        with trio.fail_after(5):
            while not lab.edge.ready:  # noqa: ASYNC110  a test may poll
                await trio.sleep(0.02)
        assert shed({}) == {"left": 0, "rate": 0, "connections": 1}
        await stays.send(f"<r xmlns='{sm.NS}'/></stream:stream>")
        await stays.until("</stream:stream>")


async def test_other_limits_hold_for_connections_that_come(tmp_path: Path) -> None:
    async with running(tmp_path, limits=Limits(exempt_nets=())) as lab:
        old = await lab.connect()
        await old.open()
        limits = Limits(exempt_nets=(), preauth_seconds=1.5, connections_per_ip=2)
        lab.edge.configured(replace(Config(), limits=limits))
        young = await lab.connect()
        await young.open()
        assert "<connection-timeout " in await young.rest()
        await lab.connect()
        with pytest.raises((trio.BrokenResourceError, EOFError)):
            await (await lab.connect()).open()
        await old.send("</stream:stream>")
        assert "connection-timeout" not in await old.rest()


async def test_a_login_outlasts_routers_that_end_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 6120 section 7.7: a client that waits for its resource gets it from the next holder."""
    async with running(tmp_path) as lab:
        bus, asked = lab.cluster.nodes["edge1"].bus, 0
        real = bus.call

        async def call(kind: Kind, partition: int, request: Item, **options: Any) -> Item:
            nonlocal asked
            if isinstance(request, Bind):
                asked += 1
                if asked <= 3:
                    raise BusTimeout("the process that was asked is lost")
            return await real(kind, partition, request, **options)

        monkeypatch.setattr(bus, "call", call)
        await lab.login("alice", tls=False)
        assert asked == 4
        assert len({bind.stream for bind in lab.router.bindings}) == len(lab.router.bindings) == 1


async def test_a_stream_outlasts_routers_that_end_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XEP-0198 section 5: what was answered by a router that has a successor does not count, and nobody is told to give the stream up."""
    async with running(tmp_path) as lab:
        bus, asked, token, account = (
            lab.cluster.nodes["edge1"].bus,
            [],
            b"0123456789abcdef",
            "alice@example.org",
        )
        sessions = lab.edge._sessions
        partition = sessions.partition(account)
        real = bus.call

        def resumed(request: Resume, epoch: int) -> Resumed:
            return Resumed(
                f"{account}/r", epoch << 32 | 1, b"s" * 16, 0, Management(token, 300, 0, 0, 5), b""
            )

        async def call(kind: Kind, number: int, request: Item, **options: Any) -> Item:
            if not isinstance(request, Resume):
                return await real(kind, number, request, **options)
            asked.append(request)
            if len(asked) == 1:
                raise BusTimeout("the process that was asked is lost")
            if len(asked) == 2:
                sessions.attachments.attach(partition, 9, "router1")
                return resumed(request, 8)
            return resumed(request, 9)

        monkeypatch.setattr(bus, "call", call)
        client = await lab.connect()
        await client.authenticate("alice")
        await client.open()
        await client.send(f"<resume xmlns='{sm.NS}' h='0' previd='{sm.write_token(token)}'/>")
        assert "<resumed " in await client.until("<resumed [^>]*/>|<failed.*</failed>|<stream:error.*")
        assert len(asked) == 3
        # What the first ones may have sent is not mixed with what the last one sends.
        assert len({request.sid for request in asked}) == 3
        assert [session.sid for session in sessions._by_sid.values()] == [asked[-1].sid]

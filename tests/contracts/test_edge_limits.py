"""What an edge on real sockets grants, and how it ends: limits, back-pressure, PROXY headers, draining."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest
import trio

from rookery.edge.login import holders
from rookery.edge.sessions.session import Session
from rookery.shared.bus.messages import Accepted, DomainsChanged, Kind, Route, Unbind
from rookery.shared.config import Edge, Limits
from rookery.shared.net.proxy import encode
from rookery.shared.xmpp.stanza import Stanza

from .edge_lab import DOMAIN, HEADER, Client, Lab, running

MESSAGE = f"<message to='bob@{DOMAIN}/r' type='chat' id='{{}}'><body>{{}}</body></message>"
LOCAL = ("127.0.0.1",)
BIND = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"


async def wait_for(condition: object, seconds: float = 5.0) -> None:
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  # type: ignore[operator]
            await trio.sleep(0.01)


async def test_negotiation_has_an_end(tmp_path: Path) -> None:
    async with running(tmp_path, limits=Limits(preauth_seconds=0.4)) as lab:
        client = await lab.connect()
        await client.open()
        for _ in range(3):
            await client.send(" ")  # white space does not extend it
            await trio.sleep(0.1)
        assert "<connection-timeout " in await client.rest(2)


@pytest.mark.parametrize(
    "text",
    [
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + "x" * 10_000,
        "<a xmlns='x'>" * 9,
        "<a xmlns='x'>" + "<b/>" * 32,
    ],
)
async def test_little_is_read_before_authentication(tmp_path: Path, text: str) -> None:
    async with running(tmp_path) as lab:
        client = await lab.connect()
        await client.open()
        await client.send(text)
        assert "<policy-violation " in await client.rest()


async def test_connections_of_one_address(tmp_path: Path) -> None:
    limits = Limits(exempt_nets=(), connections_per_ip=3, connections_per_ip_per_second=100)
    async with running(tmp_path, limits=limits) as lab:
        clients = [await lab.connect() for _ in range(3)]
        for client in clients:
            await client.open()
        assert await (await lab.connect()).rest() == ""
        await clients[0].send("</stream:stream>")
        await clients[0].rest()
        await clients[0].aclose()
        await wait_for(lambda: lab.edge.connections == 2)
        await (await lab.connect()).open()


async def test_a_fast_session_is_slowed_down_and_loses_nothing(tmp_path: Path) -> None:
    limits = Limits(exempt_nets=(), stanzas_per_second=100, stanzas_burst=10)
    async with running(tmp_path, limits=limits) as lab:
        alice, bob = await lab.login("alice"), await lab.login("bob")
        start = trio.current_time()
        await alice.send("".join(MESSAGE.format(n, "x") for n in range(100)))
        text = await bob.until("id='99'.*</message>")
        assert text.count("</message>") == 100
        assert 0.5 < trio.current_time() - start < 3.0


async def test_bytes_are_limited_too(tmp_path: Path) -> None:
    limits = Limits(exempt_nets=(), bytes_per_second=100_000, bytes_burst=20_000, stanzas_per_second=1000)
    async with running(tmp_path, limits=limits) as lab:
        alice, bob = await lab.login("alice"), await lab.login("bob")
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(alice.send, "".join(MESSAGE.format(n, "x" * 10_000) for n in range(15)))
            await bob.until("id='14'.*</message>", 10)
        assert trio.current_time() - start > 0.7


async def test_a_stream_with_too_much_unaccepted_is_not_read(tmp_path: Path) -> None:
    async with running(tmp_path, limits=Limits(uncommitted_stanzas=10)) as lab:
        alice = await lab.login("alice")
        lab.router.accepting = False
        await alice.send("".join(MESSAGE.format(n, "x") for n in range(50)))
        await trio.sleep(0.3)
        routes = lab.router.of(Route)
        assert len(routes) == 10
        lab.router.accepting = True
        for item in routes:
            assert isinstance(item, Route)
            lab.router.node.bus.post_to("edge1", Accepted([(item.origin.stream, item.origin.n)]))
        await wait_for(lambda: len(lab.router.of(Route)) == 50)
        assert [item.stanza.id for item in lab.router.of(Route)] == [str(n) for n in range(50)]  # type: ignore[union-attr]


async def test_nobody_is_read_while_the_bus_is_away(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        alice, bob = await lab.login("alice"), await lab.login("bob")
        bus = lab.cluster.nodes["edge1"].bus
        bus.disconnect()
        await trio.sleep(0.05)
        for n in range(20):
            await alice.send(MESSAGE.format(n, "x"))
            await trio.sleep(0.01)
        assert lab.edge._sessions.unaccepted < 20
        bus.reconnect()
        text = await bob.until("id='19'.*</message>", 10)
        assert [part.partition("'")[0] for part in text.split(" id='")[1:]] == [str(n) for n in range(20)]


async def test_a_client_that_does_not_read_is_closed_and_costs_nothing_more(tmp_path: Path) -> None:
    async with running(tmp_path, limits=Limits(outbox_bytes=100_000)) as lab:
        bob = await lab.login("bob", tls=False)
        await wait_for(lambda: len(lab.edge._sessions) == 1)
        message = Stanza.build("message", to=f"bob@{DOMAIN}/r").replace(
            inner=b"<body>" + b"x" * 10_000 + b"</body>"
        )
        for _ in range(1500):
            lab.router.deliver(f"bob@{DOMAIN}/r", message)
            await trio.lowlevel.checkpoint()
        await wait_for(lambda: len(lab.edge._sessions) == 0)
        (unbind,) = lab.router.of(Unbind)[:1]
        assert isinstance(unbind, Unbind)
        assert unbind.reason == "slow"
        await bob.aclose()


async def test_a_socket_that_stays_full_is_closed_in_time(tmp_path: Path) -> None:
    async with running(tmp_path, limits=Limits(outbox_bytes=50_000_000, outbox_seconds=0.5)) as lab:
        bob = await lab.login("bob", tls=True)
        message = Stanza.build("message", to=f"bob@{DOMAIN}/r").replace(
            inner=b"<body>" + b"x" * 10_000 + b"</body>"
        )
        for _ in range(1500):
            lab.router.deliver(f"bob@{DOMAIN}/r", message)
        await wait_for(lambda: len(lab.edge._sessions) == 0)
        await bob.aclose()


async def test_a_slow_reader_gets_everything_in_order(tmp_path: Path) -> None:
    async with running(tmp_path, limits=Limits(outbox_bytes=50_000_000)) as lab:
        for tls in (False, True):
            bob = await lab.login("bob", tls=tls)
            body = b"<body>" + b"x" * 30_000 + b"</body>"
            for n in range(500):
                message = Stanza.build("message", to=f"bob@{DOMAIN}/r", id=str(n)).replace(inner=body)
                lab.router.deliver(f"bob@{DOMAIN}/r", message)
            await trio.sleep(0.2)
            seen = b""
            with trio.fail_after(20):
                while b"id='499'" not in seen[-40_000:] or not seen.endswith(b"</message>"):
                    seen += bytes(await bob.stream.receive_some(65536))
            assert [int(part.partition(b"'")[0]) for part in seen.split(b" id='")[1:]] == list(range(500))
            await bob.aclose()
            await wait_for(lambda: not lab.router.sessions)


async def test_a_mistake_of_ours_costs_one_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as lab:
        alice, bob, eve = [await lab.login(name) for name in ("alice", "bob", "eve")]
        take = Session.take

        def broken(session: Session, stanza: Stanza) -> None:
            if stanza.id == "poison":
                raise RuntimeError("poison")
            take(session, stanza)

        monkeypatch.setattr(Session, "take", broken)
        await eve.send(MESSAGE.format("poison", "x"))
        assert await eve.rest() == ""
        await alice.send(MESSAGE.format("1", "x"))
        await bob.until("id='1'.*</message>")
        await wait_for(lambda: lab.edge.connections == 2)
        (unbind,) = lab.router.of(Unbind)
        assert isinstance(unbind, Unbind)
        assert (unbind.full, unbind.reason) == (f"eve@{DOMAIN}/r", "bug")


async def test_a_binding_of_a_deposed_router_is_tried_again(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        client = await deposed(lab)
        await client.send(BIND)
        await trio.sleep(1.0)  # a slow rollout
        assert len(lab.edge._sessions) == 0
        lab.cluster.holders[Kind.ROUTER] = ("router1", 10)
        answer = await client.until("</iq>")
        assert "<jid>" in answer
        assert "<error" not in answer


async def test_a_binding_is_refused_when_no_new_router_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holders, "PAUSES", (0.01, 0.0))
    async with running(tmp_path) as lab:
        client = await deposed(lab)
        await client.send(BIND)
        assert "<resource-constraint " in await client.until("</iq>")
        assert len(lab.edge._sessions) == 0
        lab.cluster.holders[Kind.ROUTER] = ("router1", 10)
        await client.send(BIND)
        await client.until("<jid>.*</iq>")


async def deposed(lab: Lab) -> Client:
    """A client of alice that has yet to bind, when the router of her partition has a successor that is not heard of."""
    client = await lab.connect()
    await client.authenticate("alice")
    await client.open()
    edge = lab.edge._sessions
    edge.attachments.attach(edge.partition(f"alice@{DOMAIN}"), 9, "router9")
    return client


# --- PROXY protocol ---------------------------------------------------------------------------------------------------

BALANCED = Edge(host=LOCAL, c2s_port=0, c2s_tls_port=0, http_port=0, proxy_protocol_nets=("127.0.0.0/8",))


@pytest.mark.parametrize("port", ["c2s", "c2s_tls"])
async def test_the_balancer_names_the_client(tmp_path: Path, port: str) -> None:
    limits = Limits(connections_per_ip=1)
    async with running(tmp_path, edge=BALANCED, limits=limits) as lab:
        client = await lab.connect(port)
        await client.send(encode(("192.0.2.7", 1234), ("127.0.0.1", 5222)))
        if port == "c2s_tls":
            await client.wrap(["xmpp-client"])
        await client.open()
        assert [connection.host for connection in lab.edge._door.connections] == ["192.0.2.7"]
        second = await lab.connect(port)
        await second.send(encode(("192.0.2.7", 1235), ("127.0.0.1", 5222)))
        assert await second.rest() == ""


async def test_without_its_header_a_balancer_is_not_served(tmp_path: Path) -> None:
    async with running(tmp_path, edge=BALANCED) as lab:
        client = await lab.connect()
        await client.send(HEADER)
        assert await client.rest() == ""


async def test_nobody_else_may_name_a_client(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        client = await lab.connect()
        await client.send(encode(("192.0.2.7", 1234), ("127.0.0.1", 5222)))
        assert "<stream:error>" in await client.rest()


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_drain_ends_every_stream_and_waits_for_the_cluster(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        clients = [await lab.login(f"u{n}", tls=n % 2 == 0) for n in range(6)]
        waiting = await lab.connect()
        await waiting.open()
        lab.router.accepting = False
        await clients[0].send(MESSAGE.format("last", "words"))
        await wait_for(lambda: lab.edge._sessions.unaccepted == 1)
        ended = trio.Event()

        async def drain() -> None:
            await lab.edge.drain(5.0)
            ended.set()

        lab.nursery.start_soon(drain)
        for client in [*clients, waiting]:
            text = await client.rest()
            assert "<system-shutdown " in text
            assert text.endswith("</stream:stream>")
            await client.aclose()
        assert not lab.edge.ready
        await wait_for(lambda: len(lab.router.of(Unbind)) == 6)
        assert not ended.is_set()
        (route,) = lab.router.of(Route)
        assert isinstance(route, Route)
        lab.router.node.bus.post_to("edge1", Accepted([(route.origin.stream, route.origin.n)]))
        with trio.fail_after(3):
            await ended.wait()
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["c2s"])


async def test_a_drain_does_not_outlast_its_limit(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        client = await lab.login("alice")
        lab.router.accepting = False
        await client.send(MESSAGE.format("last", "words"))
        await wait_for(lambda: lab.edge._sessions.unaccepted == 1)
        with trio.fail_after(2):
            await lab.edge.drain(0.5)
        assert lab.edge._sessions.unaccepted == 1


async def test_sessions_of_a_removed_domain_end(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        client = await lab.login("alice")
        del lab.accounts.domains[0]
        lab.accounts.node.bus.announce(DomainsChanged())
        assert "<host-gone " in await client.rest()
        late = await lab.connect()
        await late.send(HEADER)
        assert "<host-unknown " in await late.rest()


async def test_a_domain_that_is_added_is_served_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        lab.accounts.domains.append(("new.example", False, ()))
        lab.accounts.node.bus.announce(DomainsChanged())
        await wait_for(lambda: "new.example" in lab.edge._domains)
        client = await lab.connect()
        assert "starttls" in await client.open(HEADER.replace(DOMAIN, "new.example"))


async def test_a_domain_that_becomes_one_of_rooms_has_no_logins(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        client = await lab.login("alice")
        lab.accounts.kinds = ["rooms", "accounts"]
        lab.accounts.node.bus.announce(DomainsChanged())
        assert "<host-gone " in await client.rest()
        late = await lab.connect()
        await late.send(HEADER)
        assert "<host-unknown " in await late.rest()
        assert lab.edge._domains.addresses.local(f"room@{DOMAIN}")
        assert not lab.edge._domains.addresses.account(f"room@{DOMAIN}")


@pytest.mark.slow
async def test_many_short_connections_leave_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        for round_ in range(60):
            client = await lab.connect("c2s_tls" if round_ % 3 == 0 else "c2s")
            if round_ % 2:
                await client.send(HEADER)
            if round_ % 5 == 0 and isinstance(client.stream, trio.SocketStream):
                client.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await client.aclose()
        await wait_for(lambda: lab.edge.connections == 0)
        assert len(lab.edge._reactor._sources) == 3
        assert not lab.edge._door._direct
        assert not lab.edge._door._gauges

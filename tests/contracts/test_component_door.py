"""The port of components on a real database: TLS, secrets in files, what they send too fast, and users of other servers."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from rookery.shared.bus.messages import Handle, Kind, Origin, Route
from rookery.shared.bus.subjects import partition_of
from rookery.shared.cluster.fake import FakeCluster, FakeNode
from rookery.shared.config import Component, Config, S2s, Tls
from rookery.shared.db.api import Database
from rookery.shared.net.folder import CHAIN, KEY
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.component.service import ComponentService

HERE, IRC, SECRET = "here.example", "irc.here.example", "a secret of the file"
ROMEO = "romeo@remote.example/r"


class World:
    """A component worker with its port; a router and an s2s worker that collect."""

    def __init__(self, node: FakeNode, worker: ComponentService, others: dict[Kind, FakeNode]) -> None:
        self.node = node
        self.worker = worker
        self.others = others
        self._n = 0

    def routed(self, kind: Kind) -> list[Stanza]:
        """What went to a kind."""
        return [item.stanza for _, _, _, _, item in self.others[kind].received if isinstance(item, Route)]

    def send(self, stanza: Stanza) -> None:
        """Whoever serves another server hands a stanza on."""
        self._n += 1
        item = Route(Origin(b"s" * 16, self._n, "s2s1"), stanza)
        self.others[Kind.S2S].bus.post(Kind.COMPONENT, partition_of(IRC, 256), item)


@asynccontextmanager
async def world(
    database: Database, folder: Path, **settings: object
) -> AsyncIterator[tuple[World, trustme.CA]]:
    """A hosted component whose secret stands in a file."""
    authority = trustme.CA()
    issued = authority.issue_cert(HERE)
    (folder / "tls" / HERE).mkdir(parents=True)
    (folder / "tls" / HERE / CHAIN).write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    (folder / "tls" / HERE / KEY).write_bytes(issued.private_key_pem.bytes())
    (folder / "secrets").mkdir()
    (folder / "secrets" / IRC).write_text(f"{SECRET}\n")
    config = Config(
        tls=Tls(directory=str(folder / "tls")),
        s2s=S2s(enabled="on"),
        component=Component(port=0, secrets_directory=str(folder / "secrets"), **settings),  # type: ignore[arg-type]
    )

    async def rows(conn: object) -> None:
        for name, kind in ((HERE, "accounts"), (IRC, "component")):
            await conn.execute("INSERT INTO domain (name, kind) VALUES ($1, $2)", name, kind)  # type: ignore[attr-defined]
        await conn.execute("INSERT INTO fence (incarnation, open) VALUES ('component1', true)")  # type: ignore[attr-defined]

    await database.run(0, rows)
    async with trio.open_nursery() as nursery:
        cluster = FakeCluster(clock=trio.current_time)
        others = {
            kind: cluster.node(f"{kind.label}1", kind, config=config)
            for kind in (Kind.ROUTER, Kind.S2S, Kind.ROSTER)
        }
        node = cluster.node("component1", Kind.COMPONENT, config=config, db=database)
        worker = ComponentService(node)
        node.serve(worker)
        nursery.start_soon(cluster.network.run)
        nursery.start_soon(worker.run)
        await worker.acquire(partition_of(IRC, 256), 1)
        with trio.fail_after(5):
            while not worker.ports:  # noqa: ASYNC110
                await trio.sleep(0.01)
        yield World(node, worker, others), authority
        nursery.cancel_scope.cancel()


class Talk:
    """A component of a few lines."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.data = b""

    async def until(self, wanted: bytes) -> bytes:
        """Read until something has come."""
        with trio.fail_after(5):
            while wanted not in self.data:
                more = await self.stream.receive_some()
                if not more:
                    raise AssertionError(f"the stream ended: {self.data!r}")
                self.data += more
        return self.data

    async def enter(self, secret: str = SECRET) -> None:
        """The header and the handshake (XEP-0114 section 3)."""
        await self.stream.send_all(
            b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='%b'>"
            % IRC.encode()
        )
        found = re.search(rb"\bid=['\"]([^'\"]+)", await self.until(b" id="))
        assert found is not None
        proof = hashlib.sha1(found[1] + secret.encode()).hexdigest()
        await self.stream.send_all(f"<handshake>{proof}</handshake>".encode())


def chat(to: str, from_: str, text: str) -> Stanza:
    body = Element("jabber:client", "body", None, text)
    return Stanza.build("message", body, type="chat", to=to, from_=from_, id=text)


async def plain(world: World) -> Talk:
    """A connection without TLS."""
    return Talk(await trio.open_tcp_stream("127.0.0.1", world.worker.ports["component"]))


async def test_users_of_other_servers_reach_a_component_over_tls_and_are_answered(
    database: Database, tmp_path: Path
) -> None:
    async with world(database, tmp_path, require_tls=True) as (here, authority):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        talk = Talk(
            await trio.open_ssl_over_tcp_stream(
                "127.0.0.1", here.worker.ports["component"], ssl_context=_named(context)
            )
        )
        here.send(chat(f"bot@{IRC}", ROMEO, "early"))
        await talk.enter()
        await talk.until(b"early")
        assert b"<handshake" in talk.data
        assert ROMEO.encode() in talk.data
        await talk.stream.send_all(
            f"<message from='bot@{IRC}/x' to='{ROMEO}' id='back'><body>back</body></message>".encode()
        )
        with trio.fail_after(5):
            while not here.routed(Kind.S2S):  # noqa: ASYNC110
                await trio.sleep(0.01)
        [answer] = here.routed(Kind.S2S)
        assert (answer.to, answer.from_, answer.id) == (ROMEO, f"bot@{IRC}/x", "back")


async def test_what_is_larger_than_the_bus_carries_comes_back(database: Database, tmp_path: Path) -> None:
    """A stanza of a permitted size grows when it is read: `>` becomes four octets. Streams of other servers go the same way."""
    async with world(database, tmp_path) as (here, _):
        talk = await plain(here)
        await talk.enter()
        await talk.until(b"<handshake")
        body = f"<body>{'>' * 200_000}</body></message>"
        for name in ("large", "small"):
            head = f"<message from='bot@{IRC}/x' to='{ROMEO}' id='{name}'>"
            await talk.stream.send_all(
                (head + (body if name == "large" else "<body>hi</body></message>")).encode()
            )
        with trio.fail_after(5):
            while not here.routed(Kind.S2S):  # noqa: ASYNC110
                await trio.sleep(0.01)
        await talk.until(b"</error>")
        assert [one.id for one in here.routed(Kind.S2S)] == ["small"]
        said = talk.data.replace(b'"', b"'")
        assert b"id='large'" in said
        assert b"<policy-violation " in said


def _named(context: ssl.SSLContext) -> ssl.SSLContext:
    # (the certificate is for a domain, the connection goes to an address)
    context.check_hostname = False
    return context


async def test_privileges_that_were_granted(database: Database, tmp_path: Path) -> None:
    """XEP-0356: told at the beginning; a roster is asked for in place of its owner, a message is sent in a user's name."""
    async with world(database, tmp_path) as (here, _):
        grant = """UPDATE domain SET policy = '{"privileges": {"roster": "get", "message": "outgoing"}}' WHERE name = $1"""
        await database.run(0, lambda conn: conn.execute(grant, IRC))
        here.worker.domains.refresh()
        with trio.fail_after(5):
            while here.worker.privileges.advertised(IRC) is None:  # noqa: ASYNC110
                await trio.sleep(0.01)
        talk = await plain(here)
        await talk.enter()
        await talk.until(b"</privilege>")
        assert b"type='get' push='true'" in talk.data.replace(b'"', b"'")
        roster = "<query xmlns='jabber:iq:roster'/>"
        for type in ("get", "set"):
            await talk.stream.send_all(
                f"<iq type='{type}' from='{IRC}' to='alice@{HERE}' id='{type}'>{roster}</iq>".encode()
            )
        inner = f"<message xmlns='jabber:client' from='alice@{HERE}' to='{ROMEO}' id='m'><body>hi</body></message>"
        await talk.stream.send_all(
            f"<message from='{IRC}' to='{HERE}'><privilege xmlns='urn:xmpp:privilege:2'>"
            f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></privilege></message>".encode()
        )
        with trio.fail_after(5):
            while not here.routed(Kind.S2S):  # noqa: ASYNC110
                await trio.sleep(0.01)
        [sent] = here.routed(Kind.S2S)
        assert (sent.from_, sent.to, sent.id) == (f"alice@{HERE}", ROMEO, "m")
        asked = [item for _, _, _, _, item in here.others[Kind.ROSTER].received if isinstance(item, Handle)]
        assert [(item.account, item.full, item.outbound, item.stanza.id) for item in asked] == [
            (f"alice@{HERE}", IRC, True, "get")
        ]
        # What was not granted is refused to the component.
        await talk.until(b"forbidden")


async def test_without_tls_nobody_comes_in_where_it_is_required(database: Database, tmp_path: Path) -> None:
    async with world(database, tmp_path, require_tls=True) as (here, _):
        talk = await plain(here)
        await talk.stream.send_all(b"<stream:stream ")
        assert b"policy-violation" in await talk.until(b"</stream:stream>")


@pytest.mark.parametrize("secret", ["another secret", ""])
async def test_a_secret_that_is_wrong(database: Database, tmp_path: Path, secret: str) -> None:
    async with world(database, tmp_path) as (here, _):
        talk = await plain(here)
        await talk.enter(secret)
        assert b"not-authorized" in await talk.until(b"</stream:stream>")


async def test_what_a_component_sends_too_fast_is_read_later_and_none_is_lost(
    database: Database, tmp_path: Path
) -> None:
    async with world(database, tmp_path, stanzas_per_second=50, stanzas_burst=20) as (here, _):
        talk = await plain(here)
        await talk.enter()
        await talk.until(b"<handshake")
        began = trio.current_time()

        async def say(*numbers: int) -> None:
            for n in numbers:
                await talk.stream.send_all(
                    f"<message from='bot@{IRC}' to='{ROMEO}' id='m{n}'><body>{n}</body></message>".encode()
                )
            with trio.fail_after(8):
                while len(here.routed(Kind.S2S)) <= max(numbers):  # noqa: ASYNC110
                    await trio.sleep(0.01)

        # What has come in one turn is taken; what follows is read when that is paid for.
        await say(*range(60))
        await say(60)
        assert [stanza.id for stanza in here.routed(Kind.S2S)] == [f"m{n}" for n in range(61)]
        assert trio.current_time() - began > 0.7


async def test_a_request_that_was_delegated(database: Database, tmp_path: Path) -> None:
    """XEP-0355: told when it connects and when it changes, forwarded, answered; what it brings is nested; service-unavailable while it is away."""
    here: World
    asked = Stanza.build("iq", Element("urn:pubsub", "pubsub"), type="get", from_=f"alice@{HERE}/r", id="1")

    def delegate(n: int) -> None:
        item = Handle(Origin(b"s" * 16, n, "router1"), IRC, asked.from_, False, asked)
        here.others[Kind.ROUTER].bus.post(Kind.COMPONENT, partition_of(IRC, 256), item)

    async def answers(count: int) -> list[Stanza]:
        with trio.fail_after(5):
            while len(here.routed(Kind.ROUTER)) < count:  # noqa: ASYNC110
                await trio.sleep(0.01)
        return here.routed(Kind.ROUTER)

    async def grant(delegations: str) -> None:
        set_ = "UPDATE domain SET policy = policy || jsonb_build_object('delegations', $2::jsonb) WHERE name = $1"
        await database.run(0, lambda conn: conn.execute(set_, IRC, delegations))
        here.worker.domains.refresh()

    async with world(database, tmp_path) as (here, _):
        await grant('{"urn:pubsub": []}')
        with trio.fail_after(5):
            while here.worker.delegating.advertised(IRC) is None or not here.worker.delegating.secret:  # noqa: ASYNC110
                await trio.sleep(0.01)
        delegate(1)
        [away] = await answers(1)
        assert (away.type, away.to, away.id) == ("error", asked.from_, "1")
        assert b"service-unavailable" in away.inner
        talk = await plain(here)
        await talk.enter()
        await talk.until(b"</delegation>")
        node = b"urn:xmpp:delegation:2::urn:pubsub"
        await talk.until(b"urn:xmpp:delegation:2:bare:urn:pubsub")
        assert node in talk.data
        info = f"<query xmlns='http://jabber.org/protocol/disco#info' node='{node.decode()}'><feature var='urn:theirs'/></query>"
        await talk.stream.send_all(
            f"<iq type='result' from='{IRC}' to='{HERE}' id='delegated-disco:{node.decode()}'>{info}</iq>".encode()
        )
        nested = "SELECT policy #>> ARRAY['nested', $2] FROM domain WHERE name = $1"
        with trio.fail_after(5):
            while not await database.run(0, lambda conn: conn.fetchval(nested, IRC, node.decode())):  # noqa: ASYNC110
                await trio.sleep(0.01)
        delegate(2)
        await talk.until(b"</forwarded>")
        found = re.search(rb"id=['\"](delegated:[^'\"]+)", talk.data)
        assert found is not None
        inner = (
            f"<iq xmlns='jabber:client' to='{asked.from_}' id='1' type='result'><done xmlns='urn:x'/></iq>"
        )
        for _ in range(2):
            await talk.stream.send_all(
                f"<iq type='result' from='{IRC}' to='{HERE}' id='{found[1].decode()}'><delegation xmlns='urn:xmpp:delegation:2'>"
                f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></delegation></iq>".encode()
            )
        told = (await answers(2))[1]
        assert (told.type, told.from_, told.to, told.id) == ("result", "", asked.from_, "1")
        assert b"urn:x" in told.inner
        # Section 8, rule 3: a change is told at once; what is taken back is not forwarded any more.
        talk.data = b""
        await grant("{}")
        await talk.until(b"<delegation xmlns=")
        delegate(3)
        refused = (await answers(4))[-1]
        assert b"service-unavailable" in refused.inner

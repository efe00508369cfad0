"""An s2s worker on a real database, with another server that is played: what it was sent, what it acknowledges, when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from rookery.shared.bus.messages import Accepted, Item, Kind, Origin, Route
from rookery.shared.bus.subjects import partition_of
from rookery.shared.cluster.fake import FakeCluster, FakeNode
from rookery.shared.config import Config
from rookery.shared.db.api import Database
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.s2s.service import S2sService
from rookery.workers.s2s.streams.api import Link, Owner, Trouble

HERE, THERE = "here.example", "there.example"
ALICE, BOB = f"alice@{HERE}/phone", f"bob@{THERE}"
PARTITION = partition_of(THERE, 256)


def chat(text: str, to: str = BOB, from_: str = ALICE) -> Stanza:
    """A message that is kept for who is away."""
    body = Element("jabber:client", "body", None, text)
    return Stanza.build("message", body, type="chat", to=to, from_=from_, id=text)


CLOSED = Trouble(kind="closed")


class PlayedLink:
    """A stream to a played server. It opens and acknowledges when the test says so."""

    def __init__(self, world: World, remote: str, local: str, owner: Owner) -> None:
        self.world = world
        self.remote = remote
        self.local = local
        self.owner = owner
        self.open = self.managed = False
        self.waiting = self.unconfirmed = 0
        self.sent: list[Stanza] = []
        self.numbers: list[int] = []
        self.marks = 0
        self.closed = False

    def authenticate(self, local: str) -> None:
        self.world.later(lambda: self.owner.on_pair(local, self.world.pair_trouble.get(local)))

    def send(self, stanza: Stanza, n: int = 0) -> None:
        self.sent.append(stanza)
        self.numbers.append(n)
        self.world.got.append(stanza)
        if stanza.id == self.world.poison:
            self.end(Trouble(kind="stream", text="invalid-xml"))

    def mark(self) -> None:
        self.marks += 1
        if self.world.acknowledges:
            self.acknowledge()

    def acknowledge(self, count: int | None = None) -> None:
        n = len(self.sent) if count is None else count
        self.world.later(lambda: self.owner.on_acked(self, n))

    def close(self) -> None:
        self.end(Trouble(kind="idle"))

    def end(self, trouble: Trouble = CLOSED) -> None:
        if not self.closed:
            self.closed, self.open = True, False
            self.world.later(lambda: self.owner.on_closed(self, trouble))


class World:
    """The worker, a router and an edge that only collect, and the played servers."""

    def __init__(self, database: Database, nursery: trio.Nursery) -> None:
        self.database = database
        self.nursery = nursery
        self.cluster = FakeCluster(clock=trio.current_time)
        config = Config()
        self.edge = self.cluster.node("edge1", Kind.EDGE, config=config)
        self.router = self.cluster.node("router1", Kind.ROUTER, config=config)
        self.links: list[PlayedLink] = []
        self.got: list[Stanza] = []
        self.acknowledges = True
        #: None: streams open at once; else they fail so.
        self.trouble: Trouble | None = None
        self.pair_trouble: dict[str, Trouble] = {}
        #: The other server ends a stream that brings a stanza of this id.
        self.poison = ""
        self._count = 0
        self._n = 0
        self.worker: S2sService
        self.node: FakeNode

    def later(self, call: object) -> None:
        async def run() -> None:
            await trio.lowlevel.checkpoint()
            call()  # type: ignore[operator]

        self.nursery.start_soon(run)

    def open(self, remote: str, local: str, owner: Owner) -> Link:
        link = PlayedLink(self, remote, local, owner)
        self.links.append(link)
        if self.trouble is not None:
            link.end(self.trouble)
        else:
            link.open = True
            self.later(lambda: owner.on_open(link))
        return link

    async def start(self) -> S2sService:
        """A worker takes all partitions; the former one, if any, is dead."""
        self._count += 1
        name = f"s2s{self._count}"
        await self.database.run(
            0, lambda conn: conn.execute("INSERT INTO fence (incarnation, open) VALUES ($1, true)", name)
        )
        self.node = self.cluster.node(name, Kind.S2S, db=self.database)
        self.worker = S2sService(self.node, network=False)
        self.worker.remotes.opener = self
        self.node.serve(self.worker)
        self.nursery.start_soon(self.worker.run)
        for domain in (THERE, "other.example"):
            await self.worker.acquire(partition_of(domain, 256), self._count)
        return self.worker

    async def die(self) -> None:
        """The worker is killed: it writes nothing any more."""
        name = self.node.incarnation
        await self.database.run(
            0, lambda conn: conn.execute("UPDATE fence SET open = false WHERE incarnation = $1", name)
        )
        for domain in (THERE, "other.example"):
            self.worker.drop(partition_of(domain, 256))
        self.cluster.lose(name)
        self.links.clear()

    def send(self, stanza: Stanza, n: int = 0) -> int:
        """A router hands a stanza on; returns its number."""
        self._n = n or self._n + 1
        place = self.worker.addresses.place(stanza.to)
        self.router.bus.post(Kind.S2S, place.partition, Route(Origin(b"s" * 16, self._n, "router1"), stanza))
        return self._n

    def accepted(self) -> list[int]:
        """Numbers that the router was told are accepted."""
        return [
            n for _, _, _, _, item in self.router.received if isinstance(item, Accepted) for _, n in item.uids
        ]

    def errors(self) -> list[Stanza]:
        """Errors that came back to senders."""
        return [item.stanza for item in self.routed() if item.stanza.type == "error"]

    def routed(self) -> list[Route]:
        """What the router was given."""
        return [item for _, _, _, _, item in self.router.received if isinstance(item, Route)]

    def take(self) -> list[Item]:
        """Everything that the router got, once."""
        items = [item for _, _, _, _, item in self.router.received]
        self.router.received.clear()
        return items  # type: ignore[return-value]

    @staticmethod
    async def until(condition: object, seconds: float = 5.0) -> None:
        """Wait until it holds."""
        with trio.fail_after(seconds):
            while not condition():  # type: ignore[operator]  # noqa: ASYNC110  it looks at many things
                await trio.sleep(0.005)

    async def rows(self, count: int, seconds: float = 5.0) -> None:
        """Wait until so many rows are not acknowledged."""
        sql = """SELECT count(*) FROM s2s_queue q LEFT JOIN s2s_peer p USING (remote, local) WHERE q.seq > coalesce(p.acked, 0)"""
        await self.count(sql, count, seconds)

    async def count(self, sql: str, count: int, seconds: float = 5.0) -> None:
        """Wait until a statement gives this number."""
        with trio.fail_after(seconds):
            while await self.database.run(0, lambda conn: conn.fetchval(sql)) != count:  # noqa: ASYNC110  rows tell nobody
                await trio.sleep(0.01)


@asynccontextmanager
async def federation(database: Database) -> AsyncIterator[World]:
    """A world with a hosted domain and one worker."""
    async with trio.open_nursery() as nursery:
        await database.run(
            0, lambda conn: conn.execute("INSERT INTO domain (name) VALUES ($1) ON CONFLICT DO NOTHING", HERE)
        )
        world = World(database, nursery)
        nursery.start_soon(world.cluster.network.run)
        await world.start()
        yield world
        nursery.cancel_scope.cancel()

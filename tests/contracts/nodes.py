"""The pubsub worker on a real Postgres and a memory bus, with a router that only listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from rookery.shared.bus.kinds import PUBSUB
from rookery.shared.bus.messages import Fanout, Handle, Item, Kind, LastItems, Origin, Route
from rookery.shared.cluster.fake import FakeCluster, FakeNode
from rookery.shared.config import Config
from rookery.shared.db.api import Connection, Database
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account import store
from rookery.workers.account.credentials import Keys
from rookery.workers.pubsub.service import PubsubService

ALICE, BOB, EVE = "alice@one.org", "bob@one.org", "eve@one.org"
PHONE, DESK = f"{ALICE}/phone", f"{BOB}/desk"
SERVICE = "pubsub.one.org"
KEYS = [Keys("SCRAM-SHA-256", 4096, b"salt", b"stored", b"server")]
NS = "http://jabber.org/protocol/pubsub"


class Nodes:
    """What a test asks and sees."""

    def __init__(self, cluster: FakeCluster, worker: FakeNode, service: PubsubService) -> None:
        self.cluster = cluster
        self.worker = worker
        self.service = service
        self.router = cluster.node("router1", Kind.ROUTER)
        self._n = 0

    def origin(self) -> Origin:
        self._n += 1
        return Origin(b"s" * 16, self._n, "edge1")

    def post(self, to: str, item: Item) -> None:
        self.router.bus.post(Kind.PUBSUB, self.router.partition(to), item)

    async def rest(self) -> None:
        with trio.fail_after(20):
            while True:
                self.cluster.network.settle()
                idle = not self.cluster.network.step() and not self.service.lanes.any()
                await trio.sleep(0.005)
                busy = self.service.lanes.any() or self.service.last_items.open
                if idle and not busy and not self.cluster.network.step():
                    return

    async def iq(
        self, type: str, inner: str, to: str = ALICE, full: str = PHONE, origin: Origin | None = None
    ) -> Stanza:
        """Ask, and take the answer."""
        origin = origin or self.origin()
        stanza = Stanza.build("iq", parse_element(inner.encode()), type=type, to=to, from_=full, id="q")
        if "@" in to:
            own = full.partition("/")[0] == to
            self.post(to, Handle(origin, to, full, own, stanza))
        else:
            self.post(to, Route(origin, stanza))
        await self.rest()
        answers = [
            one
            for one in self.router.received
            if isinstance(one[4], Route) and one[4].stanza.kind == "iq" and one[4].stanza.id == "q"
        ]
        assert len(answers) == 1, answers
        self.router.received.remove(answers[0])
        item = answers[0][4]
        assert isinstance(item, Route)
        return item.stanza

    async def ask(
        self, inner: str, to: str = ALICE, full: str = PHONE, type: str = "set", ns: str = NS
    ) -> Stanza:
        return await self.iq(type, f"<pubsub xmlns='{ns}'>{inner}</pubsub>", to, full)

    async def publish(
        self, node: str, item: str, to: str = ALICE, full: str = PHONE, more: str = ""
    ) -> Stanza:
        return await self.ask(f"<publish node='{node}'>{item}</publish>{more}", to, full)

    def told(self) -> list[Fanout]:
        """Notifications since the last look."""
        found = [one[4] for one in self.router.received if isinstance(one[4], Fanout)]
        self.router.received = [one for one in self.router.received if not isinstance(one[4], Fanout)]
        return found

    def last(self) -> list[LastItems]:
        """Last items since the last look."""
        found = [one[4] for one in self.router.received if isinstance(one[4], LastItems)]
        self.router.received = [one for one in self.router.received if not isinstance(one[4], LastItems)]
        return found


@asynccontextmanager
async def nodes(database: Database, config: Config | None = None) -> AsyncIterator[Nodes]:
    """Alice lets Bob see her presence, and he is in her group Friends; Eve is a stranger."""

    async def prepare(conn: Connection) -> None:
        await conn.execute("INSERT INTO fence VALUES ('worker1', true), ('worker2', true)")
        await store.put_domain(conn, "one.org", registration=True)
        await store.host_service(conn, "one.org", PUBSUB)
        for account in (ALICE, BOB, EVE):
            localpart, _, domain = account.partition("@")
            await store.create_account(conn, localpart, domain, KEYS)
        await conn.execute(
            "INSERT INTO roster_item (account_id, contact, sub_from, groups) "
            "SELECT id, $1, true, '{Friends}' FROM account WHERE localpart = 'alice'",
            BOB,
        )

    await database.run(0, prepare)
    cluster = FakeCluster()
    worker = cluster.node("worker1", Kind.PUBSUB, config=config, db=database)
    async with trio.open_nursery() as nursery:
        service = PubsubService(worker)
        worker.serve(service)
        world = Nodes(cluster, worker, service)
        nursery.start_soon(service.run)
        await service.domains.known()
        yield world
        assert not worker.failures
        nursery.cancel_scope.cancel()


def form(form_type: str, **fields: str) -> str:
    """A submitted form."""
    rows = "".join(
        f"<field var='pubsub#{name}'><value>{value}</value></field>" for name, value in fields.items()
    )
    return (
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>"
        f"<value>{NS}#{form_type}</value></field>{rows}</x>"
    )


def options(**fields: str) -> str:
    """The preconditions of a publication."""
    return f"<publish-options>{form('publish-options', **fields)}</publish-options>"

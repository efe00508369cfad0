"""Roster, presence and account workers on a real Postgres and a memory bus, with a router and an edge that only listen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
import trio

from rookery.shared.bus.messages import (
    Accepted,
    AccountChanged,
    Fanout,
    Handle,
    Item,
    Kind,
    Origin,
    Route,
    SendPresence,
    ToResources,
)
from rookery.shared.cluster.fake import FakeCluster, FakeNode
from rookery.shared.config import Config
from rookery.shared.db.api import Connection, Database
from rookery.shared.federation_settings import S2s
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account import store
from rookery.workers.account.credentials import Keys
from rookery.workers.account.service import AccountService
from rookery.workers.hosted import HostedWorker
from rookery.workers.once import Once
from rookery.workers.presence.service import PresenceService
from rookery.workers.roster.service import RosterService

ALICE, BOB, EVE = "alice@one.org", "bob@one.org", "eve@two.org"
PHONE = f"{ALICE}/phone"
KEYS = [Keys("SCRAM-SHA-256", 4096, b"salt", b"stored", b"server")]
SUBSCRIPTIONS = ("subscribe", "subscribed", "unsubscribe", "unsubscribed")
T = TypeVar("T", bound=Item)


class People:
    """What a test does and sees. A subscription that is routed goes on to the roster worker, as a router would do."""

    def __init__(self, cluster: FakeCluster, worker: FakeNode, db: Database) -> None:
        self.cluster = cluster
        self.worker = worker
        self.db = db
        self.edge = cluster.node("edge1", Kind.EDGE)
        self.router = cluster.node("router1", Kind.ROUTER)
        self.offline = cluster.node("offline1", Kind.OFFLINE)
        self.services: list[HostedWorker] = []
        self._n = 0
        self._seen = 0

    def origin(self) -> Origin:
        self._n += 1
        return Origin(b"s" * 16, self._n, "edge1")

    def post(self, kind: Kind, account: str, item: Item) -> None:
        self.router.bus.post(kind, self.router.partition(account), item)

    async def rest(self) -> None:
        """Until nothing is to be done any more."""
        with trio.fail_after(20):
            while True:
                self.cluster.network.settle()
                self._forward()
                if not self.cluster.network.step() and not any(s.lanes.any() for s in self.services):
                    return
                await trio.sleep(0.001)

    def _forward(self) -> None:
        for *_, item in self.router.received[self._seen :]:
            if isinstance(item, Route) and item.stanza.type in SUBSCRIPTIONS:
                handle = Handle(item.origin, item.stanza.to, "", False, item.stanza)
                self.post(Kind.ROSTER, item.stanza.to, handle)
        self._seen = len(self.router.received)

    def take(self) -> list[Item]:
        """What the router got since the last call."""
        items = [item for *_, item in self.router.received]
        self.router.received.clear()
        self._seen = 0
        return items  # type: ignore[return-value]

    def accepted(self) -> list[int]:
        """The numbers of the stanzas that were accepted since the last call."""
        numbers = [n for *_, item in self.edge.received if isinstance(item, Accepted) for _, n in item.uids]
        self.edge.received.clear()
        return numbers

    async def iq(
        self,
        kind: Kind,
        payload: str,
        type: str = "get",
        *,
        full: str = PHONE,
        to: str = "",
        own: bool = True,
        origin: Origin | None = None,
    ) -> Stanza:
        """Send an iq and return its answer; the rest of what the router got stays for `take`."""
        origin = origin or self.origin()
        stanza = Stanza.build(
            "iq", parse_element(payload.encode()), type=type, from_=full, to=to, id=f"i{origin.n}"
        )
        account = full.partition("/")[0] if own else to
        self.post(kind, account, Handle(origin, account, full, own, stanza))
        await self.rest()
        answers = [
            entry
            for entry in self.router.received
            if isinstance(entry[4], Route) and entry[4].stanza.id == stanza.id and entry[4].stanza.to == full
        ]
        assert len(answers) == 1
        assert self.accepted() == [origin.n]
        self.router.received.remove(answers[0])
        self._seen = len(self.router.received)
        return answers[0][4].stanza  # type: ignore[union-attr]

    def succeed(self) -> None:
        """Other workers hold the partitions now: they know nothing of what was done."""
        for service in self.services:
            service.once = Once()

    async def presence(self, full: str, type: str, to: str, origin: Origin | None = None) -> None:
        """A client sends subscription presence."""
        origin = origin or self.origin()
        account = full.partition("/")[0]
        stanza = Stanza.build("presence", type=type, from_=full, to=to)
        self.post(Kind.ROSTER, account, Handle(origin, account, full, True, stanza))
        await self.rest()
        assert self.accepted() == [origin.n]


def of(items: list[Item], kind: type[T]) -> list[T]:
    return [item for item in items if isinstance(item, kind)]


def pushes(items: list[Item], account: str) -> list[str]:
    """Roster pushes to the interested resources of an account, as item XML."""
    found = [i for i in of(items, ToResources) if i.account == account and i.stanza.kind == "iq"]
    assert all(item.which == "interested" for item in found)
    return [next(item.stanza.elements()[0].elements()).xml("jabber:iq:roster") for item in found]


def delivered(items: list[Item], account: str) -> list[tuple[str, str, str]]:
    """Presence given to resources of an account: (which, type, from)."""
    found = [i for i in of(items, ToResources) if i.account == account and i.stanza.kind == "presence"]
    return [(item.which, item.stanza.type, item.stanza.from_) for item in found]


def sent_presence(items: list[Item]) -> list[tuple[str, str, bool]]:
    return [(item.account, item.to, item.available) for item in of(items, SendPresence)]


def changed(items: list[Item]) -> list[tuple[str, str]]:
    return [(item.account, item.what) for item in of(items, AccountChanged)]


def told(items: list[Item]) -> set[str]:
    return {jid for item in of(items, Fanout) for jid in item.recipients}


@asynccontextmanager
async def people(
    database: Database, config: Config | None = None, *, federated: bool = False
) -> AsyncIterator[People]:
    async def prepare(conn: Connection) -> None:
        await conn.execute("INSERT INTO fence VALUES ('worker1', true) ON CONFLICT DO NOTHING")
        await store.put_domain(conn, "one.org", registration=True)
        await store.put_domain(conn, "two.org")
        for account in (ALICE, BOB, EVE):
            localpart, _, domain = account.partition("@")
            await store.create_account(conn, localpart, domain, KEYS)

    await database.run(0, prepare)
    # Addresses elsewhere are nobody's here.
    config = msgspec.structs.replace(config or Config(), s2s=S2s(enabled="on" if federated else "off"))
    cluster = FakeCluster()
    worker = cluster.node("worker1", Kind.ROSTER, Kind.PRESENCE, Kind.ACCOUNT, config=config, db=database)
    world = People(cluster, worker, database)
    async with trio.open_nursery() as nursery:
        for service in (RosterService(worker), PresenceService(worker), AccountService(worker)):
            worker.serve(service)
            world.services.append(service)
            nursery.start_soon(service.run)
        yield world
        assert not worker.failures
        nursery.cancel_scope.cancel()


_BEFRIEND = """
    WITH made AS (
        INSERT INTO account (localpart, domain) SELECT 'c' || n, 'one.org' FROM generate_series(1, $2) n
        RETURNING id, localpart || '@one.org' AS jid
    ), theirs AS (INSERT INTO roster_item (account_id, contact, sub_from, sub_to) SELECT id, $1, true, true FROM made)
    INSERT INTO roster_item (account_id, contact, sub_from, sub_to)
    SELECT a.id, jid, true, true FROM made, account a WHERE a.localpart = 'alice'
"""


async def befriend_many(conn: Connection, count: int) -> None:
    """Make so many accounts that are alice's contacts, and she theirs."""
    await conn.execute(_BEFRIEND, ALICE, count)

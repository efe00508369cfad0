"""A router among fake edges and workers on the memory bus, with a fake database and store that tests command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from rookery.router.account_cache import LOAD
from rookery.router.service import RouterService
from rookery.router.sessions.hibernation import FORGET, LOAD_SESSIONS, STORE
from rookery.router.takeover.handover import LOAD_HANDOVER, SAVE_HANDOVER
from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import (
    Accepted,
    AccountChanged,
    Acked,
    Bind,
    Bound,
    Copied,
    Copy,
    Deliver,
    DeliverMany,
    End,
    Item,
    Kind,
    Management,
    Mirror,
    MirrorRequest,
    MirrorSession,
    Note,
    Origin,
    Replay,
    Route,
    SessionUp,
    Submit,
    Unbind,
)
from rookery.shared.bus.subjects import partition_of
from rookery.shared.cluster.fake import FakeCluster, FakeNode
from rookery.shared.config import Config, S2s
from rookery.shared.db.api import DatabaseUnavailable, UnitOfWork
from rookery.shared.store.holding import Holding
from rookery.shared.store.rows import Row, unpack_stanza
from rookery.shared.store.statements import OWE
from rookery.shared.xeps.delayed_delivery import stamped
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

DOMAIN = "example.org"
#: Enough to keep the accounts of a test apart; a real cluster has 256.
PARTITIONS = 32
WORKERS = (Kind.ROSTER, Kind.PRESENCE, Kind.OFFLINE, Kind.ACCOUNT, Kind.PUBSUB)


class FakeStore:
    """Owed rows wait until the test commits, those of what was delivered only while it says `hold`; owed rows by account."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Row, Callable[[Row, bool], None]]] = []
        self.live: list[tuple[Row, Callable[[Row, bool], None]]] = []
        self.hold = False
        self.afterwards: list[Callable[[], None]] = []
        self.rows: list[Row] = []
        self.settled: list[tuple[int, int]] = []
        self.owing: list[tuple[int, int, Callable[[], None]]] = []
        self.full = False

    def put(self, row: Row, done: Callable[[Row, bool], None], holding: Holding) -> None:
        (self.waiting if row.owed else self.live).append((row, done))

    def settle(self, account_id: int, ids: Iterable[int]) -> None:
        for id in ids:
            self.settled.append((account_id, id))
            self.rows = [
                row._replace(owed=False) if (row.owner_id, row.id) == (account_id, id) else row
                for row in self.rows
                if row.archived or (row.owner_id, row.id) != (account_id, id)
            ]

    def owe(self, account_id: int, id: int, done: Callable[[], None]) -> None:
        self.owing.append((account_id, id, done))

    def owe_again(self, row: Row, done: Callable[[], None]) -> None:
        (old,) = [old for old in self.rows if self._uid(old) == self._uid(row)]
        self.owing.append((old.owner_id, old.id, done))

    def owe_now(self, rows: set[tuple[int, int]]) -> None:
        self.rows = [row._replace(owed=row.owed or (row.owner_id, row.id) in rows) for row in self.rows]

    def after(self, done: Callable[[], None]) -> None:
        if self.live:
            self.afterwards.append(done)
        else:
            done()

    def commit(self) -> None:
        waiting, self.waiting = self.waiting, []
        self._store(waiting)
        self.commit_live()
        owing, self.owing = self.owing, []
        for account_id, id, after in owing:
            self.rows = [
                row._replace(owed=True) if (row.owner_id, row.id) == (account_id, id) else row
                for row in self.rows
            ]
            after()

    def commit_live(self) -> bool:
        """Commit what was delivered already; False when there was nothing."""
        live, self.live = self.live, []
        self._store(live)
        afterwards, self.afterwards = self.afterwards, []
        for done in afterwards:
            done()
        return bool(live)

    def _store(self, waiting: list[tuple[Row, Callable[[Row, bool], None]]]) -> None:
        for row, done in sorted(waiting, key=lambda one: one[0].id):
            new = all(self._uid(row) != self._uid(old) for old in self.rows)
            if new:
                self.rows.append(row)
            done(row, new)

    @staticmethod
    def _uid(row: Row) -> tuple[object, ...]:
        return (row.owner_id, row.stream, row.n, row.digest, row.outgoing)

    def owed(self, account_id: int) -> list[Row]:
        return sorted(
            (row for row in self.rows if row.owner_id == account_id and row.owed), key=lambda row: row.id
        )

    def debts(self) -> list[Row]:
        return [row for row in self.rows if row.owed]

    @property
    def coming(self) -> int:
        """How many rows will be owed after the next commit."""
        return len(self.waiting) + len(self.owing)

    def archive(self, account_id: int) -> list[Row]:
        return [row for row in self.rows if row.owner_id == account_id and row.archived]


class FakeDb:
    """Answers the router's statements from plain data."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.ids: dict[str, int] = {}
        self.blocked: dict[str, list[str]] = {}
        self.disabled: set[str] = set()
        self.pushes: dict[str, list[str]] = {}
        #: The payload of the metadata of each avatar.
        self.avatars: dict[str, bytes] = {}
        self.domains = [DOMAIN]
        #: Kinds of domains that have no accounts.
        self.kinds: dict[str, str] = {}
        #: Statements that deleted rows of sessions.
        self.forgets = 0
        self.policy = "{}"
        #: Those of single domains.
        self.policies: dict[str, str] = {}
        #: Archiving preferences: (fallback, always, never, contacts); a fallback of None has chosen nothing.
        self.archiving: dict[
            str, tuple[str | None, list[str] | None, list[str] | None, list[str] | None]
        ] = {}
        self.up = True
        self.loads = 0
        #: Rows of sleeping sessions by (jid, granted).
        self.sessions: dict[tuple[str, int], dict[str, Any]] = {}
        self.handovers: dict[int, bytes] = {}
        #: When accounts were last seen (Unix seconds).
        self.seen: dict[str, float] = {}

    @property
    def healthy(self) -> bool:
        return self.up

    async def run(self, partition: int, work: UnitOfWork[Any], *, op: str = "") -> Any:
        await trio.lowlevel.checkpoint()
        if not self.up:
            raise DatabaseUnavailable("away")
        return await work(self)  # type: ignore[arg-type]

    async def execute(self, query: str, *args: Any) -> str:
        assert query == FORGET
        self.forgets += 1
        for jid, grant in zip(*args[1:], strict=True):
            for key in [key for key in self.sessions if key[0] == jid and key[1] <= grant]:
                del self.sessions[key]
        return "DELETE"

    async def fetchval(self, query: str, incarnation: str, owners: list[int], ids: list[int]) -> bool:
        assert query == OWE
        self.store.owe_now(set(zip(owners, ids, strict=True)))
        return True

    async def fetchrow(self, query: str, incarnation: str, *columns: list[Any]) -> dict[str, Any]:
        """Store what a former holder did not."""
        for row in (Row(*values[: len(Row._fields)]) for values in zip(*columns, strict=True)):
            if all((old.owner_id, old.id) != (row.owner_id, row.id) for old in self.store.rows):
                self.store._store([(row, lambda row, new: None)])
        return {"open": True, "here": True}

    async def fetch(self, query: str, *args: Any) -> list[dict[str, Any]]:
        if "FROM secret" in query:
            return [{"value": b"secret"}]
        if "want.since" in query:
            return self._newest(*args)
        if "AS bare" in query:
            bares = [f"{local}@{domain}" for local, domain in zip(*args, strict=True)]
            return [{"bare": bare, "id": self.ids[bare]} for bare in bares if bare in self.ids]
        if "want.until" in query:
            return self._had(*args)
        if "JOIN message" in query:
            wanted = set(zip(*args, strict=True))
            return [
                {**row._asdict(), "account_id": row.owner_id}
                for row in self.store.rows
                if (row.owner_id, row.stream, row.n) in wanted and not row.outgoing
            ]
        if query == SAVE_HANDOVER:
            self.handovers[args[1]] = args[2]
            return [{"partition": args[1]}]
        if query == LOAD_HANDOVER:
            return [{"state": self.handovers[args[0]]}] if args[0] in self.handovers else []
        if query == LOAD_SESSIONS:
            return [row for row in self.sessions.values() if row["partition"] == args[0]]
        if query == STORE:
            keys = ("account_id", "partition", "jid", "granted", "stream", "state", "seconds")
            rows = [dict(zip(keys, row, strict=True)) for row in zip(*args[1:], strict=True)]
            self.sessions.update({(row["jid"], row["granted"]): row for row in rows})
            return rows
        if query != LOAD:
            return [
                {
                    "name": name,
                    "registration": False,
                    "policy": self.policies.get(name, self.policy),
                    "kind": self.kinds.get(name, "accounts"),
                }
                for name in self.domains
            ]
        self.loads += 1
        rows = []
        for local, domain in zip(*args[:2], strict=True):
            bare = f"{local}@{domain}"
            if bare in self.ids:
                owed = self.store.owed(self.ids[bare])
                rows.append(
                    {
                        "localpart": local,
                        "domain": domain,
                        "id": self.ids[bare],
                        "disabled": bare in self.disabled,
                        "blocked": self.blocked.get(bare, []),
                        **dict(
                            zip(
                                ("fallback", "always", "never", "contacts"),
                                self.archiving.get(bare, (None, None, None, None)),
                                strict=True,
                            )
                        ),
                        "pushes": self.pushes.get(bare, []),
                        "metadata": self.avatars.get(bare),
                        "config": b"\x80" if bare in self.avatars else None,
                        "n": len(owed),
                        "bytes": sum(len(row.stanza) for row in owed),
                    }
                )
        return rows

    def _had(
        self, owners: list[int], streams: list[bytes], ns: list[int], until: list[float], epochs: list[int]
    ) -> list[dict[str, Any]]:
        copies = zip(until, epochs, strict=True)
        before = dict(zip(zip(owners, streams, ns, strict=True), copies, strict=True))
        return [
            {"stream": row.stream, "n": row.n}
            for row in self.store.rows
            if not row.outgoing
            and (uid := (row.owner_id, row.stream, row.n)) in before
            and (
                row.owed
                or before[uid][1] == -1
                or (row.stamp <= before[uid][0] and row.id >> 40 == before[uid][1])
            )
        ]

    def _newest(
        self, localparts: list[str], domains: list[str], since: list[float], before: int, limit: int
    ) -> list[dict[str, Any]]:
        wanted = zip(localparts, domains, since, strict=True)
        return [
            {"bare": bare, "owner_id": row.owner_id, "id": row.id, "stanza": row.stanza}
            for bare, after in ((f"{local}@{domain}", after) for local, domain, after in wanted)
            for row in self.store.archive(self.ids.get(bare, -1))
            if row.id < before and not row.outgoing and row.stamp > max(after, self.seen.get(bare, 0.0))
        ]


class Client:
    """One bound stream at a fake edge."""

    def __init__(self, edge: Edge, full: str, grant: int, sid: int, stream: bytes) -> None:
        self.edge = edge
        self.full = full
        self.bare = full.partition("/")[0]
        self.grant = grant
        self.sid = sid
        self.stream = stream
        self.n = 0
        self.taken: list[Deliver] = []
        self.acked = 0
        self.ends: list[End] = []
        self.note = b""
        self.own_first = False
        self.copies = False
        self.owed = False
        #: One Management when the stream is resumable.
        self.managed: tuple[Management, ...] = ()
        #: What its router said when it was resumed.
        self.heard: Sequence[tuple[bytes, int]] = ()
        self._seen = 0

    def origin(self, n: int | None = None) -> Origin:
        if n is None:
            self.n += 1
            n = self.n
        return Origin(self.stream, n, self.edge.node.incarnation)

    def route(self, stanza: Stanza, n: int | None = None) -> Origin:
        """Send to somebody: edge -> router(to)."""
        origin = self.origin(n)
        stanza = stanza.replace(from_=self.full)
        self.edge.post(stanza.to, Route(origin, stanza))
        return origin

    def copy(self, origin: Origin, stanza: Stanza) -> None:
        """The other leg of a message that was routed."""
        self.edge.post(self.full, Copy(origin, self.full, self.grant, stanza.replace(from_=self.full)))

    def submit(self, stanza: Stanza, n: int | None = None) -> Origin:
        """Send to the own router."""
        origin = self.origin(n)
        self.edge.post(self.full, Submit(origin, self.full, self.grant, stanza.replace(from_=self.full)))
        return origin

    def presence(self, priority: int | None = None, type: str = "", to: str = "") -> Origin:
        children = () if priority is None else (Element("jabber:client", "priority", {}, str(priority)),)
        return self.submit(Stanza.build("presence", *children, type=type, to=to))

    def unbind(self) -> None:
        self.edge.post(self.full, Unbind(self.full, self.grant, "closed"))

    def ack(self) -> None:
        """Everything was written to the client."""
        if self.taken:
            self.acked = self.taken[-1].n
            self.edge.post(self.full, Acked(self.full, self.grant, self.acked))

    def news(self) -> list[Stanza]:
        """Stanzas taken since the last look."""
        new = [one.stanza for one in self.taken[self._seen :]]
        self._seen = len(self.taken)
        return new


class Edge:
    """Takes what routers send to an edge, as the real one does: exactly the next number of each session."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.rig = rig
        self.node = rig.cluster.node(name, Kind.EDGE)
        self.clients: dict[int, Client] = {}
        self.accepted: list[tuple[bytes, int]] = []
        self.copied: list[tuple[bytes, int]] = []
        #: What its sessions acknowledged lately: (origin stream, origin n, stanza).
        self.late: list[tuple[bytes, int, Stanza]] = []
        #: The same of iqs: (partition, origin stream, origin n).
        self.iqs: list[tuple[int, bytes, int]] = []
        #: The same of messages, for longer.
        self.given: list[tuple[int, bytes, int]] = []
        self.answers_mirrors = True
        self._asked: dict[tuple[str, int], MirrorRequest] = {}
        self.node.on_reset.append(self._on_reset)

    def post(self, address: str, item: Item) -> None:
        self.node.bus.post(Kind.ROUTER, self.node.partition(address.partition("/")[0]), item)

    def take(self) -> None:
        received, self.node.received = self.node.received, []
        for source, _, partition, _, item in received:
            self._take(source, partition, item)

    def _take(self, source: str, partition: int, item: Item | Call) -> None:
        if isinstance(item, Accepted):
            self.accepted.extend((stream, n) for stream, n in item.uids)
        elif isinstance(item, Copied):
            self.copied.extend((stream, n) for stream, n in item.uids)
        elif isinstance(item, Deliver):
            self._deliver(item.sid, item)
        elif isinstance(item, DeliverMany):
            for sid, grant, n, to in item.targets:
                stanza = item.stanza.replace(to=to)
                self._deliver(sid, Deliver(sid, grant, n, item.origin_stream, item.origin_n, stanza))
        elif isinstance(item, End):
            for client in self.clients.values():
                if client.sid == item.sid or client.stream == item.stream:
                    client.ends.append(item)
        elif isinstance(item, Note):
            self.clients[item.sid].note = item.note
            self.clients[item.sid].own_first = item.own_first
            self.clients[item.sid].copies = item.copies
        elif isinstance(item, Mirror):
            self.late.extend((stream, n, Stanza.unpack(stanza)) for stream, n, stanza in item.late)
            self.iqs.extend((item.partition, stream, n) for stream, n in item.iqs)
            self.given.extend((item.partition, stream, n) for stream, n in item.given)
        elif isinstance(item, MirrorRequest) and self.answers_mirrors:
            self._asked[source, item.partition] = item
            self._mirror(source, item)

    def _on_reset(self, peer: str) -> None:
        for (source, _), item in self._asked.items():
            if source == peer:
                self._mirror(source, item)

    def _deliver(self, sid: int, item: Deliver) -> None:
        client = self.clients[sid]
        if item.grant != client.grant:
            return
        expected = client.taken[-1].n + 1 if client.taken else 1
        if item.n < expected:
            return  # a repetition
        assert item.n == expected, f"{client.full} got {item.n} instead of {expected}"
        client.taken.append(item)

    def _mirror(self, source: str, item: MirrorRequest) -> None:
        sessions = []
        for client in self.clients.values():
            if self.node.partition(client.bare) == item.partition and not client.ends:
                unwritten = [d for d in client.taken if d.n > client.acked and d.origin_n]
                written = [
                    d for d in client.taken if d.n <= client.acked and d.origin_n and not d.origin_stream
                ]
                inflight = [(d.n, d.origin_stream, d.origin_n) for d in written + unwritten]
                stanzas = [(d.n, d.stanza) for d in unwritten]
                n = client.taken[-1].n if client.taken else 0
                sessions.append(
                    MirrorSession(
                        client.sid,
                        client.stream,
                        client.full,
                        client.grant,
                        n,
                        client.acked,
                        client.note,
                        inflight,
                        stanzas,
                        client.managed,
                        client.heard,
                    )
                )
        self.node.bus.post_to(
            source,
            Mirror(
                self.node.incarnation,
                item.partition,
                sessions,
                True,
                self._late_of(item.partition),
                self._iqs(item.partition),
                [(stream, n) for its, stream, n in self.given if its == item.partition],
            ),
            kind=Kind.ROUTER,
            partition=item.partition,
        )

    def _iqs(self, partition: int) -> list[tuple[bytes, int]]:
        """Requests and answers that its clients of that partition have acknowledged."""
        inherited = [(stream, n) for its, stream, n in self.iqs if its == partition]
        return inherited + [
            (one.origin_stream, one.origin_n)
            for client in self.clients.values()
            if self.node.partition(client.bare) == partition
            for one in client.taken
            if one.n <= client.acked and one.origin_stream and one.stanza.kind == "iq"
        ]

    def _late_of(self, partition: int) -> list[tuple[bytes, int, Stanza]]:
        return [one for one in self.late if self.node.partition(one[2].to.partition("/")[0]) == partition]


class Served:
    """Lets items wait until their partition is acquired, as the cluster layer does."""

    kind = Kind.ROUTER

    def __init__(self, service: RouterService) -> None:
        self.service = service
        self._waiting: list[tuple[str, int, int, Item | Call]] = []

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        if partition in self.service.core.parts or isinstance(item, Mirror):
            self.service.receive(source, partition, epoch, item)
        else:
            self._waiting.append((source, partition, epoch, item))

    def begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        for source, partition, epoch, item in waiting:
            self.service.receive(source, partition, epoch, item)


class Rig:
    """The whole set-up. `now` is the time that the router sees, in seconds."""

    def __init__(self, config: Config | None = None) -> None:
        self.now = 1_800_000_000.0
        self.config = config or Config(s2s=S2s(enabled="off"))
        self.cluster = FakeCluster(clock=lambda: self.now, partitions=PARTITIONS)
        self.store = FakeStore()
        self.db = FakeDb(self.store)
        self.edges: dict[str, Edge] = {}
        self.workers: dict[Kind, FakeNode] = {kind: self.cluster.node(kind.label, kind) for kind in WORKERS}
        self.offline_answers = True
        self.apart: dict[str, Served] = {}
        self._sids = 0
        self.nursery: trio.Nursery
        self.router: RouterService

    async def start_router(self, name: str) -> RouterService:
        """Start a router process and let it hold everything."""
        node = self.cluster.node(name, Kind.ROUTER, config=self.config, db=self.db)
        self.cluster.move(Kind.ROUTER, name)
        service = RouterService(node, store=self.store, clock=lambda: self.now, ticks=lambda: self.now)
        node.serve(service)
        self.nursery.start_soon(service.run)
        epoch = self.cluster.holders[Kind.ROUTER][1]
        async with trio.open_nursery() as nursery:
            for partition in range(PARTITIONS):
                nursery.start_soon(service.acquire, partition, epoch)
            await self.settle()
        self.router = service
        return service

    async def start_apart(self, name: str, address: str, former: str, epoch: int) -> RouterService:
        """Let a router process of its own hold the partition of one address, after `former`; it is started when it is new."""
        partition = partition_of(address, PARTITIONS)
        node = self.cluster.nodes.get(name)
        if node is None:
            node = self.cluster.node(name, Kind.ROUTER, config=self.config, db=self.db)
            service = RouterService(node, store=self.store, clock=lambda: self.now, ticks=lambda: self.now)
            self.apart[name] = served = Served(service)
            node.serve(served)
            self.nursery.start_soon(service.run)
        served = self.apart[name]
        self.cluster.move_one(Kind.ROUTER, partition, name, former, epoch)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.service.acquire, partition, epoch)
            await self.settle()
        served.begin()
        await self.settle()
        return served.service

    def edge(self, name: str = "edge1") -> Edge:
        if name not in self.edges:
            self.edges[name] = Edge(self, name)
        return self.edges[name]

    def account(self, *names: str) -> None:
        for name in names:
            self.db.ids.setdefault(f"{name}@{DOMAIN}", len(self.db.ids) + 1)

    async def bind(
        self, name: str, resource: str = "r", edge: str = "edge1", marks: Sequence[str] = ()
    ) -> Client:
        """Bind a resource; the account is made when it is new. Raises StanzaError."""
        self.account(name)
        at = self.edge(edge)
        self._sids += 1
        sid, stream = self._sids, self._sids.to_bytes(16, "big")
        bare = f"{name}@{DOMAIN}"
        request = Bind(bare, resource, at.node.incarnation, sid, stream, marks)
        outcome: list[Any] = []

        async def call() -> None:
            try:
                outcome.append(await at.node.bus.call(Kind.ROUTER, at.node.partition(bare), request))
            except Exception as exc:
                outcome.append(exc)

        self.nursery.start_soon(call)
        await self.settle()
        with trio.fail_after(20):  # a real database may take longer than things take to settle
            while not outcome:
                await self.settle()
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        assert isinstance(outcome[0], Bound)
        client = Client(at, outcome[0].full, outcome[0].grant, sid, stream)
        client.own_first = outcome[0].own_first
        client.copies = outcome[0].copies
        client.owed = outcome[0].owed
        at.clients[sid] = client
        return client

    async def online(
        self, name: str, resource: str = "r", priority: int | None = None, edge: str = "edge1"
    ) -> Client:
        """Bind and send initial presence."""
        client = await self.bind(name, resource, edge)
        client.presence(priority)
        await self.settle()
        client.news()
        return client

    async def settle(self) -> None:
        """Let everything that is under way happen."""
        while True:
            self.cluster.network.settle()
            await wait_all_tasks_blocked()
            for edge in self.edges.values():
                edge.take()
            self._offline()
            if not self.store.hold and self.store.commit_live():
                continue
            if not any(bus.wanted for bus in self.cluster.network.buses.values()):
                return

    def _offline(self) -> None:
        """What the offline worker does: answer each SessionUp with a page of two."""
        node = self.workers[Kind.OFFLINE]
        for one in list(node.received):
            item = one[4]
            if isinstance(item, SessionUp) and self.offline_answers:
                node.received.remove(one)
                rows = [row for row in self.store.owed(self.db.ids[item.account]) if row.id > item.after]
                page = [
                    (row.id, stamped(unpack_stanza(row.stanza), row.stamp, DOMAIN, "Offline Storage"))
                    for row in rows[:2]
                ]
                replay = Replay(item.full, item.grant, page, len(rows) <= 2)
                node.bus.post(Kind.ROUTER, node.partition(item.account), replay)

    async def host(self, name: str, kind: str, policy: str) -> None:
        """Host one more domain, of a kind whose worker only listens."""
        label = Kind[kind.upper()]
        self.workers[label] = self.cluster.node(f"{kind}1", label)
        self.db.domains.append(name)
        self.db.kinds[name], self.db.policies[name] = kind, policy
        self.router.domains.reader.refresh()
        await self.settle()

    def seen(self, kind: Kind, *types: type) -> list[Any]:
        """Items that a kind of worker got since the last look."""
        node = self.workers[kind]
        found = [one[4] for one in node.received if not types or isinstance(one[4], types)]
        node.received = [one for one in node.received if one[4] not in found]
        return found

    def copied(self, origin: Origin) -> bool:
        return any((origin.stream, origin.n) in edge.copied for edge in self.edges.values())

    def accepted(self, origin: Origin) -> bool:
        return any((origin.stream, origin.n) in edge.accepted for edge in self.edges.values())

    async def change(self, name: str, what: str, full: str = "") -> None:
        bare = f"{name}@{DOMAIN}"
        node = self.workers[Kind.ACCOUNT]
        node.bus.post(Kind.ROUTER, node.partition(bare), AccountChanged(bare, what, full))
        await self.settle()


@asynccontextmanager
async def rig(config: Config | None = None) -> AsyncIterator[Rig]:
    """A running rig with one edge."""
    set_up = Rig(config)
    set_up.edge()
    async with trio.open_nursery() as nursery:
        set_up.nursery = nursery
        await set_up.start_router("router1")
        yield set_up
        nursery.cancel_scope.cancel()


def chat(to: str, body: str = "hi", type: str = "chat", id: str = "") -> Stanza:
    return Stanza.build("message", Element("jabber:client", "body", {}, body), type=type, to=to, id=id)


def bodies(stanzas: Iterable[Stanza]) -> list[str]:
    return [
        text
        for one in stanzas
        if (body := one.find("jabber:client", "body")) is not None and (text := body.text)
    ]


def condition(stanza: Stanza) -> str:
    """The stanza error's condition."""
    error = stanza.find("jabber:client", "error")
    assert error is not None
    return next(child.name for child in error.elements("urn:ietf:params:xml:ns:xmpp-stanzas"))

"""Router and offline worker together on a real Postgres: commit before acceptance, flush, settling, expiry, fencing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import trio
from tests.unit.router.rig import DOMAIN, Client, Rig, bodies, chat, condition

from rookery.router.partition import Part
from rookery.router.service import RouterService
from rookery.router.takeover.handover import load
from rookery.shared.bus.messages import ArchiveEnds, AskArchive, Kind, Replay
from rookery.shared.config import Config
from rookery.shared.db.api import Connection, Database
from rookery.shared.store.rows import unpack_stanza
from rookery.shared.xeps import bind2, offline_storage
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.offline import expiry
from rookery.workers.offline.pages import MAX_ROWS
from rookery.workers.offline.service import OfflineService

BOB = f"bob@{DOMAIN}"
#: What was archived is owed after all.
OWE_ALL = """
INSERT INTO owed (owner_id, id, stamp, archived, peer, stanza)
SELECT owner_id, id, stamp, true, peer, stanza FROM archive WHERE NOT outgoing"""


class RealRig(Rig):
    """The rig with a real database, the real store and the real offline worker."""

    def __init__(self, database: Database, config: Config | None = None) -> None:
        super().__init__(config)
        self.database = database
        self.offline = self.cluster.node("offline1", Kind.OFFLINE, config=self.config, db=database)
        self.cluster.move(Kind.OFFLINE, "offline1")
        self.service = OfflineService(self.offline)
        self.offline.serve(self.service)

    def _offline(self) -> None:
        pass

    async def start_router(self, name: str) -> RouterService:
        await self.sql("INSERT INTO fence (incarnation) VALUES ($1) ON CONFLICT DO NOTHING", name)
        node = self.cluster.node(name, Kind.ROUTER, config=self.config, db=self.database)
        self.cluster.move(Kind.ROUTER, name)
        service = RouterService(node)
        node.serve(service)
        self.nursery.start_soon(service.run)
        epoch = self.cluster.holders[Kind.ROUTER][1]
        async with trio.open_nursery() as nursery:
            for partition in range(256):
                nursery.start_soon(service.acquire, partition, epoch)
            await self.until(lambda: len(service.core.parts) == 256)
        self.router = service
        return service

    async def settle(self) -> None:
        """Until nothing has moved for a while."""
        quiet = 0
        while quiet < 4:
            moved = any(bus.wanted for bus in self.cluster.network.buses.values())
            self.cluster.network.settle()
            for edge in self.edges.values():
                moved = moved or bool(edge.node.received)
                edge.take()
            quiet = 0 if moved else quiet + 1
            await trio.sleep(0.01)

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(10):
            while not condition():
                await self.settle()

    async def sql(self, query: str, *args: object) -> list[tuple[object, ...]]:
        async def work(conn: Connection) -> list[tuple[object, ...]]:
            return [tuple(row) for row in await conn.fetch(query, *args)]

        return await self.database.run(0, work)

    async def owed(self) -> int:
        return cast("int", (await self.sql("SELECT count(*) FROM stored WHERE owed"))[0][0])

    async def until_owed(self, count: int) -> None:
        with trio.fail_after(10):
            while await self.owed() != count:
                await self.settle()


@asynccontextmanager
async def rig(database: Database, config: Config | None = None) -> AsyncIterator[RealRig]:
    it = RealRig(database, config)
    await it.sql("INSERT INTO domain (name) VALUES ($1)", DOMAIN)
    for name in ("alice", "bob"):
        await it.sql("INSERT INTO account (localpart, domain) VALUES ($1, $2)", name, DOMAIN)
    await it.sql("INSERT INTO fence (incarnation) VALUES ('offline1')")
    it.edge()
    async with trio.open_nursery() as nursery:
        it.nursery = nursery
        nursery.start_soon(it.service.run)
        await it.start_router("router1")
        yield it
        nursery.cancel_scope.cancel()


def messages(client: Client) -> list[Stanza]:
    return [one for one in client.news() if one.kind == "message"]


async def test_three_pages_of_messages_wait_for_bob_and_go_only_when_written(database: Database) -> None:
    count = 2 * MAX_ROWS + 10
    async with rig(database) as it:
        alice = await it.online("alice")
        origins = [alice.route(chat(BOB, str(n))) for n in range(count)]
        await it.until(lambda: all(it.accepted(origin) for origin in origins))
        assert await it.owed() == count
        bob = await it.bind("bob")
        bob.presence(0)
        got: list[Stanza] = []

        def all_there() -> bool:
            got.extend(messages(bob))
            return len(got) >= count

        await it.until(all_there)
        assert bodies(got) == [str(n) for n in range(count)]
        assert all(one.has("urn:xmpp:delay", "delay") for one in got)
        assert await it.owed() == count
        bob.ack()
        await it.until_owed(0)
        assert await it.owed() == 0
        assert await it.sql("SELECT count(*) FROM stored WHERE archived") == [(count,)], (
            "the archive keeps them"
        )


async def test_live_messages_follow_the_stored_ones(database: Database) -> None:
    async with rig(database) as it:
        alice = await it.online("alice")
        for n in range(50):
            alice.route(chat(BOB, f"stored {n}"))
        bob = await it.bind("bob")
        bob.presence(0)
        for n in range(50):
            alice.route(chat(BOB, f"live {n}"))
        got: list[Stanza] = []

        def all_there() -> bool:
            got.extend(messages(bob))
            return len(got) >= 100

        await it.until(all_there)
        assert bodies(got) == [f"stored {n}" for n in range(50)] + [f"live {n}" for n in range(50)]


async def test_a_session_that_dies_half_way_leaves_the_rest(database: Database) -> None:
    async with rig(database) as it:
        alice = await it.online("alice")
        origins = [alice.route(chat(BOB, str(n))) for n in range(20)]
        await it.until(lambda: all(it.accepted(origin) for origin in origins))
        bob = await it.bind("bob")
        bob.presence(0)
        await it.until(lambda: len([d for d in bob.taken if d.stanza.kind == "message"]) == 20)
        written = [d for d in bob.taken if d.stanza.kind == "message"][:7]
        bob.taken = bob.taken[: bob.taken.index(written[-1]) + 1]
        bob.ack()
        bob.unbind()
        await it.until_owed(13)
        again = await it.bind("bob", "again")
        again.presence(0)
        await it.until(lambda: len([d for d in again.taken if d.stanza.kind == "message"]) == 13)
        assert bodies(messages(again)) == [str(n) for n in range(7, 20)]


async def test_the_quota_is_known_again_after_a_takeover(database: Database) -> None:
    async with rig(database, Config(offline_storage=offline_storage.Options(messages=5))) as it:
        alice = await it.online("alice")
        origins = [alice.route(chat(BOB, str(n))) for n in range(5)]
        await it.until(lambda: all(it.accepted(origin) for origin in origins))
        await it.start_router("router2")
        origin = alice.route(chat(BOB, "one too many"))
        await it.until(lambda: it.accepted(origin))
        assert [condition(one) for one in alice.news() if one.type == "error"] == ["service-unavailable"]
        assert await it.owed() == 5


async def test_a_stanza_sent_again_to_the_next_holder_is_stored_once(database: Database) -> None:
    async with rig(database) as it:
        alice = await it.online("alice")
        origin = alice.route(chat(BOB))
        await it.until(lambda: it.accepted(origin))
        alice.edge.accepted.clear()
        await it.start_router("router2")
        alice.route(chat(BOB), origin.n)
        await it.until(lambda: it.accepted(origin))
        assert await it.owed() == 1


async def test_the_next_holder_knows_what_an_orderly_one_took(database: Database) -> None:
    """Also when the edge that it was given to is gone, so that no mirror tells it."""
    async with rig(database) as it:
        alice = await it.online("alice")
        origin = alice.route(chat(BOB))
        await it.until(lambda: it.accepted(origin))
        number = it.router.core.node.partition(BOB)
        await it.router.release(number)
        part = Part(number, 99)
        await load(it.router.core, part)
        assert part.recent.state(origin.stream, origin.n) is True
        assert part.recent.state(origin.stream, origin.n + 1) is None


async def test_a_fenced_router_accepts_nothing_more(database: Database) -> None:
    async with rig(database) as it:
        alice = await it.online("alice")
        await it.sql("UPDATE fence SET open = false WHERE incarnation = 'router1'")
        origin = alice.route(chat(BOB))
        node = it.cluster.nodes["router1"]
        await it.until(lambda: bool(node.failures))
        assert not it.accepted(origin)
        assert await it.owed() == 0


async def test_what_nobody_fetched_is_given_up_by_the_holder_of_the_first_partition(
    database: Database,
) -> None:
    async with rig(database) as it:
        alice = await it.online("alice")
        origins = [alice.route(chat(BOB, str(n))) for n in range(3)]
        await it.until(lambda: all(it.accepted(origin) for origin in origins))
        days = it.config.options(offline_storage.Options).days
        now = it.router.core.clock()
        assert await expiry.sweep(it.offline, now + (days - 1) * 86_400) == 0
        assert await expiry.sweep(it.cluster.nodes["router1"], now + (days + 1) * 86_400) == 0
        # Given up; the archive goes by the day, and by the clock of the database.
        assert await expiry.sweep(it.offline, now + (days + 1) * 86_400) == 3
        assert await it.owed() == 0


async def test_what_version_2_stored_is_given_up_too_and_leaves_its_archive(database: Database) -> None:
    await database.run(0, lambda conn: conn.execute("UPDATE installation SET archive_from = NULL"))
    async with rig(database) as it:
        alice = await it.online("alice")
        origins = [alice.route(chat(BOB, str(n))) for n in range(3)]
        await it.until(lambda: all(it.accepted(origin) for origin in origins))
        await it.sql("UPDATE installation SET archive_from = now()")
        days = it.config.options(offline_storage.Options).days
        now = it.router.core.clock()
        assert await expiry.sweep(it.offline, now + (days - 1) * 86_400) == 0
        # Given up, and by then too old for the archive.
        assert await expiry.sweep(it.offline, now + (days + 1) * 86_400) == 3 + 3
        assert await it.sql("SELECT count(*) FROM stored") == [(0,)]


async def test_what_waited_and_was_acknowledged_unheard_is_not_given_again_by_the_next_holder(
    database: Database,
) -> None:
    async with rig(database) as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        origin = alice.route(chat(BOB, "waited"))
        await it.until(lambda: it.accepted(origin))
        (got,) = messages(bob)
        bob.ack()
        await it.settle()
        # It had waited for a session without a socket; the router ended before it heard what the client has.
        await it.sql(OWE_ALL)
        it.edge().late.append((origin.stream, origin.n, got))
        await it.start_router("router2")
        await it.until_owed(0)
        alice.route(chat(BOB, "new"))
        # It may wait behind the flush that began before the row was settled.
        await it.until(lambda: "new" in bodies(one.stanza for one in bob.taken))
        assert bodies(messages(bob)) == ["new"]


async def test_a_page_that_was_read_before_the_next_holder_settled_is_not_given(database: Database) -> None:
    async with rig(database) as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        origin = alice.route(chat(BOB, "waited"))
        await it.until(lambda: it.accepted(origin))
        (got,) = messages(bob)
        bob.ack()
        await it.settle()
        await it.sql(OWE_ALL)
        ((row, packed),) = await it.sql("SELECT id, stanza FROM stored WHERE NOT outgoing")
        it.edge().late.append((origin.stream, origin.n, got))
        router = await it.start_router("router2")
        await it.until_owed(0)
        part = router.core.parts[it.edge().node.partition(BOB)]
        account = part.accounts[BOB]
        await it.until(lambda: account.waiting is None and account.flush is None)
        # The account was loaded, and the page read, while the row was still owed.
        account.owed = 1
        router.flushes.wanted(part, account)
        page = Replay(bob.full, bob.grant, [(cast("int", row), unpack_stanza(cast("bytes", packed)))], True)
        router.receive("offline1", part.number, part.epoch, page)
        alice.route(chat(BOB, "new"))
        await it.until(lambda: "new" in bodies(one.stanza for one in bob.taken))
        assert bodies(messages(bob)) == ["new"]


async def told(it: RealRig, clear: bool, account: str = BOB) -> ArchiveEnds | StanzaError:
    """What an edge is told of an archive."""
    node, outcome = it.edge().node, list[ArchiveEnds | StanzaError]()

    async def ask() -> None:
        try:
            answer = await node.bus.call(Kind.OFFLINE, node.partition(account), AskArchive(account, clear))
            assert isinstance(answer, ArchiveEnds)
            outcome.append(answer)
        except StanzaError as error:
            outcome.append(error)

    it.nursery.start_soon(ask)
    await it.until(lambda: bool(outcome))
    return outcome[0]


async def test_bind_2_clears_what_the_archive_has_and_nothing_else(database: Database) -> None:
    """XEP-0386 section 4: the ends of the archive are told, and what lies between them is not sent as well."""
    async with rig(database) as it:
        alice = await it.online("alice")
        for n in range(3):
            alice.route(chat(BOB, f"archived {n}"))
        await it.until_owed(3)
        # The row says that it is archived; the archive does not have it any more.
        await it.sql("DELETE FROM archive WHERE id = (SELECT min(id) FROM archive)")
        assert (await it.bind("bob", "plain")).owed is False, "RFC 6120 knows no archive"
        bob = await it.bind("bob", "phone", marks=("archive",))
        assert bob.owed
        ends = await told(it, bob.owed)
        assert isinstance(ends, ArchiveEnds)
        assert ends.first != ends.last
        assert 0 < ends.first_at <= ends.last_at
        assert await it.owed() == 1
        # What comes after the ends were told is not among them.
        alice.route(chat(BOB, "later"))
        await it.until_owed(2)
        bob.presence(0)
        got: list[Stanza] = []

        def all_there() -> bool:
            got.extend(messages(bob))
            return len(got) >= 2

        await it.until(all_there)
        assert bodies(got) == ["archived 0", "later"]
        # Somebody is being given them: they are not taken away from there.
        again = await told(it, False)
        assert isinstance(again, ArchiveEnds)
        assert again.last != ends.last
        bob.ack()
        await it.until_owed(0)
        assert await it.sql("SELECT count(*) FROM archive") == [(3,)], "what is cleared stays in the archive"


async def test_an_empty_archive_has_no_ends_and_clearing_can_be_off(database: Database) -> None:
    async with rig(database, Config(bind2=bind2.Options(clear_offline=False))) as it:
        alice = await it.online("alice")
        assert await told(it, True) == ArchiveEnds("", 0, "", 0)
        alice.route(chat(BOB, "kept"))
        await it.until_owed(1)
        await told(it, True)
        assert await it.owed() == 1
        nobody = await told(it, True, f"nobody@{DOMAIN}")
        assert isinstance(nobody, StanzaError)
        assert nobody.condition == "item-not-found"

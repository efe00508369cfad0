"""What waits for other servers, on a real database: accepted means committed, acknowledged means gone, nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio

from rookery.shared.db.api import Connection, Database, DatabaseUnavailable
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.floods import Floods
from rookery.workers.s2s.outgoing import pauses
from rookery.workers.s2s.queue import sql
from rookery.workers.s2s.streams.api import Trouble

from .federation import ALICE, BOB, HERE, THERE, chat, federation

REFUSED = Trouble("remote-server-timeout", "connection refused", kind="refused")
pytestmark = pytest.mark.usefixtures("no_pauses")


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "KINDS", {})
    monkeypatch.setattr(pauses, "SOON", pauses.Pace(0.02))
    monkeypatch.setattr(pauses, "AGAIN", 0.02)


async def test_what_is_accepted_is_committed_and_sent_in_order(database: Database) -> None:
    async with federation(database) as world:
        numbers = [world.send(chat(f"m{i}")) for i in range(300)]
        await world.until(lambda: len(world.got) == 300)
        assert [stanza.id for stanza in world.got] == [f"m{i}" for i in range(300)]
        await world.until(lambda: sorted(world.accepted()) == numbers)
        await world.rows(0)
        assert len(world.links) == 1


async def test_a_repetition_counts_once_also_for_the_next_holder(database: Database) -> None:
    async with federation(database) as world:
        world.send(chat("once"), 7)
        await world.until(lambda: world.accepted() == [7])
        world.send(chat("once"), 7)
        await world.until(lambda: world.accepted() == [7, 7])
        await world.until(lambda: len(world.got) == 1)
        await world.rows(0)
        await world.die()
        await world.start()
        # Its former custodian did not hear of it.
        world.send(chat("once"), 7)
        world.send(chat("next"), 8)
        await world.until(lambda: set(world.accepted()[2:]) == {7, 8})
        await world.until(lambda: len(world.got) >= 2)
        assert [stanza.id for stanza in world.got] == ["once", "next"]


async def test_a_commit_whose_answer_was_lost_is_no_repetition(database: Database) -> None:
    """Rows of the same numbers are those of the attempt before; the same uid under another number is a repetition."""
    async with federation(database) as world:
        rows = [sql.Waiting(1, THERE, HERE, seq, b"u", seq, 1.0, 2e9, b"x") for seq in (11, 12)]
        again = rows[1]._replace(seq=13)

        async def insert(*some: sql.Waiting) -> frozenset[tuple[int, int]] | None:
            return await database.run(0, lambda conn: sql.insert(conn, world.node.incarnation, some))

        assert await insert(*rows) is None
        assert await insert(*rows) == {(1, 11), (1, 12)}
        assert await insert(rows[0], again) == {(1, 11)}
        assert await insert(again) == frozenset()


async def test_a_row_is_sent_though_postgres_took_it_and_did_not_say_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with federation(database) as world:
        lost, real = [1, 2], sql.insert

        async def insert(
            conn: Connection, incarnation: str, rows: Sequence[sql.Waiting]
        ) -> frozenset[tuple[int, int]] | None:
            found = await real(conn, incarnation, rows)
            if lost:
                lost.pop()
                await conn.execute("COMMIT")
                raise DatabaseUnavailable("the answer was lost")
            return found

        monkeypatch.setattr(sql, "insert", insert)
        numbers = [world.send(chat(f"m{n}")) for n in range(3)]
        await world.until(lambda: len(world.got) == 3)
        assert [stanza.id for stanza in world.got] == ["m0", "m1", "m2"]
        await world.until(lambda: sorted(world.accepted()) == numbers)


async def test_the_next_holder_sends_what_was_not_acknowledged(database: Database) -> None:
    async with federation(database) as world:
        world.acknowledges = False
        for i in range(20):
            world.send(chat(f"m{i}"))
        await world.until(lambda: len(world.got) == 20)
        world.links[0].acknowledge(5)
        await world.rows(15)
        await world.die()
        world.got.clear()
        world.acknowledges = True
        await world.start()
        await world.until(lambda: len(world.got) == 15)
        assert [stanza.id for stanza in world.got] == [f"m{i}" for i in range(5, 20)]


async def test_a_stream_that_breaks_loses_nothing(database: Database) -> None:
    async with federation(database) as world:
        world.acknowledges = False
        for i in range(5):
            world.send(chat(f"m{i}"))
        await world.until(lambda: len(world.got) == 5)
        world.links[0].acknowledge(2)
        await trio.sleep(0.02)
        world.acknowledges = True
        world.links[0].end()
        world.send(chat("m5"))
        await world.until(lambda: len(world.links) == 2 and len(world.links[1].sent) == 4)
        assert [stanza.id for stanza in world.links[1].sent] == ["m2", "m3", "m4", "m5"]


async def test_a_domain_that_is_away_gets_it_later_and_attempts_are_few(database: Database) -> None:
    async with federation(database) as world:
        world.trouble = REFUSED
        world.send(chat("waits"))
        await world.until(lambda: len(world.links) >= 3)
        assert not world.errors()
        world.trouble = None
        await world.until(lambda: len(world.got) == 1)


async def test_what_is_too_old_comes_back_as_one_error(database: Database) -> None:
    async with federation(database) as world:
        world.trouble = REFUSED
        world.send(chat("old"))
        await world.until(lambda: bool(world.accepted()))
        await database.run(0, lambda conn: conn.execute("UPDATE s2s_queue SET expires = now()"))
        await world.until(lambda: len(world.errors()) == 1)
        [error] = world.errors()
        assert (error.to, error.from_, error.id) == (ALICE, BOB, "old")
        assert b"remote-server-timeout" in error.inner
        # The row stays until a router has accepted the error: then it is deleted.
        route = next(item for item in world.routed() if item.stanza.type == "error")
        world.router.bus.post_to(route.origin.custodian, _accepted(route.origin.stream, route.origin.n))
        await world.count("SELECT count(*) FROM s2s_queue", 0)
        await trio.sleep(2.5)
        assert len(world.errors()) == 1


async def test_a_name_that_is_wrong_comes_back_at_once(database: Database) -> None:
    async with federation(database) as world:
        world.trouble = Trouble("remote-server-not-found", "no such domain", True, "dns-nxdomain")
        world.send(chat("typo"))
        iq = Stanza.build("iq", type="get", to=THERE, from_=ALICE, id="q")
        world.send(iq)
        await world.until(lambda: {error.id for error in world.errors()} == {"typo", "q"})
        assert all(b"remote-server-not-found" in error.inner for error in world.errors())


async def test_order_holds_between_what_has_a_row_and_what_has_none(database: Database) -> None:
    async with federation(database) as world:
        for i in range(30):
            world.send(
                chat(f"{i}") if i % 2 else Stanza.build("presence", to=f"{BOB}/{i}", from_=ALICE, id=f"{i}")
            )
        await world.until(lambda: len(world.got) == 30)
        assert [stanza.id for stanza in world.got] == [str(i) for i in range(30)]


async def test_presence_that_waits_is_the_latest(database: Database) -> None:
    async with federation(database) as world:
        world.trouble = REFUSED
        for i in range(5):
            world.send(Stanza.build("presence", to=BOB, from_=ALICE, id=f"{i}"))
        await world.until(lambda: len(world.accepted()) == 5)
        world.trouble = None
        await world.until(lambda: bool(world.got))
        await trio.sleep(0.05)
        assert [stanza.id for stanza in world.got] == ["4"]


async def test_what_is_beyond_memory_is_read_from_its_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rookery.workers.s2s.queue.pair.WINDOW", 10)
    monkeypatch.setattr("rookery.workers.s2s.queues.PAGE", 7)
    async with federation(database) as world:
        world.trouble = REFUSED
        for i in range(100):
            world.send(chat(f"m{i}"))
        await world.until(lambda: len(world.accepted()) == 100)
        world.trouble = None
        await world.until(lambda: len(world.got) == 100)
        assert [stanza.id for stanza in world.got] == [f"m{i}" for i in range(100)]


async def test_a_further_domain_of_ours_is_proved_or_gets_a_stream_of_its_own(database: Database) -> None:
    async with federation(database) as world:
        world.pair_trouble["second.example"] = Trouble(kind="multiplex")
        world.send(chat("a"))
        await world.until(lambda: len(world.got) == 1)
        world.send(chat("b", from_="x@third.example/r"))
        world.send(chat("c", from_="x@second.example/r"))
        await world.until(lambda: len(world.got) == 3)
        assert {(link.local, tuple(s.id for s in link.sent)) for link in world.links} == {
            (HERE, ("a", "b")),
            ("second.example", ("c",)),
        }


async def test_a_stanza_that_ends_each_stream_goes_back_and_the_rest_arrives(database: Database) -> None:
    async with federation(database) as world:
        world.acknowledges = False
        world.poison = "bad"
        for name in ("bad", "m1", "m2"):
            world.send(chat(name))
        await world.until(lambda: [error.id for error in world.errors()] == ["bad"], 20)
        world.acknowledges = True
        await world.until(lambda: [stanza.id for stanza in world.links[-1].sent] == ["m1", "m2"])


UNANSWERED = Trouble(kind="unanswered")


async def test_who_acknowledges_nothing_gets_each_stanza_once_after_two_streams(database: Database) -> None:
    """The first silence repeats, the second marks the domain; then only what the kernel has not confirmed is in doubt."""
    async with federation(database) as world:
        world.acknowledges = False
        world.send(chat("a"))
        await world.until(lambda: len(world.got) == 1)
        world.links[0].end(UNANSWERED)
        await world.until(lambda: len(world.links) == 2 and len(world.got) == 2)
        world.links[1].end(UNANSWERED)
        await world.rows(0)
        assert not world.errors()
        # Confirmed by the kernel: handled, and no reason to end the stream.
        world.send(chat("b"))
        await world.until(lambda: len(world.links) == 3 and len(world.got) == 3)
        await world.rows(0)
        # Not confirmed when the stream breaks: it is not sent again, and its sender hears that.
        world.links[2].unconfirmed = 10
        world.send(chat("c"))
        await world.until(lambda: len(world.got) == 4)
        await world.rows(1)
        world.links[2].end()
        await world.until(lambda: [error.id for error in world.errors()] == ["c"])
        assert b"cannot say" in world.errors()[0].encode()
        assert [stanza.id for stanza in world.got] == ["a", "a", "b", "c"]


async def test_the_next_holder_knows_who_cannot_acknowledge_until_an_answer_comes(database: Database) -> None:
    async with federation(database) as world:
        world.acknowledges = False
        world.send(chat("a"))
        for n in (1, 2):
            await world.until(lambda n=n: len(world.got) == n)  # type: ignore[misc]
            world.links[-1].end(UNANSWERED)
        await world.rows(0)
        await world.count("SELECT count(*) FROM s2s_peer WHERE mute", 1)
        await world.die()
        await world.start()
        world.send(chat("b"))
        await world.until(lambda: len(world.got) == 3)
        await world.rows(0)  # nobody has acknowledged it
        world.links[-1].acknowledge()
        await world.count("SELECT count(*) FROM s2s_peer WHERE mute", 0)
        # What breaks now is sent again.
        world.send(chat("c"))
        await world.until(lambda: len(world.got) == 4)
        world.links[-1].end()
        await world.until(lambda: [stanza.id for stanza in world.got] == ["a", "a", "b", "c", "c"])


def _accepted(stream: bytes, n: int) -> object:
    from rookery.shared.bus.messages import Accepted

    return Accepted(((stream, n),))


class Came:
    """A stream that the other server has opened."""

    remotes = (THERE,)


async def test_a_domain_that_comes_by_itself_is_tried_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "SOON", pauses.Pace(200.0))
    async with federation(database) as world:
        world.trouble = REFUSED
        world.send(chat("waits"))
        await world.until(lambda: len(world.links) == 1)
        # It still cannot be reached: it is tried once for several streams of its own.
        for _ in range(5):
            world.worker.incoming.open(Came())  # type: ignore[arg-type]
        await world.until(lambda: len(world.links) == 2)
        await trio.sleep(0.05)
        assert len(world.links) == 2
        world.trouble = None
        world.worker._tried.clear()
        world.worker.incoming.open(Came())  # type: ignore[arg-type]
        await world.until(lambda: [stanza.id for stanza in world.got] == ["waits"])
        await world.rows(0)


async def test_what_a_domain_may_not_send_any_more_goes_back(database: Database) -> None:
    """`rookery domain set --federation closed`: what waits and what comes gets not-allowed, other domains of ours go on."""
    async with federation(database) as world:
        world.trouble = REFUSED
        for name in ("waits", "too"):
            world.send(chat(name))
        world.send(Stanza.build("iq", type="get", to=THERE, from_=ALICE, id="q"))
        await world.until(lambda: len(world.accepted()) == 3)
        closed = """UPDATE domain SET policy = '{"federation": {"mode": "closed"}}' WHERE name = $1"""
        await database.run(0, lambda conn: conn.execute(closed, HERE))
        world.worker.domains.refresh()
        await world.until(lambda: {error.id for error in world.errors()} >= {"waits", "too"})
        world.send(chat("after"))
        await world.until(lambda: "after" in {error.id for error in world.errors()})
        told = {error.id: error.inner for error in world.errors()}
        assert all(b"not-allowed" in told[name] for name in ("waits", "too", "after"))
        world.trouble = None
        world.send(chat("else", from_="x@third.example/r"))
        await world.until(lambda: [stanza.id for stanza in world.got] == ["else"])


async def test_an_account_that_floods_is_slowed_and_its_stanzas_keep_their_order(database: Database) -> None:
    async with federation(database) as world:
        world.worker.floods = Floods(600, 2)
        numbers = [world.send(chat(f"m{i}")) for i in range(8)]
        world.send(chat("m2"), numbers[2])  # its custodian asks again: it waits once
        await world.until(lambda: world.worker.floods.slowed == 1)
        await world.until(lambda: len(world.got) == 8)
        assert [stanza.id for stanza in world.got] == [f"m{i}" for i in range(8)]
        await world.until(lambda: set(world.accepted()) == set(numbers))
        friends = "SELECT count(*) FROM s2s_peer WHERE remote = 'there.example' AND spoken"
        await world.count(friends, 1)


async def test_only_what_users_say_makes_a_domain_a_friend(database: Database) -> None:
    async with federation(database) as world:
        for stanza in (
            Stanza.build("iq", type="result", to=BOB, from_=ALICE, id="r"),
            Stanza.build("presence", type="unsubscribed", to=BOB, from_="alice@here.example"),
            Stanza.build("presence", to=BOB, from_="room@rooms.here.example/x"),
        ):
            world.send(stanza)
        await world.until(lambda: len(world.got) == 3)
        await world.rows(0)
        await world.count("SELECT count(*) FROM s2s_peer WHERE spoken", 0)

"""Guests on a real database: who gets in, and that nothing of them is left."""

from __future__ import annotations

import uuid

import trio

from rookery.shared.bus.messages import CheckLogin, ListSessions, LoginChecked, SessionList
from rookery.shared.db.api import Connection, Database
from rookery.shared.xeps.private_xml import NS as PRIVATE
from rookery.shared.xmpp.jid import bare_of
from rookery.workers.account import store
from rookery.workers.account.guests import Guests
from rookery.workers.account.service import AccountService

from .people import People, changed, people
from .test_account_service import CHEAP, call
from .test_logins import keeps

DOMAIN = "two.org"


def guests_of(world: People, online: set[str]) -> Guests:
    """The worker's guests; these full JIDs have sessions."""
    (service,) = (one for one in world.services if isinstance(one, AccountService))
    guests = service.logins.guests

    async def ask(partition: int, question: ListSessions) -> SessionList:
        await trio.lowlevel.checkpoint()
        found = [
            full
            for full in sorted(online)
            if world.worker.partition(bare_of(full)) == partition
            and question.account in ("", bare_of(full))
            and full > question.after
        ]
        return SessionList(
            tuple((full, "edge1", 0, "", False) for full in found[: question.limit]), len(found)
        )

    guests._ask = ask  # type: ignore[method-assign]
    return guests


async def enter(world: People, address: str = "192.0.2.1") -> LoginChecked:
    answer = await call(world, CheckLogin(DOMAIN, "", "ANONYMOUS", "nonce", address), f"nonce@{DOMAIN}")
    assert isinstance(answer, LoginChecked)
    return answer


async def hosts_guests(world: People, *words: str) -> None:
    await keeps(world.db, "anonymous", *words)
    for service in world.services:
        service.domains.refresh()
    with trio.fail_after(10):
        while not guests_of(world, set())._settings:  # noqa: ASYNC110
            await trio.sleep(0.01)


async def age(conn: Connection) -> None:
    await conn.execute("UPDATE account SET created = now() - interval '2 minutes' WHERE domain = $1", DOMAIN)


async def names(world: People) -> set[str]:
    accounts = await world.db.run(0, lambda conn: store.list_accounts(conn, DOMAIN))
    return {f"{one.localpart}@{DOMAIN}" for one in accounts} - {f"eve@{DOMAIN}"}


async def test_a_guest_leaves_nothing(database: Database) -> None:
    async with people(database, CHEAP) as world:
        assert (await enter(world)).failed == "not-authorized"  # it is no domain of guests
        await hosts_guests(world)
        came, other = (await enter(world)).account, (await enter(world)).account
        assert uuid.UUID(came.partition("@")[0]).version == 4
        assert await names(world) == {came, other}
        online = {f"{came}/web", f"{other}/web", f"eve@{DOMAIN}/r"}
        guests = guests_of(world, online)
        await world.iq(
            guests._worker.kind, f"<query xmlns='{PRIVATE}'><x xmlns='y'/></query>", "set", full=f"{came}/web"
        )
        for _ in range(3):  # who has just come may be binding still
            assert await guests.sweep() == 0
        await database.run(0, age)
        for _ in range(3):
            assert await guests.sweep() == 0
        online.remove(f"{came}/web")
        assert await guests.sweep() == 0  # it may be on its way to another router
        world.take()
        assert await guests.sweep() == 1
        await world.rest()
        assert (came, "removed") in changed(world.take())
        assert await names(world) == {other}

        async def left(conn: Connection) -> int:
            return int(await conn.fetchval("SELECT count(*) FROM private_xml"))

        assert await database.run(0, left) == 0


async def test_how_many_guests_there_are_is_limited(database: Database) -> None:
    async with people(database, CHEAP) as world:
        await hosts_guests(world, "guests=4", "per_hour=2")
        assert [bool((await enter(world)).account) for _ in range(3)] == [True, True, False]
        assert (await enter(world)).failed == "temporary-auth-failure"
        assert (await enter(world, "192.0.2.2")).account
        # (eve, who was here before, counts as well)
        assert not (await enter(world, "192.0.2.3")).account

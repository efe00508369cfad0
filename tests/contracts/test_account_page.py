"""Passwords that are changed, and accounts that are removed, from a browser: what the account worker does."""

from __future__ import annotations

import pytest

from rookery.shared.bus.messages import ChangeAccount, Credentials, Done, GetCredentials
from rookery.shared.db.api import Connection, Database
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.sasl.keys import verify_plain
from rookery.workers.account import store
from rookery.workers.account.credentials import derive

from .people import ALICE, BOB, People, changed, people
from .test_account_service import CHEAP, call
from .test_logins import keeps

ADDRESS = "192.0.2.1"


async def knows(world: People, account: str, password: str) -> bool:
    found = await call(world, GetCredentials(account, "SCRAM-SHA-256"), account)
    assert isinstance(found, Credentials)
    return verify_plain(password, found)


async def sets(db: Database, account: str, password: str) -> None:
    localpart, _, domain = account.partition("@")

    async def work(conn: Connection) -> None:
        assert await store.set_password(
            conn, localpart, domain, derive(password, ["SCRAM-SHA-256"], 4096), "worker1"
        )

    await db.run(0, work)


async def test_whoever_knows_the_password_changes_it_or_removes_the_account(database: Database) -> None:
    async with people(database, CHEAP) as world:
        await sets(database, ALICE, "old")
        for wrong in ("", "Old", "new"):
            with pytest.raises(StanzaError, match="not-authorized"):
                await call(world, ChangeAccount(ALICE, wrong, "new", ADDRESS))
        with pytest.raises(StanzaError, match="not-authorized"):
            await call(world, ChangeAccount("nobody@one.org", "old", "new", ADDRESS), "nobody@one.org")
        assert await knows(world, ALICE, "old")
        assert changed(world.take()) == []
        assert await call(world, ChangeAccount(ALICE, "old", "new", ADDRESS)) == Done()
        await world.rest()
        assert changed(world.take()) == [(ALICE, "password")]
        assert await knows(world, ALICE, "new")
        assert not await knows(world, ALICE, "old")
        assert await call(world, ChangeAccount(ALICE, "new", "", ADDRESS)) == Done()
        await world.rest()
        assert changed(world.take()) == [(ALICE, "removed")]
        assert not await knows(world, ALICE, "new")


async def test_where_passwords_are_kept_elsewhere(database: Database) -> None:
    async with people(database, CHEAP) as world:
        await keeps(database, "http", "url=http://127.0.0.1:1")
        with pytest.raises(StanzaError, match="not-allowed"):
            await call(world, ChangeAccount("eve@two.org", "x", "y", ADDRESS), "eve@two.org")


async def test_guesses_on_the_page_are_slowed_down(database: Database) -> None:
    async with people(database, CHEAP) as world:
        await sets(database, BOB, "right")
        refused = set()
        for _ in range(14):
            with pytest.raises(StanzaError) as caught:
                await call(world, ChangeAccount(BOB, "wrong", "new", ADDRESS), BOB)
            refused.add(caught.value.condition)
        assert refused <= {"not-authorized", "resource-constraint"}

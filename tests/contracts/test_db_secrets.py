"""Shared secrets on a real Postgres."""

from __future__ import annotations

import trio

from rookery.shared.db.api import Database
from rookery.shared.db.secrets import shared_secrets


async def test_all_who_ask_first_at_once_get_the_same(database: Database) -> None:
    got: list[bytes] = []

    async def ask() -> None:
        got.extend(await shared_secrets(database, "salt"))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(ask)
    assert len(got) == 8
    assert len(set(got)) == 1
    assert len(got[0]) == 32


async def test_purposes_do_not_share(database: Database) -> None:
    assert await shared_secrets(database, "salt") != await shared_secrets(database, "dialback")


async def test_one_that_was_made_later_comes_before_the_first(database: Database) -> None:
    (first,) = await shared_secrets(database, "salt")
    later = "INSERT INTO secret (purpose, created, value) VALUES ('salt', now(), $1)"
    await database.run(0, lambda conn: conn.execute(later, b"later"))
    assert list(await shared_secrets(database, "salt")) == [b"later", first]

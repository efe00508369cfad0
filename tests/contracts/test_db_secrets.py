"""Shared secrets on a real Postgres."""

from __future__ import annotations

import trio

from rookery.shared.db.api import Database
from rookery.shared.db.secrets import rotate_secret, shared_secrets


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


async def test_rotation_keeps_the_one_before_for_verification(database: Database) -> None:
    (first,) = await shared_secrets(database, "salt")
    second, *older = await rotate_secret(database, "salt")
    assert older == [first]
    third, *older = await rotate_secret(database, "salt")
    assert older == [second]
    assert list(await shared_secrets(database, "salt")) == [third, second]

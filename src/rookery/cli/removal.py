"""Removal of users, one or ten thousand: in batches, and the cluster hears of each batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final

import click

from rookery.cli import CommandError
from rookery.cli.audit import audit
from rookery.cli.domain_change import LATE
from rookery.cli.notify import notify
from rookery.cli.options import run
from rookery.shared.bus.notices import Post, account_changed
from rookery.shared.config import Config
from rookery.shared.db.api import Connection, Database
from rookery.shared.db.bridge import open_database
from rookery.workers.account import store
from rookery.workers.account.bulk import delete_accounts

#: Accounts of one batch: each statement stays far below the statement timeout.
_BATCH: Final = 200
#: From so many on progress is shown.
_MANY: Final = 500

Name = tuple[str, str]


class _Removal:
    """Removes batches; once NATS was not reached it is not asked again."""

    def __init__(self, config: Config, db: Database) -> None:
        self._config = config
        self._db = db
        self._reached = True

    async def batch(self, names: Sequence[Name]) -> dict[str, store.Gone]:
        removed = await self._db.run(0, partial(delete_accounts, accounts=names))
        posts: list[Post] = [
            post
            for jid, (contacts, places) in removed.items()
            for post in (
                *account_changed(jid, "removed", contacts, places=places),
                audit("user del", jid),
            )
        ]
        if self._reached and not await notify(self._config.bus, self._db, posts):
            self._reached = False
            click.echo(LATE, err=True)
        return removed


def remove_users(config: Config, names: Sequence[Name], told: Callable[[str], None]) -> list[str]:
    """Remove users (localpart, domain); `told` is called with each that is gone. Returns those that there were not."""

    async def main() -> list[str]:
        gone: set[str] = set()
        async with open_database(config.database) as db:
            removal = _Removal(config, db)
            with _progress(len(names)) as bar:
                for batch in _batches(names):
                    for jid in await removal.batch(batch):
                        gone.add(jid)
                        told(jid)
                    bar.update(len(batch))
        return [jid for local, domain in names if (jid := f"{local}@{domain}") not in gone]

    return run(main)


def remove_domain_users(config: Config, name: str) -> int:
    """Remove every user of a hosted domain, registration closed first; returns how many. Raises CommandError."""

    async def close(conn: Connection) -> int | None:
        tag = await conn.execute("UPDATE domain SET registration = false WHERE name = $1", name)
        if tag == "UPDATE 0":
            return None
        count: int = await conn.fetchval("SELECT count(*) FROM account WHERE domain = $1", name)
        return count

    async def page(conn: Connection) -> list[Name]:
        found = await store.list_accounts(conn, name, limit=_BATCH)
        return [(account.localpart, account.domain) for account in found]

    async def main() -> int:
        count = 0
        async with open_database(config.database) as db:
            expected = await db.run(0, close)
            if expected is None:
                raise CommandError(f"{name} is not hosted here: see `rookery domain list`")
            removal = _Removal(config, db)
            with _progress(expected) as bar:
                while batch := await db.run(0, page):
                    count += len(await removal.batch(batch))
                    bar.update(len(batch))
        return count

    return run(main)


def _progress(length: int) -> Any:
    return click.progressbar(
        length=length, label="removing", show_pos=True, file=sys.stderr, hidden=length < _MANY
    )


def _batches(names: Iterable[Name]) -> Iterator[list[Name]]:
    rest = iter(names)
    while batch := list(islice(rest, _BATCH)):
        yield batch

"""What the commands about domains have in common: the argument, and a change that the cluster hears of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from rookery.cli.options import run
from rookery.shared.bus.notices import Post
from rookery.shared.config import Config
from rookery.shared.db.api import Connection
from rookery.shared.xmpp.jid import prepare_domain

T = TypeVar("T")
LATE = "rookery: done, but NATS was not reached: a running cluster notices late (see --nats-url)"


def domain_name(_ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
    """A prepared domain, for the `callback` of an argument or option. Raises click.BadParameter."""
    if value is None:
        return None
    try:
        return prepare_domain(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a domain: {error}") from None


def change(config: Config, work: Callable[[Connection], Awaitable[T]], told: Callable[[T], Post | None]) -> T:
    """Commit `work`, then let every process read the domains again; `told(result)` is for the log, None when nothing was changed."""
    from rookery.cli.notify import notify
    from rookery.shared.db.bridge import open_database

    async def main() -> T:
        async with open_database(config.database) as db:
            result = await db.run(0, work)
            post = told(result)
            if not await notify(config.bus, db, [post] if post else [], domains=True):
                click.echo(LATE, err=True)
        return result

    return run(main)

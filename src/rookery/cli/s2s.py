"""`rookery s2s`: other servers, and what waits for them."""

from __future__ import annotations

import json
import time
from typing import Any, Final, Unpack

import click

from rookery.cli import CommandError
from rookery.cli.domain_change import domain_name
from rookery.cli.options import resolve, run, target_options
from rookery.cli.users import Target

_LIST: Final = """
SELECT coalesce(p.remote, q.remote) AS remote, coalesce(p.local, q.local) AS local, coalesce(q.waiting, 0) AS waiting,
       coalesce(q.bytes, 0) AS bytes, extract(epoch FROM q.oldest)::float8 AS oldest, extract(epoch FROM q.expires)::float8 AS expires,
       extract(epoch FROM p.worked)::float8 AS worked, extract(epoch FROM p.failed)::float8 AS failed, coalesce(p.trouble, '') AS trouble,
       coalesce(p.mute, false) AS mute
FROM s2s_peer p
FULL JOIN (
    SELECT w.remote, w.local, count(*) AS waiting, sum(length(w.stanza)) AS bytes, min(w.stamp) AS oldest, min(w.expires) AS expires
    FROM s2s_queue w LEFT JOIN s2s_peer o ON o.remote = w.remote AND o.local = w.local
    WHERE w.seq > coalesce(o.acked, 0) GROUP BY w.remote, w.local
) q ON q.remote = p.remote AND q.local = p.local
WHERE $1 = '' OR coalesce(p.remote, q.remote) = $1
ORDER BY coalesce(q.waiting, 0) DESC, 1, 2"""
_DROP: Final = """
WITH old AS (UPDATE s2s_queue SET expires = now() WHERE remote = $1 AND expires > now() AND NOT EXISTS (
    SELECT FROM s2s_peer p WHERE p.remote = s2s_queue.remote AND p.local = s2s_queue.local AND s2s_queue.seq <= p.acked
) RETURNING 1)
SELECT count(*) FROM old"""

Found = list[dict[str, Any]]


@click.group()
def s2s() -> None:
    """Other servers: what waits for them, what was wrong, and trying again."""


@s2s.command("list")
@click.option("--all", "everything", is_flag=True, help="Also domains for which nothing waits.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@target_options
def list_(everything: bool, as_json: bool, **target: Unpack[Target]) -> None:
    """List the remote domains for which something waits, the most first."""
    found = [one for one in _read("", target) if everything or one["waiting"]]
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("nothing waits for other servers" if not everything else "no other server is known")


@s2s.command()
@click.argument("name", callback=domain_name)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@target_options
def show(name: str, as_json: bool, **target: Unpack[Target]) -> None:
    """Show what is known of the remote domain NAME."""
    found = _read(name, target)
    if not found:
        raise CommandError(f"nothing is known of {name}: nobody here has written to it")
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for one in found:
        click.echo(_line(one))
        if one["mute"]:
            click.echo("  it cannot acknowledge what it has: each message is sent once")
        if one["waiting"]:
            click.echo(f"  the oldest waits {_ago(one['oldest'])}, and comes back {_ahead(one['expires'])}")


@s2s.command()
@click.argument("name", callback=domain_name)
@target_options
def retry(name: str, **target: Unpack[Target]) -> None:
    """Try to reach the remote domain NAME now, whatever has failed before."""
    from rookery.cli.notify import notify
    from rookery.shared.bus.messages import Kind, TryRemote
    from rookery.shared.db.bridge import open_database

    config, _ = resolve(**target)

    async def main() -> None:
        async with open_database(config.database) as db:
            if not await notify(config.bus, db, [(Kind.S2S, name, TryRemote(name))]):
                raise CommandError("NATS cannot be reached: does the cluster run? see `rookery status`", 69)

    run(main)
    click.echo(f"{name} is tried now: see `rookery s2s show {name}`")


@s2s.command()
@click.argument("name", callback=domain_name)
@target_options
def drop(name: str, **target: Unpack[Target]) -> None:
    """Give up what waits for the remote domain NAME: each message goes back to its sender as an error."""
    from rookery.shared.db.bridge import open_database

    config, _ = resolve(**target)

    async def main() -> int:
        async with open_database(config.database) as db:
            return int(await db.run(0, lambda conn: conn.fetchval(_DROP, name)))

    count = run(main)
    click.echo(f"{count} messages for {name} go back to their senders")


def _read(name: str, target: Target) -> Found:
    from rookery.shared.db.bridge import open_database

    config, _ = resolve(**target)

    async def main() -> Found:
        async with open_database(config.database) as db:
            return [dict(row) for row in await db.run(0, lambda conn: conn.fetch(_LIST, name))]

    return run(main)


def _line(one: dict[str, Any]) -> str:
    parts = [f"{one['remote']}  from {one['local']}  {one['waiting']} waiting"]
    if one["waiting"]:
        parts.append(f"{one['bytes']} bytes")
    parts.append(f"reached {_ago(one['worked'])}" if one["worked"] else "never reached")
    if one["trouble"]:
        parts.append(f"failed {_ago(one['failed'])}: {one['trouble']}")
    return "  ".join(parts)


def _ago(at: float | None) -> str:
    return "never" if at is None else f"{max(0, round(time.time() - at))} s ago"


def _ahead(at: float | None) -> str:
    seconds = 0 if at is None else round(at - time.time())
    return "now" if seconds <= 0 else f"in {seconds} s"

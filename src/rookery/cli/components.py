"""`rookery component`: external services (XEP-0114) and their secrets."""

from __future__ import annotations

import json
import sys
from typing import Any, Final, Unpack

import click

from rookery.admin import domains
from rookery.admin.desk import Desk
from rookery.cli import CommandError
from rookery.cli.audit import audit
from rookery.cli.desk import work
from rookery.cli.domain_change import change, domain_name
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target
from rookery.shared.bus.kinds import COMPONENTS
from rookery.shared.xeps.privileged_entity import MESSAGE, NAMESPACES, PRESENCE, ROSTER

_LIST: Final = """
SELECT d.name, coalesce(d.policy ->> 'for', '') AS "for", c.secret IS NOT NULL AS secret,
       coalesce(d.policy -> 'privileges', '{}')::text AS privileges, extract(epoch FROM max(p.worked))::float8 AS reached, coalesce(max(q.waiting), 0) AS waiting
FROM domain d LEFT JOIN component c ON c.domain = d.name LEFT JOIN s2s_peer p ON p.remote = d.name
LEFT JOIN (
    SELECT w.remote, count(*) AS waiting FROM s2s_queue w
    LEFT JOIN s2s_peer o ON o.remote = w.remote AND o.local = w.local
    WHERE w.seq > coalesce(o.acked, 0) GROUP BY w.remote
) q ON q.remote = d.name
WHERE d.kind = 'component' AND ($1 = '' OR d.name = $1)
GROUP BY d.name, d.policy, c.secret ORDER BY d.name"""
_GRANT: Final = """
UPDATE domain SET policy = jsonb_set(policy, '{privileges}', coalesce(policy -> 'privileges', '{}') || $2::jsonb)
WHERE name = $1 AND kind = 'component' RETURNING true"""
_SPACES: Final = "SELECT policy #>> '{privileges, iq}' FROM domain WHERE name = $1 FOR UPDATE"
_KIND: Final = "SELECT kind FROM domain WHERE name = $1"


@click.group()
def component() -> None:
    """External services that connect here (XEP-0114): gateways, bots, bridges."""


@component.command()
@click.argument("name", callback=domain_name)
@click.option(
    "--secret-stdin",
    is_flag=True,
    help="Read the secret from standard input; without, one is made and shown.",
)
@click.option(
    "--secret-file",
    is_flag=True,
    help="The secret stands in a file of the folder component.secrets_directory, not in the database.",
)
@click.option(
    "--for",
    "parent",
    callback=domain_name,
    help="The hosted domain that lists this service; without, that is the one that it is below.",
)
@target_options
def add(
    name: str, secret_stdin: bool, secret_file: bool, parent: str | None, **target: Unpack[Target]
) -> None:
    """Let a component with the domain NAME connect; of one that is there already, change the secret. No restart."""
    from rookery.workers.component import secret

    if secret_stdin and secret_file:
        raise click.UsageError("give --secret-stdin or --secret-file")
    chosen = "" if secret_file else _read() if secret_stdin else secret.fresh()
    config, _ = resolve(**target)

    async def put(conn: Any) -> bool:
        kind = await conn.fetchval(_KIND, name)
        if kind not in (None, COMPONENTS):
            raise CommandError(f"{name} is hosted as {kind}: choose another name for the component")
        keys = await secret.keys(conn)
        async with conn.transaction():
            fresh = (await domains.host(conn, name, None, COMPONENTS, parent)).fresh
            await secret.put(conn, keys, name, chosen)
        return fresh

    fresh = change(config, put, lambda done: audit("component add", name, fresh=done))
    click.echo(f"added {name}" if fresh else f"{name} has another secret now")
    if chosen and not secret_stdin:
        click.echo(f"secret: {chosen}")


@component.command()
@click.argument("name", callback=domain_name)
@target_options
def remove(name: str, **target: Unpack[Target]) -> None:
    """Serve the component NAME no longer: its connections end. What waits for it goes back to its senders."""
    config, _ = resolve(**target)

    async def end(conn: Any) -> int:
        if await conn.fetchval(_KIND, name) != COMPONENTS:
            raise CommandError(f"{name} is no component here: see `rookery component list`")
        async with conn.transaction():
            await conn.execute("DELETE FROM domain WHERE name = $1", name)
            tag: str = await conn.execute("UPDATE s2s_queue SET expires = now() WHERE remote = $1", name)
        return int(tag.rpartition(" ")[2])

    change(config, end, lambda _: audit("component remove", name))
    click.echo(f"removed {name}")


@component.command("set")
@click.argument("name", callback=domain_name)
@click.option(
    "--roster",
    type=click.Choice(ROSTER),
    help="Read and change the rosters of the users of the domain that it belongs to (XEP-0356).",
)
@click.option(
    "--message", type=click.Choice(MESSAGE), help="Send messages in the name of that domain and of its users."
)
@click.option(
    "--push/--no-push",
    default=None,
    help="Whether it hears of changes of rosters that it may read; it does unless said otherwise.",
)
@click.option(
    "--presence",
    type=click.Choice(PRESENCE),
    help="Be told when these users come and go (not their contacts).",
)
@click.option(
    "--iq",
    "iqs",
    multiple=True,
    metavar="NAMESPACE=ACCESS",
    help="Make requests of a namespace in the name of these users: get, set, both, none. May be repeated.",
)
@target_options
def set_(
    name: str,
    roster: str | None,
    message: str | None,
    push: bool | None,
    presence: str | None,
    iqs: tuple[str, ...],
    **target: Unpack[Target],
) -> None:
    """Grant the component NAME privileges, or take them back; what is not named stays. It is told when it connects the next time."""
    words = {"roster": roster, "message": message, "push": push, "presence": presence}
    said: dict[str, Any] = {key: word for key, word in words.items() if word is not None}
    spaces = dict(_space(text) for text in iqs)
    if not said and not spaces:
        raise click.UsageError("nothing to set: see `rookery component set --help`")
    config, _ = resolve(**target)

    async def put(conn: Any) -> None:
        if spaces:
            known = json.loads(await conn.fetchval(_SPACES, name) or "{}")
            kept = {uri: access for uri, access in {**known, **spaces}.items() if access != "none"}
            if len(kept) > NAMESPACES:
                raise CommandError(f"no more than {NAMESPACES} namespaces")
            said["iq"] = kept
        if not await conn.fetchval(_GRANT, name, json.dumps(said)):
            raise CommandError(f"{name} is no component here: see `rookery component list`")

    change(config, put, lambda _: audit("component set", name, **words, iq=sorted(iqs)))
    click.echo(f"set {name}")


@component.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@target_options
def list_(as_json: bool, **target: Unpack[Target]) -> None:
    """List the components that may connect."""
    found = _found("", target)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("no component may connect: see `rookery component add --help`")


@component.command()
@click.argument("name", callback=domain_name)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@target_options
def show(name: str, as_json: bool, **target: Unpack[Target]) -> None:
    """Show what is known of the component NAME; never its secret."""
    found = _found(name, target)
    if not found:
        raise CommandError(f"{name} is no component here: see `rookery component list`")
    click.echo(json.dumps(found[0]) if as_json else _line(found[0]))


def _found(name: str, target: Target) -> list[dict[str, Any]]:
    config, _ = resolve(**target)
    return work(config, lambda desk: _rows(desk, name))


async def _rows(desk: Desk, name: str) -> list[dict[str, Any]]:
    found = [dict(row) for row in await desk.run(lambda conn: conn.fetch(_LIST, name))]
    for one in found:
        one["privileges"] = json.loads(one["privileges"])
    return found


def _line(one: dict[str, Any]) -> str:
    parts = [one["name"], f"{one['waiting']} waiting"]
    parts.append("secret in the database" if one["secret"] else "secret in a file")
    parts.append("was reached" if one["reached"] else "never reached")
    if one["for"]:
        parts.append(f"listed by {one['for']}")
    for access, type in sorted(one["privileges"].items()):
        if access == "iq":
            parts += [f"iq {uri} {word}" for uri, word in sorted(type.items())]
        elif access == "push":
            parts += [] if type else ["no pushes"]
        elif type != "none":
            parts.append(f"{access} {type}")
    return "  ".join(parts)


def _space(text: str) -> tuple[str, str]:
    uri, _, access = text.rpartition("=")
    if not uri or access not in ROSTER:
        raise click.UsageError(f"{text!r} is not NAMESPACE=ACCESS, with an access of {', '.join(ROSTER)}")
    return uri, access


def _read() -> str:
    from rookery.workers.component.secret import LONGEST, SHORTEST

    text = sys.stdin.readline().strip()
    if not SHORTEST <= len(text) <= LONGEST or not text.isprintable():
        raise CommandError(f"a secret has {SHORTEST} to {LONGEST} printable characters")
    return text

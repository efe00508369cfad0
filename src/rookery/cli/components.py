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
from rookery.shared.cluster.delegations import of_components
from rookery.shared.cluster.domains import read_rows, services
from rookery.shared.xeps import namespace_delegation
from rookery.shared.xeps.privileged_entity import MESSAGE, NAMESPACES, PRESENCE, ROSTER, may_see

_LIST: Final = """
SELECT d.name, coalesce(d.policy ->> 'for', '') AS "for", c.secret IS NOT NULL AS secret,
       coalesce(d.policy -> 'privileges', '{}')::text AS privileges, coalesce(d.policy -> 'delegations', '{}')::text AS delegations, extract(epoch FROM max(p.worked))::float8 AS reached, coalesce(max(q.waiting), 0) AS waiting
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
_DELEGATE: Final = """
UPDATE domain SET policy = policy - 'nested' || jsonb_build_object('delegations', $2::jsonb) WHERE name = $1"""
_GIVEN: Final = """
SELECT coalesce(policy -> 'privileges', '{}')::text AS privileges, coalesce(policy -> 'delegations', '{}')::text AS delegations
FROM domain WHERE name = $1 AND kind = 'component' FOR UPDATE"""
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
    help="Be told when these users come and go; with `roster`, which needs the right to read rosters, of all whom they see, too.",
)
@click.option(
    "--iq",
    "iqs",
    multiple=True,
    metavar="NAMESPACE=ACCESS",
    help="Make requests of a namespace in the name of these users: get, set, both, none. May be repeated.",
)
@click.option(
    "--delegate",
    "delegates",
    multiple=True,
    metavar="NAMESPACE[=ATTRIBUTE,...]",
    help="Answer requests of a namespace, whose payload has all these attributes, that are for that domain and its users (XEP-0355). May be repeated.",
)
@click.option(
    "--undelegate",
    "undelegates",
    multiple=True,
    metavar="NAMESPACE",
    help="The server answers requests of a namespace itself again. May be repeated.",
)
@target_options
def set_(
    name: str,
    roster: str | None,
    message: str | None,
    push: bool | None,
    presence: str | None,
    iqs: tuple[str, ...],
    delegates: tuple[str, ...],
    undelegates: tuple[str, ...],
    **target: Unpack[Target],
) -> None:
    """Grant the component NAME privileges, or take them back; what is not named stays. It is told at once."""
    words = {"roster": roster, "message": message, "push": push, "presence": presence}
    said: dict[str, Any] = {key: word for key, word in words.items() if word is not None}
    spaces = dict(_space(text) for text in iqs)
    delegations = dict(_delegation(text) for text in delegates)
    if not (said or spaces or delegations or undelegates):
        raise click.UsageError("nothing to set: see `rookery component set --help`")
    config, _ = resolve(**target)

    async def put(conn: Any) -> None:
        async with conn.transaction():
            given = await conn.fetchrow(_GIVEN, name)
            if given is None:
                raise CommandError(f"{name} is no component here: see `rookery component list`")
            if said or spaces:
                known = json.loads(given["privileges"])
                await conn.execute(_GRANT, name, json.dumps(_granted(known, said, spaces)))
            if delegations or undelegates:
                known = json.loads(given["delegations"])
                kept = {
                    uri: named for uri, named in {**known, **delegations}.items() if uri not in undelegates
                }
                await _alone(conn, name, kept)
                await conn.execute(_DELEGATE, name, json.dumps(kept))

    told = {"delegate": sorted(delegates), "undelegate": sorted(undelegates)}
    change(config, put, lambda _: audit("component set", name, **words, iq=sorted(iqs), **told))
    click.echo(f"set {name}")


def _granted(known: dict[str, Any], said: dict[str, Any], spaces: dict[str, str]) -> dict[str, Any]:
    """What changes in the privileges of a row. Raises CommandError."""
    changed = dict(said)
    if spaces:
        changed["iq"] = {
            uri: access for uri, access in {**known.get("iq", {}), **spaces}.items() if access != "none"
        }
        if len(changed["iq"]) > NAMESPACES:
            raise CommandError(f"no more than {NAMESPACES} namespaces")
    after = {**known, **changed}
    if not may_see(after.get("presence", "none"), after.get("roster", "none")):
        raise CommandError(
            "the presence of contacts is for who may read rosters: --roster get, or both (XEP-0356 section 7.4)"
        )
    return changed


async def _alone(conn: Any, name: str, delegations: dict[str, list[str]]) -> None:
    """A namespace of a domain is delegated to one component. Raises CommandError."""
    if len(delegations) > namespace_delegation.NAMESPACES:
        raise CommandError(f"no more than {namespace_delegation.NAMESPACES} namespaces")
    rows = await read_rows(conn)
    above = {service: domain for domain, listed in services(rows).items() for service in listed}
    if name not in above:
        raise CommandError(
            f"{name} belongs to no domain of accounts: see `rookery component add --help`, --for"
        )
    for other, (domain, taken) in of_components(rows).items():
        if other != name and domain == above[name] and (both := sorted(taken.keys() & delegations.keys())):
            raise CommandError(f"{both[0]} is delegated to {other} already")


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
        one["delegations"] = json.loads(one["delegations"])
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
    for uri, attributes in sorted(one["delegations"].items()):
        parts.append(f"delegated {uri}" + (f" with {', '.join(attributes)}" if attributes else ""))
    return "  ".join(parts)


def _space(text: str) -> tuple[str, str]:
    uri, _, access = text.rpartition("=")
    if not uri or access not in ROSTER:
        raise click.UsageError(f"{text!r} is not NAMESPACE=ACCESS, with an access of {', '.join(ROSTER)}")
    return uri, access


def _delegation(text: str) -> tuple[str, list[str]]:
    uri, _, names = text.partition("=")
    attributes = [one.strip() for one in names.split(",") if one.strip()]
    if not namespace_delegation.allowed(uri):
        raise click.UsageError(f"{uri!r} cannot be delegated")
    if len(attributes) > namespace_delegation.ATTRIBUTES:
        raise click.UsageError(f"no more than {namespace_delegation.ATTRIBUTES} attributes")
    return uri, attributes


def _read() -> str:
    from rookery.workers.component.secret import LONGEST, SHORTEST

    text = sys.stdin.readline().strip()
    if not SHORTEST <= len(text) <= LONGEST or not text.isprintable():
        raise CommandError(f"a secret has {SHORTEST} to {LONGEST} printable characters")
    return text

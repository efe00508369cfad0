"""`rookery domain set` and `show`: what the operator says about a hosted domain."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

import click

from rookery.admin import announcing, domains, rooms, speaking
from rookery.admin.errors import Invalid
from rookery.cli import CommandError
from rookery.cli.audit import audit
from rookery.cli.domain_change import change, domain_name
from rookery.cli.options import resolve, run, target_options
from rookery.cli.users import Target
from rookery.shared.bus.kinds import ACCOUNTS

if TYPE_CHECKING:
    from rookery.shared.bus.notices import Post
    from rookery.shared.db.api import Connection
    from rookery.workers.account.policies import Changes, Policy


class Given(Target):
    """The options of `rookery domain set`."""

    registration: str | None
    durability: str | None
    archive_days: int | None
    contacts: tuple[str, ...]
    room_creation: str | None
    admins: tuple[str, ...]
    no_admins: bool
    auth: str | None
    auth_words: tuple[str, ...]
    motd: str | None
    welcome: str | None
    federation: str | None
    allow: tuple[str, ...]
    block: tuple[str, ...]
    captcha: str | None
    captcha_questions: tuple[str, ...]
    captcha_bits: int | None


_SCHEMES = ("mailto:", "xmpp:", "https://", "http://")


def admin_jids(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Bare JIDs of users, prepared. Raises click.BadParameter."""
    from rookery.cli.users import parse_account

    return tuple(str(parse_account(text)) for text in value)


_LISTS = '*.example.org for all below it. May be repeated; takes the place of those before, "" of all.'


@click.command("set")
@click.argument("name", callback=domain_name)
@click.option(
    "--registration",
    type=click.Choice(["open", "approval", "closed", "nobody"]),
    help="Who makes accounts in-band (XEP-0077): anybody; anybody, and an operator lets each in (`rookery user approve`); whoever has an "
    "invitation; nobody at all.",
)
@click.option(
    "--durability",
    type=click.Choice(["durable", "relaxed", "default"]),
    help="When messages are accepted: after the commit, on receipt, or as router.durability says.",
)
@click.option(
    "--archive-days",
    type=click.IntRange(min=0),
    metavar="DAYS",
    help="How long its archives keep messages; 0: as message_archive.days says.",
)
@click.option(
    "--contact",
    "contacts",
    multiple=True,
    metavar="ROLE=URI,...",
    help="Whom to write to (XEP-0157): abuse, admin, feedback, sales, security, status or support, and mailto:, xmpp: or https: "
    "addresses; ROLE= takes them back. May be repeated.",
)
@click.option(
    "--admin",
    "admins",
    multiple=True,
    metavar="JID",
    callback=admin_jids,
    help="A user who may administrate the domain from a client (XEP-0133); of a service of rooms: who is like an owner everywhere. May be repeated; takes the place of those before.",
)
@click.option("--no-admins", is_flag=True, help="Nobody is an administrator of the domain.")
@click.option(
    "--room-creation",
    type=click.Choice(["anybody", "local", "admins", "default"]),
    help="Who makes rooms on a service of rooms: also users of other servers, accounts of this cluster, its admins, or as "
    "multi_user_chat.create says.",
)
@click.option(
    "--auth",
    metavar="TYPE",
    help="Who keeps the passwords: internal, oidc, http or ldap; or anonymous, for guests without any (docs/logins.md).",
)
@click.option(
    "--auth-set",
    "auth_words",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of --auth, as issuer=https://login.example.org. May be repeated; all others are as they were first.",
)
@click.option(
    "--motd", metavar="TEXT", help="What each user is told once, at the next login; empty takes it back."
)
@click.option("--welcome", metavar="TEXT", help="What new users are told; empty takes it back.")
@click.option(
    "--federation",
    type=click.Choice([*speaking.MODES, "default"]),
    help="Other servers that it speaks with, within what s2s.policy allows: all but the blocked ones, the allowed ones, none; "
    "default takes this and the lists back.",
)
@click.option("--allow", multiple=True, metavar="REMOTE", help=f"For --federation listed. {_LISTS}")
@click.option(
    "--block", multiple=True, metavar="REMOTE", help=f"A domain that it never speaks with. {_LISTS}"
)
@click.option(
    "--captcha",
    type=click.Choice(["off", "question", "work", "any"]),
    help="What people who make accounts without an invitation are asked (XEP-0158): nothing, one of the questions, work that their clients do, "
    "or either of these. In a browser only questions can be answered.",
)
@click.option(
    "--captcha-question",
    "captcha_questions",
    multiple=True,
    metavar="QUESTION=ANSWER|...",
    help="A question of --captcha with all its answers, as 'Which colour has the sky?=blue|azure'. May be repeated.",
)
@click.option(
    "--captcha-bits",
    type=int,
    metavar="BITS",
    help="How much work; each bit doubles it.  [default: 20]",
)
@target_options
def set_(name: str, **given: Unpack[Given]) -> None:
    """Change what holds for the domain NAME; what is not named stays. A change needs no restart."""
    from rookery.workers.account import policies

    changes = _changes(given)
    config, _ = resolve(given["config_file"], given["data"], given["database_url"], given["nats_url"])

    async def work(conn: Connection) -> Policy | None:
        if given["room_creation"] is not None and not await rooms.is_service(conn, name):
            raise CommandError(f"{name} is no service of rooms: see `rookery domain list`")
        if (changes.auth or changes.captcha) and not await conn.fetchval(
            "SELECT kind = 'accounts' FROM domain WHERE name = $1", name
        ):
            raise CommandError(f"{name} is no domain of accounts: see `rookery domain list`")
        return await policies.change(conn, name, changes)

    changed = change(config, work, lambda done: _told(name, given) if done is not None else None)
    if changed is None:
        raise CommandError(f"{name} is not hosted here: `rookery domain add {name}` first")
    click.echo(line(changed))


def _changes(given: Given) -> Changes:
    """What is to change. Raises click.UsageError, click.BadParameter."""
    from rookery.workers.account import policies

    admins, nobody = given["admins"], given["no_admins"]
    if admins and nobody:
        raise click.UsageError("give --admin or --no-admins")
    said = (
        "registration",
        "durability",
        "contacts",
        "room_creation",
        "admins",
        "no_admins",
        "auth",
        "auth_words",
    )
    emptied = any(given[name] is not None for name in ("motd", "welcome", "archive_days"))
    captcha = parse_captcha(given["captcha"], given["captcha_questions"], given["captcha_bits"])
    federation = _federation(given)
    if federation is None and captcha is None and not emptied and not any(given[name] for name in said):  # type: ignore[literal-required]
        raise click.UsageError("nothing to set: see `rookery domain set --help`")
    return policies.Changes(
        None if given["registration"] is None else given["registration"] in ("open", "approval"),
        "" if given["durability"] == "default" else given["durability"],
        parse_contacts(given["contacts"]),
        "" if given["room_creation"] == "default" else given["room_creation"],
        admins if admins or nobody else None,
        parse_auth(given["auth"], given["auth_words"]),
        _text(given["motd"]),
        _text(given["welcome"]),
        federation,
        given["archive_days"],
        _joining(given["registration"]),
        captcha,
    )


def _federation(given: Given) -> Mapping[str, Any] | None:
    lists = [
        None if not given[name] else [text for text in given[name] if text] for name in ("allow", "block")
    ]
    try:
        return speaking.federation(given["federation"], *lists)
    except Invalid as error:
        raise click.BadParameter(str(error)) from None


def _joining(registration: str | None) -> str | None:
    """What is more than open or closed; "" for what is not."""
    return registration if registration in (None, "approval", "nobody") else ""


def _told(name: str, given: Given) -> Post:
    return audit(
        "domain set",
        name,
        registration=given["registration"],
        durability=given["durability"],
        archive_days=given["archive_days"],
        contacts=" ".join(given["contacts"]) or None,
        room_creation=given["room_creation"],
        admins="-" if given["no_admins"] else " ".join(given["admins"]) or None,
        auth=given["auth"],
        motd=domains.short(given["motd"]),
        welcome=domains.short(given["welcome"]),
        federation=given["federation"],
        allow=" ".join(given["allow"]) or None,
        block=" ".join(given["block"]) or None,
        captcha=given["captcha"],
    )


def _text(text: str | None) -> str | None:
    """A text for users. Raises click.BadParameter."""
    if text:
        try:
            announcing.check(text)
        except Invalid as error:
            raise click.BadParameter(str(error)) from None
    return text


@click.command()
@click.argument("name", callback=domain_name)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@target_options
def show(name: str, as_json: bool, **target: Unpack[Target]) -> None:
    """Show what holds for the domain NAME."""
    from rookery.shared.db.bridge import open_database
    from rookery.workers.account import policies

    config, _ = resolve(**target)

    async def main() -> None:
        async with open_database(config.database) as db:
            found = {policy.name: policy for policy in await db.run(0, policies.policies)}
        if name not in found:
            raise CommandError(f"{name} is not hosted here: see `rookery domain list`")
        document = found[name].document()
        click.echo(json.dumps(document, ensure_ascii=False) if as_json else line(found[name]))

    run(main)


def line(policy: Policy) -> str:
    """One domain for people."""
    if policy.kind != ACCOUNTS:
        parts = [f"{policy.name}  {policy.kind}"]
    else:
        opened = policy.joining or ("open" if policy.registration else "closed")
        parts = [f"{policy.name}  registration {opened}"]
    if policy.durability:
        parts.append(f"durability {policy.durability}")
    if policy.archive_days:
        parts.append(f"archives {policy.archive_days} days")
    if policy.room_creation:
        parts.append(f"rooms made by {policy.room_creation}")
    if policy.admins:
        parts.append(f"admins {', '.join(policy.admins)}")
    if policy.auth:
        from rookery.workers.account.logins.settings import described

        parts.append(f"passwords at {described(policy.auth)}")
    if policy.captcha:
        from rookery.workers.account.challenges import described as puzzles

        parts.append(f"new users are asked for {puzzles(policy.captcha)}")
    if said := speaking.described(policy.federation):
        parts.append(said)
    parts += [
        f"{label} {text!r}" for label, text in (("motd", policy.motd), ("welcome", policy.welcome)) if text
    ]
    parts += [f"{field} {', '.join(uris)}" for field, uris in sorted(policy.contacts.items())]
    return "  ".join(parts)


def parse_auth(type: str | None, words: tuple[str, ...]) -> dict[str, Any] | None:
    """What the options say of who keeps the passwords, {} for nobody else. Raises click.BadParameter."""
    from rookery.workers.account.logins import settings

    if type is None:
        if words:
            raise click.UsageError("--auth-set goes with --auth TYPE")
        return None
    if type == settings.INTERNAL:
        if words:
            raise click.UsageError("internal has no settings")
        return {}
    try:
        return settings.from_words(type, words)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def parse_captcha(kind: str | None, questions: tuple[str, ...], bits: int | None) -> dict[str, Any] | None:
    """What the options say of puzzles, {} for none. Raises click.BadParameter, click.UsageError."""
    from rookery.workers.account import challenges

    if kind is None:
        if questions or bits is not None:
            raise click.UsageError("--captcha-question and --captcha-bits go with --captcha")
        return None
    try:
        return challenges.settings(kind, questions, challenges.BITS if bits is None else bits)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def parse_contacts(given: Iterable[str]) -> dict[str, list[str]]:
    """Field of XEP-0157 -> URIs. Raises click.BadParameter."""
    from rookery.workers.account.policies import CONTACTS

    found: dict[str, list[str]] = {}
    for text in given:
        role, equals, addresses = text.partition("=")
        if not equals or role not in CONTACTS:
            raise click.BadParameter(f"{text!r}: write ROLE=URI, with one of {', '.join(CONTACTS)}")
        uris = found.setdefault(CONTACTS[role], [])
        uris += [_uri(uri.strip()) for uri in addresses.split(",") if uri.strip()]
    return found


def _uri(text: str) -> str:
    from rookery.shared.xmpp.jid import Jid
    from rookery.workers.account.mail import mail_address

    scheme = next((scheme for scheme in _SCHEMES if text.startswith(scheme)), None)
    if scheme is None or not text.isprintable() or " " in text:
        raise click.BadParameter(f"{text!r} is no address: begin with {', '.join(_SCHEMES)}")
    rest = text.removeprefix(scheme).partition("?")[0]
    try:
        if scheme == "mailto:":
            mail_address(rest)
        elif scheme == "xmpp:":
            Jid.parse(rest)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}") from None
    if not rest:
        raise click.BadParameter(f"{text!r} has no address")
    return text

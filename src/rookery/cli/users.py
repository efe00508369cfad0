"""`rookery user`: accounts and their passwords."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from typing import Any, TypedDict, Unpack

import click

from rookery.cli import CommandError
from rookery.cli.domain_change import LATE, domain_name
from rookery.cli.options import resolve, run, target_options
from rookery.shared.config import Config
from rookery.shared.xmpp.jid import Jid

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
#: Users that are told one by one.
_TOLD = 20


class Target(TypedDict):
    """The values of `target_options`."""

    config_file: Path | None
    data: Path | None
    database_url: str
    nats_url: str


def account_argument(_ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
    """A user of the command line, or several. Raises click.BadParameter."""
    if isinstance(value, tuple):
        return tuple(parse_account(text) for text in value)
    return parse_account(value)


def parse_account(text: str) -> Jid:
    """A bare JID with a localpart. Raises click.BadParameter with the remedy."""
    try:
        jid = Jid.parse(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is not an address: {error}; write it as alice@localhost"
        ) from None
    if jid.local is None or jid.resource is not None:
        raise click.BadParameter(f"{text!r} is not a user: write it as alice@localhost")
    return jid


def _email(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    from rookery.workers.account.mail import mail_address

    try:
        return mail_address(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}") from None


@click.group()
def user() -> None:
    """Add, change, disable, remove, list and import users.

    Without options these work on the `rookery up` of this user. What is stored of a password are SCRAM keys (RFC 5802).
    """


def password_options(function: Any) -> Any:
    """How a command is given a password."""
    for option in (
        click.option("--generate", is_flag=True, help="Make a random password and print it."),
        click.option(
            "--password-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Read it from the first line there.",
        ),
        click.option(
            "--password", help="The password; other users of this machine can see it while the command runs."
        ),
    ):
        function = option(function)
    return function


def _password(jid: Jid, password: str | None, password_file: Path | None, generate: bool) -> str:
    """The password from wherever it was given: options, terminal, or the first line of standard input."""
    if sum([password is not None, password_file is not None, generate]) > 1:
        raise click.UsageError("give one of --password, --password-file and --generate")
    if generate:
        made = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
        click.echo(f"password: {made}")
        return made
    if password_file is not None:
        try:
            password = password_file.read_text("utf-8").split("\n", 1)[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"cannot read {password_file}: {error}") from None
    elif password is None and sys.stdin.isatty():
        password = click.prompt(f"Password of {jid}", hide_input=True, confirmation_prompt="Again", type=str)
    elif password is None:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandError(
            "no password was given: use --password, --password-file, --generate, or standard input"
        )
    return password


def _keys(password: str, config: Config) -> Any:
    from rookery.workers.account.credentials import derive

    try:
        return derive(password, config.account.mechanisms, config.account.iterations)
    except ValueError as error:
        raise CommandError(f"this password cannot be used: {error}") from None


@user.command()
@click.argument("jid", callback=account_argument)
@password_options
@click.option("--email", default="", callback=_email, help="Kept with the account.")
@target_options
def add(
    jid: Jid,
    password: str | None,
    password_file: Path | None,
    generate: bool,
    email: str,
    **target: Unpack[Target],
) -> None:
    """Add the user JID, such as alice@localhost."""
    config, _ = resolve(**target)
    keys = _keys(_password(jid, password, password_file, generate), config)

    async def work(conn: Any) -> bool:
        try:
            return await store.create_account(conn, jid.local or "", jid.domain, keys, email) is not None
        except store.UnknownDomainError:
            raise CommandError(
                f"{jid.domain} is not hosted here: `rookery domain add {jid.domain}` first"
            ) from None

    from rookery.workers.account import store

    if not _change(config, work, "user add", jid, "created"):
        raise CommandError(f"{jid} exists already: `rookery user passwd {jid}` changes the password")
    click.echo(f"added {jid}")


@user.command()
@click.argument("jid", callback=account_argument)
@password_options
@target_options
def passwd(
    jid: Jid, password: str | None, password_file: Path | None, generate: bool, **target: Unpack[Target]
) -> None:
    """Give the user JID another password and end the sessions that the old one opened."""
    config, _ = resolve(**target)
    keys = _keys(_password(jid, password, password_file, generate), config)
    from rookery.workers.account import store

    async def work(conn: Any) -> bool:
        return await store.set_password(conn, jid.local or "", jid.domain, keys)

    if not _change(config, work, "user passwd", jid, "password"):
        raise CommandError(f"there is no user {jid}: `rookery user add {jid}` makes one")
    click.echo(f"changed the password of {jid}")


@user.command("del")
@click.argument("jids", nargs=-1, callback=account_argument, metavar="JID...")
@click.option(
    "--from", "file", type=click.File("r", encoding="utf-8-sig"), help='A JID a line; "-" for standard input.'
)
@target_options
def delete(jids: tuple[Jid, ...], file: Any, **target: Unpack[Target]) -> None:
    """Remove users with every trace: sessions, messages, rosters, also what they are in the rosters of others."""
    from rookery.cli.removal import remove_users

    lines = (line.strip() for line in file or ())
    names = dict.fromkeys(
        (jid.local or "", jid.domain) for jid in (*jids, *(parse_account(line) for line in lines if line))
    )
    if not names:
        raise click.UsageError("name at least one JID, or --from FILE")
    config, _ = resolve(**target)
    few = len(names) <= _TOLD
    missing = remove_users(config, list(names), lambda jid: click.echo(f"removed {jid}") if few else None)
    if not few:
        click.echo(f"removed {len(names) - len(missing)} users")
    if missing:
        more = f" and {len(missing) - _TOLD} more" if len(missing) > _TOLD else ""
        raise CommandError(f"there is no user {', '.join(missing[:_TOLD])}{more}")


@user.command()
@click.argument("jid", callback=account_argument)
@click.option(
    "--format", "form", type=click.Choice(["json", "xml"]), default="json", help="XML is that of XEP-0227."
)
@target_options
def export(jid: Jid, form: str, **target: Unpack[Target]) -> None:
    """Print all that is stored of the user JID: for whoever asks what a server knows of him.

    SCRAM keys are in the XML alone, which another server can import.
    """
    from rookery.cli.moving_work import print_person

    config, _ = resolve(**target)
    if not print_person(jid.local or "", jid.domain, form, config):
        raise CommandError(f"there is no user {jid}: see `rookery user list`")


@user.command()
@click.argument("jid", callback=account_argument)
@target_options
def disable(jid: Jid, **target: Unpack[Target]) -> None:
    """Keep the user JID from logging in, and end the sessions. Nothing is removed."""
    _set_disabled(jid, True, target)


@user.command()
@click.argument("jid", callback=account_argument)
@target_options
def enable(jid: Jid, **target: Unpack[Target]) -> None:
    """Let the user JID log in again."""
    _set_disabled(jid, False, target)


def _set_disabled(jid: Jid, disabled: bool, target: Target) -> None:
    config, _ = resolve(**target)
    from rookery.workers.account import store

    async def work(conn: Any) -> bool:
        return await store.set_disabled(conn, jid.local or "", jid.domain, disabled)

    what = "disabled" if disabled else "enabled"
    if not _change(config, work, f"user {'disable' if disabled else 'enable'}", jid, what):
        raise CommandError(f"there is no user {jid}: see `rookery user list`")
    click.echo(f"{what} {jid}")


@user.command("list")
@click.option("--domain", callback=domain_name, help="Only users of this domain.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@target_options
def list_(domain: str | None, as_json: bool, **target: Unpack[Target]) -> None:
    """List users by domain and name."""
    config, _ = resolve(**target)
    from rookery.shared.db.bridge import open_database
    from rookery.workers.account import store

    async def main() -> None:
        async with open_database(config.database) as db:
            domains = await db.run(0, store.domains)
            if domain is not None and domain not in [hosted.name for hosted in domains]:
                raise CommandError(f"{domain} is not hosted here: see `rookery domain list`")
            for hosted in domains:
                if domain not in (None, hosted.name):
                    continue
                after = ""

                async def page(conn: Any, name: str = hosted.name) -> list[Any]:
                    return list(await store.list_accounts(conn, name, after))  # noqa: B023  runs in this very turn

                while accounts := await db.run(0, page):
                    for account in accounts:
                        click.echo(_row(account) if as_json else _line(account))
                    after = accounts[-1].localpart

    run(main)


def _row(account: Any) -> str:
    row = {
        "jid": f"{account.localpart}@{account.domain}",
        "email": account.email,
        "disabled": account.disabled,
        "created": account.created.isoformat(timespec="seconds"),
        "last_seen": account.last_seen.isoformat(timespec="seconds") if account.last_seen else None,
    }
    return json.dumps(row, ensure_ascii=False)


def _line(account: Any) -> str:
    return f"{account.localpart}@{account.domain}" + ("  (disabled)" if account.disabled else "")


def _change(config: Config, work: Any, command: str, jid: Jid, what: str) -> bool:
    """Commit `work`; when it returns true the cluster is told, and logs, `what` the command has changed of this account."""
    from rookery.cli.audit import audit
    from rookery.cli.notify import notify
    from rookery.shared.bus.notices import account_changed
    from rookery.shared.db.bridge import open_database

    async def main() -> bool:
        async with open_database(config.database) as db:
            result = await db.run(0, work)
            posts = [*account_changed(str(jid), what), audit(command, str(jid))] if result else []
            if not await notify(config.bus, db, posts):
                click.echo(LATE, err=True)
        return bool(result)

    return run(main)


@user.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--domain", help="Domain of rows that have only a name.")
@click.option(
    "--mechanism",
    "mechanisms",
    multiple=True,
    type=click.Choice(["SCRAM-SHA-256", "SCRAM-SHA-1"]),
    help="Keys to make of passwords; repeat for several.  [default: account.mechanisms of the configuration]",
)
@click.option(
    "--iterations",
    type=click.IntRange(min=4096),
    help="Of the keys made of passwords.  [default: account.iterations of the configuration]",
)
@click.option("--dry-run", is_flag=True, help="Only check the file, and whether its domains are hosted.")
@target_options
def import_(
    file: Any,
    domain: str | None,
    mechanisms: tuple[str, ...],
    iterations: int | None,
    dry_run: bool,
    **target: Unpack[Target],
) -> None:
    """Import users from the CSV FILE ("-" for standard input); its first line names the columns.

    \b
    jid, or username (with --domain or the column domain)
    password, or: mechanism, iterations, salt, stored_key, server_key
        (keys in base64 as other servers store them; several rows for several mechanisms)
    email (optional)

    The whole file is checked before anything is written. Users that exist stay as they are. A password costs CPU time on every core,
    for each mechanism: users can log in once they have the keys of the first one.
    """
    from rookery.cli import users_import

    config, _ = resolve(**target)
    plan = users_import.read(users_import.lines(file), domain)
    click.echo(f"{file.name}: {len(plan)} users", err=True)
    if dry_run:
        users_import.check(plan, config)
    else:
        users_import.load(
            plan, config, mechanisms or config.account.mechanisms, iterations or config.account.iterations
        )

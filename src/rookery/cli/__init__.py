"""The command line. Each command is imported when it is used, so that `rookery --help` is quick.

Exit codes: 0 done, 1 failed, 2 wrong usage, 69 NATS, Postgres or the cluster cannot be reached, 78 wrong configuration, 130 interrupted.
"""

from __future__ import annotations

import os
import pwd
import sys
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Final, NoReturn

import click

from rookery import __version__

EX_FAILED: Final = 1
EX_UNAVAILABLE: Final = 69
EX_CONFIG: Final = 78
EX_INTERRUPTED: Final = 130

#: command -> (module, attribute, one line for --help)
COMMANDS: Final = {
    "up": ("up", "up", "Run a whole cluster here: NATS, Postgres, edges, routers, workers."),
    "down": ("down", "down", "End a `rookery up` that runs on this machine."),
    "user": ("approval", "user", "Add, change, approve, disable, remove, list and import users."),
    "invite": ("invite", "invite", "Invite people to make an account; list and revoke invitations."),
    "report": ("report", "report", "Show and remove users' reports of spam and abuse."),
    "client": ("clients", "client", "List and revoke clients that log in with a token."),
    "import": ("moving", "import_", "Bring users and rooms from another server."),
    "export": ("moving", "export", "Write all users and rooms to a file of XEP-0227."),
    "backup": ("backup", "backup", "Write the whole database to a file."),
    "restore": ("backup", "restore", "Read the database back from a file."),
    "s2s": ("s2s", "s2s", "Other servers: what waits for them, and trying again."),
    "component": (
        "components",
        "component",
        "External services (XEP-0114): who may connect, and what waits.",
    ),
    "domain": ("domains", "domain", "Add, change, remove and list hosted domains."),
    "group": ("groups", "group", "Make shared roster groups, and say who is in them."),
    "room": (
        "room_bans",
        "room",
        "List, show, create and destroy chat rooms, who is what in them, who is banned.",
    ),
    "session": ("sessions", "session", "List, count and end sessions: who is online."),
    "watch": ("watch", "watch", "Show what one account sends and gets, as it happens."),
    "trace": ("trace", "trace", "Tell the way of one message: rows, queues, holders, log lines."),
    "token": ("tokens", "token", "Make, list and revoke tokens of the HTTP API."),
    "announce": ("announce", "announce", "Tell something to everybody who is online in a domain."),
    "drain": ("drain", "drain", "Let one process give away what it holds and end."),
    "rebalance": ("rebalance", "rebalance", "Let edges with many connections give some to those with few."),
    "reload": ("reload", "reload", "Let running processes read their configuration again."),
    "log-level": ("log_level", "log_level", "Change which lines running processes log."),
    "status": ("status", "status", "Show processes, partitions, NATS and Postgres."),
    "doctor": ("doctor", "doctor", "Look for what would keep Rookery from running here."),
    "edge": ("processes", "edge", "Run one edge (production)."),
    "router": ("processes", "router", "Run one router (production)."),
    "worker": ("processes", "worker", "Run one worker process of some kinds (production)."),
    "migrate": ("migrate", "migrate", "Bring the database schema up to date."),
    "bench": ("bench", "bench", "Load-test any XMPP server, and compare servers."),
    "config": ("configs", "config", "Show, check and describe the configuration, print its schema."),
}


class CommandError(Exception):
    """A command cannot do what it was asked for: one line with the remedy, and the exit code."""

    def __init__(self, text: str, code: int = EX_FAILED) -> None:
        super().__init__(text)
        self.code = code


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"rookery.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with `rookery up`, then `rookery user add alice@localhost`. Exit codes: 0 done, 1 failed, 2 wrong "
    "usage, 69 cluster not reachable, 78 wrong configuration, 130 interrupted.",
)
@click.version_option(__version__, prog_name="rookery")
def cli() -> None:
    """Rookery, a clustered XMPP server."""


def main() -> NoReturn:
    """Run the command line: a mistake is one line and an exit code, never a traceback."""
    _find_home()
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption):
            error = _meant(error)
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("rookery: interrupted", err=True)
        code = EX_INTERRUPTED
    except BrokenPipeError:
        # `rookery user list | head`: nobody reads any more, and the interpreter shall not complain at its end either.
        sys.stderr.close()
        code = EX_FAILED
    except Exception as error:
        code = _told(error)
    sys.exit(code if isinstance(code, int) else 0)


def _find_home() -> None:
    """A HOME that this account may not enter (`runuser -u`, `setpriv` and some `sudo` keep that of the caller): take its own.

    Libraries look for files there, and stop at one that they may not even look for.
    """
    if not os.access(os.environ.get("HOME", "/"), os.X_OK):
        with suppress(KeyError):  # an account without a name, as in a container
            os.environ["HOME"] = pwd.getpwuid(os.geteuid()).pw_dir


def _meant(error: click.NoSuchOption) -> click.NoSuchOption:
    """Suggest the one option that was meant, or none: three that look like it by a letter or two are no help."""
    command = error.ctx.command if error.ctx is not None else None
    known = [option for param in (command.params if command else ()) for option in param.opts]
    near = get_close_matches(error.option_name, known, 1, 0.75)
    return click.NoSuchOption(error.option_name, possibilities=near, ctx=error.ctx)


def _told(error: Exception) -> int:
    """Print what is known about an expected error and return its exit code. Raises what is not expected: a bug."""
    # Imported here: these cost time that `rookery --help` does not need.
    from rookery.embedded.child import EmbeddedError
    from rookery.shared.db.api import DatabaseUnavailable
    from rookery.shared.db.errors import misfit
    from rookery.shared.db.migrate import SchemaError
    from rookery.shared.settings import SettingsError
    from rookery.up.plan import UpError

    inner: BaseException = error
    while isinstance(inner, ExceptionGroup):
        inner = inner.exceptions[0]
    match inner:
        case SettingsError():
            lines, code = inner.errors, EX_CONFIG
        case CommandError():
            lines, code = [str(inner)], inner.code
        case DatabaseUnavailable():
            text = str(inner)
            lines, code = [text if "Postgres" in text else f"Postgres: {text}"], EX_UNAVAILABLE
        case UpError():
            lines, code = [str(inner)], EX_UNAVAILABLE if inner.unreachable else EX_FAILED
        case EmbeddedError() | SchemaError():
            lines, code = [str(inner)], EX_FAILED
        case click.ClickException():
            inner.show()
            return inner.exit_code
        case _ if said := misfit(inner):
            lines, code = [said], EX_FAILED
        case _:
            raise error
    for line in lines:
        click.echo(f"rookery: {line}", err=True)
    return code

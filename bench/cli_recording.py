"""`rookery bench record` and `bench replay`: a day of real clients, without their names and words, as a load."""

from __future__ import annotations

import math
import secrets
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import trio

from rookery.bench.cli import plan_options, writable
from rookery.bench.plan import PlanError, make
from rookery.bench.recording.proxy import record as recorded
from rookery.bench.recording.tape import load
from rookery.bench.remotes.authority import Authority
from rookery.bench.remotes.house import place_of

_OURS: Final = ("--users", "--tape", "--processes", "--rate", "--duration", "--warmup", "--count")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--listen", default="127.0.0.1:15222", show_default=True, help="Where they connect to, HOST:PORT."
)
@click.option(
    "--target",
    default="127.0.0.1:5222",
    show_default=True,
    help="Where the server listens for clients, or with --s2s-ca for servers (5269).",
)
@click.option(
    "--s2s-ca",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Record streams of other servers: an authority that both sides trust (`rookery bench ca`), with its key.",
)
@click.option(
    "--seed",
    help="Renames addresses and bodies; two recordings of one seed name the same people alike. Chance without it.",
)
def record(file: Path, listen: str, target: str, seed: str | None, s2s_ca: Path | None) -> None:
    """Stand between clients and a server and write to FILE who sends messages of which size to whom, until Ctrl-C.

    Addresses and bodies are hashed under the seed. Clients speak without TLS to it, and it to the server: what is encrypted passes unheard,
    and is counted.

    With --s2s-ca it stands before the port of a server for other servers, and ends their TLS: to each side it shows a certificate of that authority
    that names the other. So it records servers of a test; those that trust public authorities alone cannot be recorded. Streams with TLS from the
    first byte are refused, and keys of dialback pass but are asked about elsewhere.
    """
    writable(file)

    def ready(port: int) -> None:
        click.echo(f"listening on port {port}; Ctrl-C ends the recording", err=True)

    try:
        done = trio.run(
            recorded,
            file,
            seed or secrets.token_hex(16),
            (place_of(listen, "listen"), place_of(target, "target")),
            ready,
            Authority.load(str(s2s_ca)) if s2s_ca else None,
        )
    except PlanError as error:
        raise click.UsageError(str(error)) from None
    except (OSError, ExceptionGroup) as error:
        inner: Exception = error
        while isinstance(inner, ExceptionGroup):
            inner = inner.exceptions[0]
        if not isinstance(inner, OSError):
            raise
        raise click.ClickException(f"{listen}: {inner.strerror or inner}") from None
    click.echo(f"{done.messages} messages in {file}; {done.passed} other stanzas passed", err=True)
    if done.sealed and s2s_ca:
        click.echo(
            f"{done.sealed} connections were refused: no STARTTLS, or one side does not trust {s2s_ca}",
            err=True,
        )
    elif done.sealed:
        click.echo(
            f"{done.sealed} connections used TLS and were not heard: let clients connect without it", err=True
        )


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@partial(plan_options, but=_OURS)
@click.option("--register", is_flag=True, default=None, help="Register the users first (XEP-0077).")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the result there."
)
@click.option("--quiet", is_flag=True, help="No live view.")
@click.option(
    "--i-may-load-this-server", "allowed", is_flag=True, help="Needed for targets that are not this machine."
)
def replay(file: Path, json_file: Path | None, *, quiet: bool, allowed: bool, **options: Any) -> None:
    """Send the messages of a recording again, `--speed` times as fast. Everybody of the recording is a user of the pattern.

    The result tells a digest of what was delivered: the same for each run of the recording that lost nothing.
    """
    writable(json_file)
    given = {name: value for name, value in options.items() if value is not None}
    try:
        tape = load(file)
        speed = float(given.get("speed", 1.0))
        fixed: dict[str, Any] = {"scenario": "replay", "tape": str(file), "users": len(tape.people)}
        length = math.ceil(tape.seconds / speed) + 2.0 if speed > 0 else 1.0
        plan = make({**fixed, "duration": length, "warmup": 0.0}, given)
    except PlanError as error:
        raise click.UsageError(str(error)) from None
    if not plan.loopback and not allowed:
        raise click.UsageError(
            f"{plan.foreign} is not this machine: --i-may-load-this-server says that you may load it"
        )
    from rookery.bench.run import run_and_show

    click.get_current_context().exit(run_and_show(plan, json_file, None, quiet=quiet))

"""`rookery trace`: the way of one message."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Unpack

import click

from rookery.admin import tracing
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target, parse_account


class _OfId(click.Command):
    """An ID may begin with a dash: one in 64 of an archive does, and clients choose theirs as they like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options first, then what begins with one dash and is none."""
        short = {name for param in self.get_params(ctx) for name in param.opts if not name.startswith("--")}
        if "--" not in args:
            ids = [arg for arg in args if len(arg) > 1 and arg[0] == "-" != arg[1] and arg not in short]
            if ids:
                args = [*(arg for arg in args if arg not in ids), "--", *ids]
        return super().parse_args(ctx, args)


@click.command(cls=_OfId)
@click.argument("id_", metavar="ID")
@click.option(
    "--user", metavar="JID", help="A user whose message it is; then ID is what its sender called it."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@target_options
def trace(id_: str, user: str | None, as_json: bool, **target: Unpack[Target]) -> None:
    """Tell the way of the message ID: its rows, queues, the holders of its partitions, sessions, and log lines.

    ID is that of an archive (<stanza-id/>), or with --user the id of the stanza or its <origin-id/>. What is in the message is not shown.
    """
    account = parse_account(user) if user else None
    config, _ = resolve(**target)
    found = work(config, lambda desk: tracing.trace(desk, id_, account), cluster=True)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for line in lines(found):
        click.echo("".join(char if char.isprintable() else " " for char in line))


def lines(found: dict[str, Any]) -> Iterator[str]:
    """It for people."""
    yield f"{found['type']} message from {found['from']} to {found['to']}, called {' '.join(found['ids']) or 'nothing'}"
    for row in found["rows"]:
        state = ", ".join(name for name in ("archived", "owed") if row[name])
        yield f"{_at(row['at'])} {row['direction']} in the archive of {row['owner']}: {row['id']} ({state or 'neither archived nor owed'})"
    for row in found["queued"]:
        state = "acknowledged by" if row["acknowledged"] else "waits for"
        trouble = f", {row['trouble']}" if row["trouble"] else ""
        yield f"{_at(row['at'])} {state} {row['remote']} until {_at(row['expires'])}{trouble}"
    for row in found["push"]:
        due = "a notification is due" if row["due"] else f"{row['missed']} missed"
        yield f"push: {row['account']}/{row['resource']} by {row['service']}: {due}, {row['failures']} failures"
    for row in found["holders"]:
        who = f"{row['incarnation']} since epoch {row['epoch']}" if row["incarnation"] else "nobody"
        yield f"now: {row['kind']} of {row['address']} (partition {row['partition']}): {who}"
    for row in found["sessions"]:
        yield f"now: {row['jid']} at {row['edge'] or 'no edge'}, {row['state']}"
    for row in found["log"]:
        said = " ".join(f"{name}={value}" for name, value in row["fields"].items())
        yield f"{_at(row['at'])} {row['process']} {row['event']} {said}"


def _at(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03}"

"""`rookery watch`: what the sessions of one account send and get, at all edges, as it happens."""

from __future__ import annotations

import json
import time
from typing import Any, Unpack

import click
import trio

from rookery.admin import watching
from rookery.admin.desk import Desk
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target, parse_account
from rookery.shared.xmpp.jid import Jid

#: Seconds between questions, and between looks for new edges.
_PAUSE = 0.5
_EDGES = 5.0


@click.command()
@click.argument("jid")
@click.option("--bodies", is_flag=True, help="Show the content of stanzas; the log tells that you did.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="End after so long.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@target_options
def watch(jid: str, bodies: bool, seconds: float | None, as_json: bool, **target: Unpack[Target]) -> None:
    """Show what the sessions of JID send and get from now on, until Ctrl-C. What is in the stanzas is hidden.

    At most the last 500 stanzas of each edge are remembered between two looks; the numbers tell what was missed.
    """
    account = parse_account(jid)
    config, _ = resolve(**target)

    async def main(desk: Desk) -> None:
        await watching.begin(desk, account, bodies=bodies)
        with trio.move_on_after(float("inf") if seconds is None else seconds):
            await _follow(desk, account, bodies, as_json)

    work(config, main, cluster=True)


async def _follow(desk: Desk, account: Jid, bodies: bool, as_json: bool) -> None:
    cursor: dict[str, int] = {}
    names: list[str] = []
    looked = float("-inf")
    while True:
        if trio.current_time() - looked >= _EDGES:
            names, looked = await watching.edges(desk), trio.current_time()
        found = await watching.look(desk, names, account, cursor, bodies=bodies)
        cursor = found.cursor
        for one in found.stanzas:
            click.echo(json.dumps(one, ensure_ascii=False) if as_json else line(one))
        await trio.sleep(_PAUSE)


def line(one: dict[str, Any]) -> str:
    """A stanza for people."""
    at = time.strftime("%H:%M:%S", time.localtime(one["at"])) + f".{int(one['at'] % 1 * 1000):03}"
    arrow = "->" if one["sent"] else "<-"
    said = [f"{name}={one[name]!r}" for name in ("type", "from", "to", "id") if one[name]]
    head = f"{at} {one['edge']} {one['session'].partition('/')[2]} {arrow} {one['kind']} {' '.join(said)}"
    if "content" in one:
        return f"{head}\n  {_printable(one['content'])}"
    return f"{head}  {' '.join(one['names'])} ({one['octets']} octets)"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)

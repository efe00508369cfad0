"""Man pages of all commands (`packaging/man/`), from the commands themselves: `scripts/docs.py` writes them, a house test finds old ones."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

import click
from click_man.man import ManPage

from rookery import __version__
from rookery.cli import cli


def pages() -> dict[str, str]:
    """Path from the root of the checkout -> text."""
    return {
        f"packaging/man/{context.command_path.replace(' ', '-')}.1": _page(context)
        for context in _contexts(click.Context(cli, info_name="rookery"))
    }


def _contexts(context: click.Context) -> Iterator[click.Context]:
    yield context
    for name, command in _commands(context):
        yield from _contexts(click.Context(command, info_name=name, parent=context))


def _commands(context: click.Context) -> list[tuple[str, click.Command]]:
    group = context.command
    if not isinstance(group, click.Group):
        return []
    found = ((name, group.get_command(context, name)) for name in group.list_commands(context))
    return [(name, command) for name, command in found if command is not None and not command.hidden]


def _page(context: click.Context) -> str:
    command = context.command
    page = ManPage(context.command_path)
    page.version = __version__
    page.date = ""  # the same page from each build
    page.short_help = command.get_short_help_str(100)
    page.description = cleandoc(command.help or "").replace("\b\n", "").replace("\\", "\\\\")
    page.synopsis = " ".join(command.collect_usage_pieces(context))
    records = [
        parameter.get_help_record(context)
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
    ]
    page.options = [record for record in records if record is not None]
    page.commands = [(name, each.get_short_help_str(100)) for name, each in _commands(context)]
    return str(page).rstrip() + "\n"

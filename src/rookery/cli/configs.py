"""`rookery config`: show, check, describe, schema."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rookery.cli import CommandError
from rookery.cli.options import config_option, load
from rookery.shared import reference, settings


@click.group()
def config() -> None:
    """Show, check and describe the configuration, print its schema.

    It comes from a TOML file (--config or ROOKERY_CONFIG), then the environment: ROOKERY_EDGE__C2S_PORT is edge.c2s_port, and with
    _FILE behind the name the value is the content of that file.
    """


@config.command()
@config_option
def show(config_file: Path | None) -> None:
    """Print the whole configuration as TOML, defaults included, with the source of what was set; secrets are masked."""
    loaded = load(config_file)
    click.echo(settings.to_toml(loaded.config, secrets=False, sources=loaded.sources), nl=False)


@config.command()
@config_option
def check(config_file: Path | None) -> None:
    """Check the configuration; every mistake is one line. Exit code 78 when there is one."""
    loaded = load(config_file)
    count = len(loaded.sources)
    click.echo(
        f"the configuration is good: {count} {'value' if count == 1 else 'values'} set, the rest are defaults"
    )


@config.command()
@click.argument("name", required=False, default="")
def describe(name: str) -> None:
    """Tell what settings are for: all, those of a section, or one (NAME: section, or section.name)."""
    section, _, one = name.partition(".")
    found = [
        setting
        for setting in reference.SETTINGS
        if not name or (setting.section == section and one in ("", setting.name))
    ]
    if not found:
        raise CommandError(
            f"no setting is called {name}{settings.did_you_mean(name, [each.key for each in reference.SETTINGS])}",
            2,
        )
    shown = ""
    for setting in found:
        if setting.section != shown:
            shown = setting.section
            click.echo(f"[{shown}]  {reference.title(shown)}\n")
        click.echo(reference.describe(setting))


@config.command()
def schema() -> None:
    """Print the JSON Schema of the TOML file, for editors."""
    click.echo(json.dumps(reference.schema(), indent=2))

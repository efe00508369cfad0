"""`rookery config`: show, check, schema."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rookery.cli.options import config_option, load
from rookery.shared import settings


@click.group()
def config() -> None:
    """Show and check the configuration, print its schema.

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
def schema() -> None:
    """Print the JSON Schema of the TOML file, for editors."""
    click.echo(json.dumps(settings.schema(), indent=2))

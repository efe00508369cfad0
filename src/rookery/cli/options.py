"""Options that several commands share, and how a command finds configuration, database and running cluster."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from rookery.cli import CommandError
from rookery.shared import settings
from rookery.shared.config import Config
from rookery.up.plan import default_data_directory
from rookery.up.state import Running, read_running

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

CONFIG_VARIABLE: Final = "ROOKERY_CONFIG"

config_option: Final = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar=CONFIG_VARIABLE,
    help="TOML file; the environment (ROOKERY_SECTION__NAME) goes before it.",
)


def target_options(function: F) -> F:
    """Options of commands that work on a cluster: where it is."""
    for option in (
        click.option("--nats-url", default="", metavar="URL", help="NATS of the cluster."),
        click.option("--database-url", default="", metavar="URL", help="Postgres of the cluster."),
        click.option(
            "--data",
            type=click.Path(path_type=Path, file_okay=False),
            help="Data directory of the `rookery up` to work on; its default is found without this.",
        ),
        config_option,
    ):
        function = option(function)
    return function


def load(config_file: Path | None, overrides: settings.Overrides | None = None) -> settings.Loaded:
    """The configuration of this command; what the operator should change is said. Raises SettingsError."""
    loaded = settings.load(config_file, os.environ, overrides)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    return loaded


def resolve(
    config_file: Path | None, data: Path | None, database_url: str, nats_url: str
) -> tuple[Config, Running | None]:
    """The configuration of the cluster to work on, and the `rookery up` that runs it, if one does.

    In this order: URLs given as options, the `rookery up` on `data`, a configuration that names a database, the `rookery up`
    of the default data directory. Raises SettingsError, CommandError.
    """
    loaded = load(config_file)
    config, configured = loaded.config, ("database", "url") in loaded.sources
    running = None
    if data is not None or not (database_url or configured):
        running = read_running(data or default_data_directory())
        if running is None and not database_url:
            where = f"on {data}" if data else "here"
            raise CommandError(
                f"no cluster runs {where}: start `rookery up`, or give --data, --database-url or --config", 69
            )
    config = settings.with_servers(
        config,
        nats_url or (running.nats_url if running else ""),
        database_url or (running.database_url if running else ""),
    )
    if running:
        bus = msgspec.structs.replace(config.bus, prefix=running.prefix)
        config = msgspec.structs.replace(config, bus=bus)
    return config, running


def run(function: Callable[..., Awaitable[T]], *args: object) -> T:
    """Run an async command with quiet logs: what a person shall see, the command prints."""
    import trio

    from rookery.shared.observe import log

    log.configure(level="error")
    return trio.run(function, *args)

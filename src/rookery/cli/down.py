"""`rookery down`: end a `rookery up`, wherever it runs on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from rookery.up import detached
from rookery.up.plan import default_data_directory


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Its data directory.",
    show_default="of this user",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Wait so long for its end.",
)
def down(data: Path | None, seconds: float) -> None:
    """End the `rookery up` on a data directory in order, as Ctrl-C does there. The data stays.

    It is no mistake that nothing runs.
    """
    folder = data or default_data_directory()
    ended = detached.stop(folder, seconds)
    click.echo(f"nothing runs on {folder}" if ended is None else f"process {ended.pid} has ended")

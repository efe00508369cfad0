"""Reading the configuration again while a process runs (SIGHUP, `rookery reload`, another secret in its file): what is live changes, the rest is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog
import trio

from rookery.shared.bus.nats import NatsBus
from rookery.shared.cluster.node import ClusterNode
from rookery.shared.config import Config
from rookery.shared.db.bridge import Bridge
from rookery.shared.reference import PREFIX, SETTINGS
from rookery.shared.settings import FIELDS, SettingsError

_log = structlog.get_logger()
#: Reads what a process was configured with once more. Raises SettingsError.
Source = Callable[[], Config]


class Merged(NamedTuple):
    """The configuration to go on with; the keys that have changed in it, and those that wait for a restart."""

    config: Config
    live: list[str]
    restart: list[str]


def merge(running: Config, read: Config) -> Merged:
    """What becomes of a process that runs with one configuration when another one is read."""
    live, restart = [], []
    config = running
    for setting in SETTINGS:
        section = getattr(config, setting.section)
        value = getattr(getattr(read, setting.section), setting.name)
        if getattr(section, setting.name) == value:
            continue
        if setting.live:
            live.append(setting.key)
            section = msgspec.structs.replace(section, **{setting.name: value})
            config = msgspec.structs.replace(config, **{setting.section: section})
        else:
            restart.append(setting.key)
    return Merged(config, live, restart)


def reread(running: Config, source: Source | None) -> tuple[Merged, list[str]]:
    """Read the configuration again; the second is why nothing has changed, a line for each mistake."""
    nothing = Merged(running, [], [])
    if source is None:
        return nothing, ["it was started by `rookery up`: start that anew"]
    try:
        merged = merge(running, source())
    except SettingsError as error:
        _log.error("config_wrong", errors=error.errors)
        return nothing, error.errors
    _log.info("config_reloaded", live=merged.live, restart=merged.restart)
    return merged, []


def renew(config: Config, node: ClusterNode) -> None:
    """Connections that a process opens from now on show the secrets of this configuration."""
    if isinstance(node.bus, NatsBus):
        node.bus.renew(config.bus)
    if isinstance(node.db, Bridge):
        node.db.renew(config.database.password)


def value_files(environ: Mapping[str, str]) -> list[Path]:
    """The files whose contents are values of settings: those of variables with `_FILE` behind the name of a setting."""
    return [Path(environ[variable]) for variable in sorted(environ) if _from_a_file(variable)]


def _from_a_file(variable: str) -> bool:
    section, _, name = variable.removeprefix(PREFIX).lower().partition("__")
    fields = FIELDS.get(section, ()) if variable.startswith(PREFIX) else ()
    return name.endswith("_file") and name not in fields and name.removesuffix("_file") in fields


async def watch(files: Sequence[Path], seconds: float, changed: Callable[[], object]) -> None:
    """Call `changed` when one of these files is another one, or has been written; until cancelled. One that is missing just now may be coming."""
    known = await trio.to_thread.run_sync(_stamps, files)
    while files:
        await trio.sleep(seconds)
        found = await trio.to_thread.run_sync(_stamps, files)
        if found != known and all(found):
            known = found
            changed()


def _stamps(files: Sequence[Path]) -> list[tuple[int, int, int] | None]:
    return [_stamp(file) for file in files]


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns

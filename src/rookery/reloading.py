"""Reading the configuration again while a process runs (SIGHUP, `rookery reload`): what is live changes, the rest is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog

from rookery.shared.config import Config
from rookery.shared.reference import SETTINGS
from rookery.shared.settings import SettingsError

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

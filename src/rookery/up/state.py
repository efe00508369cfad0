"""What `rookery up` writes about itself: the ready file for scripts, and cluster.json for our own commands."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

CLUSTER: Final = "cluster.json"


class Running(NamedTuple):
    """How commands reach a running `rookery up`; the URLs have secrets."""

    pid: int
    database_url: str
    nats_url: str
    prefix: str
    admin_port: int
    domains: tuple[str, ...]


def write_whole(path: Path, content: Mapping[str, Any], mode: int) -> None:
    """Write JSON so that a reader sees the old file or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
    draft.replace(path)


def write_running(data: Path, running: Running) -> None:
    """Tell our commands how to reach this cluster; only this user may read it."""
    write_whole(data / CLUSTER, running._asdict(), 0o600)


def read_running(data: Path) -> Running | None:
    """The cluster that runs on `data`, or None."""
    try:
        fields = json.loads((data / CLUSTER).read_text())
        running = Running(**{**fields, "domains": tuple(fields["domains"])})
        os.kill(running.pid, 0)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return running

"""What a process tells operators about itself: where it runs, since when, and as what."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import NamedTuple

from rookery.shared.cluster.assign import Place
from rookery.shared.config import Cluster


class About(NamedTuple):
    """`started` is in Unix seconds; `code` is "compiled", "source" or "stale" (compiled from other sources, so not used)."""

    host: str = ""
    pid: int = 0
    admin_port: int = 0
    started: int = 0
    release: str = ""
    code: str = ""
    zone: str = ""

    def pack(self) -> tuple[str, ...]:
        """As it stands in a Beat."""
        return tuple(map(str, self))

    @classmethod
    def read(cls, fields: Sequence[str]) -> About:
        """From a Beat; what another version has not said stays empty, and what it says more is ignored."""
        known = dict(zip(cls._fields, fields, strict=False))
        numbers = {name: _number(known.pop(name, "")) for name in ("pid", "admin_port", "started")}
        return cls(**known, **numbers)  # type: ignore[arg-type]


def here(config: Cluster) -> Place:
    """Where this process runs: as configured, else on the host that the machine's name says."""
    return Place(config.zone, config.host or socket.gethostname())


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0

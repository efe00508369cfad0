"""The only file that builds NATS subjects. No user text ever becomes part of one."""

from __future__ import annotations

import re
from zlib import crc32

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def partition_of(bare: str, count: int = 256) -> int:
    """The partition of a prepared bare JID (rooms: the room's; s2s: the remote domain): CRC-32 modulo `count`."""
    return crc32(bare.encode()) % count


class Subjects:
    """Subjects of one installation; `prefix` separates clusters that share a NATS."""

    def __init__(self, prefix: str = "rookery") -> None:
        if not _TOKEN.match(prefix):
            raise ValueError(f"bus prefix {prefix!r} may have only letters, digits, - and _")
        self.control = f"{prefix}.ctl"
        self._prefix = prefix

    def node(self, incarnation: str) -> str:
        """A process's own subject: batches for what it holds, deliveries for an edge."""
        if not _TOKEN.match(incarnation):
            raise ValueError(f"bad incarnation {incarnation!r}")
        return f"{self._prefix}.node.{incarnation}"

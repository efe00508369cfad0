"""What a process tells its supervisor, where that asks for it: sd_notify(3), a datagram of lines to the socket of `NOTIFY_SOCKET`."""

from __future__ import annotations

import os
import socket
from typing import Final

_VARIABLE: Final = "NOTIFY_SOCKET"
#: Beyond what a drain may take, before the supervisor kills.
_SPARE: Final = 10.0


def notify(*lines: str) -> bool:
    """Tell it; False when nobody asked, or nobody listens. Never raises: to run matters more than to be seen running."""
    address = os.environ.get(_VARIABLE, "")
    if address[:1] not in ("/", "@"):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            # "@" stands for the NUL of the abstract namespace (unix(7)).
            sock.connect("\0" + address[1:] if address[0] == "@" else address)
            sock.send("\n".join(lines).encode())
    except OSError:
        return False
    return True


def ready(what: str) -> bool:
    """The process does its work."""
    return notify("READY=1", f"STATUS={what}")


def stopping(seconds: float) -> bool:
    """The process drains, and may take so long: a pace (`cluster.drain_rate`) is no reason to be killed."""
    return notify("STOPPING=1", "STATUS=draining", f"EXTEND_TIMEOUT_USEC={int((seconds + _SPARE) * 1e6)}")

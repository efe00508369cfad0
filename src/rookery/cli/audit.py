"""Who changed what by a command: one log line of a running cluster for each change (event `operator_command` in docs/logs.md)."""

from __future__ import annotations

import getpass
import socket
import time
from functools import cache

from rookery.shared.bus.messages import Kind, OperatorCommand
from rookery.shared.bus.notices import Post


@cache
def operator() -> str:
    """Who runs this command, as user@host; "?" for what the system does not tell."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no entry for this user id, as in some containers
        user = "?"
    return f"{user}@{socket.gethostname() or '?'}"


def audit(command: str, target: str, **detail: object) -> Post:
    """The notice of a committed change of `target` (an account or a domain). What is None in `detail` was not given."""
    told = " ".join(f"{name}={value}" for name, value in detail.items() if value is not None)
    return Kind.ACCOUNT, target, OperatorCommand(operator(), command, target, told, int(time.time()))

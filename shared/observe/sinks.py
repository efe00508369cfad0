"""Where log lines go: standard error, a file, syslog (RFC 3164), the journal of systemd. A line that cannot be delivered goes to standard error."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol

#: Severities of syslog and of the journal, by level.
SEVERITY: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_DAEMON: Final = 3 << 3
SYSLOG: Final = "/dev/log"
JOURNAL: Final = "/run/systemd/journal/socket"
NAME: Final = "rookery"


class Sink(Protocol):
    """Takes whole lines. Never raises."""

    def write(self, line: str, level: str) -> None:
        """One line, without its end."""

    def reopen(self) -> None:
        """A file that was moved away is made anew."""


class Stderr:
    """Whatever `sys.stderr` is at the time."""

    def write(self, line: str, level: str) -> None:
        """One line."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def reopen(self) -> None:
        """Nothing to do."""


class File:
    """Appends to a file: each line is one write, so processes may share it. Raises OSError when it cannot be opened."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = self._opened()

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def write(self, line: str, level: str) -> None:
        """One line."""
        data = f"{line}\n".encode("utf-8", "replace")
        try:
            if os.write(self._fd, data) == len(data):
                return
        except OSError:
            pass
        Stderr().write(line, level)

    def reopen(self) -> None:
        """After logrotate has moved it. What cannot be opened stays as it is."""
        try:
            fd = self._opened()
        except OSError:
            return
        os.close(self._fd)
        self._fd = fd


class Datagrams:
    """Syslog or the journal: one datagram for each line, never waiting. `shape(line, level)` is what is sent."""

    def __init__(self, path: str, shape: Callable[[str, str], bytes]) -> None:
        self._path = path
        self._shape = shape
        self._sock: socket.socket | None = None

    def write(self, line: str, level: str) -> None:
        """One line. A socket that is gone is looked for again with the next one."""
        try:
            if self._sock is None:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                sock.connect(self._path)
                self._sock = sock
            self._sock.send(self._shape(line, level))
        except OSError:
            self.reopen()
            Stderr().write(line, level)

    def reopen(self) -> None:
        """Connect again with the next line."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def syslog(line: str, level: str) -> bytes:
    """Priority, tag and text; the daemon adds the time (RFC 3164 section 4.1 as `/dev/log` takes it)."""
    return f"<{_DAEMON | SEVERITY.get(level, 6)}>{NAME}[{os.getpid()}]: {line}".encode("utf-8", "replace")


def journal(line: str, level: str) -> bytes:
    """Fields of the native protocol; a text with line breaks has its length before it."""
    data = line.encode("utf-8", "replace")
    message = (
        b"MESSAGE=" + data if b"\n" not in data else b"MESSAGE\n" + len(data).to_bytes(8, "little") + data
    )
    head = f"PRIORITY={SEVERITY.get(level, 6)}\nSYSLOG_IDENTIFIER={NAME}\n"
    return head.encode() + message + b"\n"


def sink(to: str) -> Sink:
    """What `log.to` names. Raises OSError for a file that cannot be opened."""
    if to == "syslog":
        return Datagrams(SYSLOG, syslog)
    if to == "journald":
        return Datagrams(JOURNAL, journal)
    return Stderr() if to == "stderr" else File(to)


class Logger:
    """What structlog hands rendered lines to: its methods are the levels."""

    def __init__(self, current: Callable[[], Sink]) -> None:
        self._current = current

    def __getattr__(self, level: str) -> Callable[[Any], None]:
        """The method of a level."""
        named = {"warn": "warning", "exception": "error", "fatal": "critical", "msg": "info"}.get(
            level, level
        )
        if named not in SEVERITY:
            raise AttributeError(level)
        return lambda line: self._current().write(str(line), named)

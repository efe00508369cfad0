"""Log lines about clients and accounts: one for each login, failure, end of a session, and change of an account (docs/logs.md).

A line has addresses and identifiers, never what somebody wrote to somebody, never a password. Floods are cut (`shared.observe.flood`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
import trio

from rookery.shared.observe.flood import WINDOW, Flood
from rookery.shared.observe.log import quick

_log = structlog.get_logger()
#: Events that somebody without an account can cause: one address has a share of their lines.
_STRANGERS: Final = frozenset({"client_login_failed", "registration_refused"})


def _written(event: str, **fields: Any) -> None:
    # Two lines for each login: the processors would take a twentieth of an edge's time with it.
    if not quick(event, fields):
        _log.info(event, **fields)


class ClientLog:
    """Writes the lines of one process, at most `per_second` of each event (0: none at all)."""

    __slots__ = ("_clock", "_flood", "_on", "_write")

    def __init__(
        self,
        per_second: int = 0,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[..., Any] | None = None,
    ) -> None:
        self._clock = clock
        self._write = write or _written
        self._flood = Flood(int(per_second * WINDOW))
        self._on = per_second > 0

    def __call__(self, event: str, **fields: object) -> None:
        """Write a line, unless there are too many."""
        if not self._on:
            return
        now = self._clock()
        flood = self._flood
        if flood.until and now >= flood.until:
            self.tick()
        if flood.admits(event, str(fields.get("address", "")) if event in _STRANGERS else "", now):
            self._write(event, **fields)

    async def run(self) -> None:
        """Call `tick` now and then; runs until cancelled."""
        while True:
            await trio.sleep(1)
            self.tick()

    def tick(self) -> None:
        """Tell what the window that is over has suppressed. Call it once a second."""
        for event, lines, addresses, address in self._flood.ended(self._clock()):
            _log.log(
                logging.WARNING,
                "client_lines_suppressed",
                suppressed=event,
                lines=lines,
                seconds=int(WINDOW),
                addresses=addresses,
                most_of=address,
            )

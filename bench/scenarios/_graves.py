"""Messages to dead domains: a few all the time, so that the server has reason to try; how long they take to come back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import SECOND, Driver
from rookery.bench.remotes.domains import Domain
from rookery.bench.scenarios._scenario import Window

#: The run and the number of a message to a dead domain, in its id.
_ID: Final = re.compile(rb"\A<message[^>]* id=['\"]dead-(\w+)-(\d{1,9})['\"]")


class Graves:
    """Each dead domain gets a message every `dead_every` seconds, spread evenly. They are not among the messages that count as lost."""

    def __init__(self, driver: Driver, run: bytes, domains: Sequence[Domain], tail: bytes) -> None:
        self._driver = driver
        self._domains = domains
        self._run = run
        self._tail = tail
        self._users: Sequence[Client] = ()
        self._gap = int(SECOND * driver.plan.dead_every / max(1, len(domains)))
        self._sent = self._back = 0
        #: When they were sent.
        self._waiting: dict[int, int] = {}
        self._latencies = driver.recorder.latency("dead")
        self._going = False

    def begin(self, users: Sequence[Client], window: Window) -> None:
        """Send until `finish`."""
        if self._domains and users:
            self._users, self._going = users, True
            self._driver.loop.at(window.begin, self._next)

    def _next(self, now: int) -> None:
        if not self._going:
            return
        number = self._sent
        self._sent += 1
        # Each round over the domains begins with another user.
        user = self._users[(number + number // len(self._domains)) % len(self._users)]
        if user.open:
            domain = self._domains[number % len(self._domains)].name.encode()
            self._waiting[number] = now
            user.write(
                b"<message%b to='u%d@%b' type='chat' id='dead-%b-%d'><body>%b"
                % (user.xmlns, number, domain, self._run, number, self._tail)
            )
        self._driver.loop.at(now + self._gap, self._next)

    def back(self, element: bytes) -> bool:
        """Whether an error is about one of these; each counts once."""
        found = _ID.match(element)
        if found is None or found[1] != self._run:
            # Also of a run before: the server has kept it until now.
            return found is not None
        sent = self._waiting.pop(int(found[2]), None)
        if sent is None:
            self._driver.recorder.error("dead", "doubled")
        else:
            self._back += 1
            self._latencies.append(self._driver.loop.clock() - sent)
        return True

    def finish(self) -> None:
        """Send nothing more."""
        self._going = False

    def tell(self) -> None:
        """Say what became of them."""
        if self._sent:
            waiting = len(self._waiting)
            self._driver.notes.append(
                f"{self._sent} messages to dead domains: {self._back} came back, {waiting} still waited at the end"
            )

"""A burst of messages from strangers of one remote domain, while others talk: how much of it gets through."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.pace import Pace
from rookery.bench.driver.scan import MARK_FORMAT
from rookery.bench.scenarios._exchanges import Correspondent
from rookery.shared.xmpp.xml import escape_attr

#: The mark of its messages, in place of a leg.
SPAM: Final = 0xFFFFFF
LEG: Final = b"%06x" % SPAM
_ID: Final = re.compile(rb"\A<message[^>]* id=['\"]spam")


class Spam:
    """Its messages are no part of those that count as lost: a server may drop them."""

    def __init__(self, driver: Driver, tail: bytes) -> None:
        self._driver = driver
        self._tail = tail
        self._there: Correspondent | None = None
        self._users: Sequence[Client] = ()
        self._sent = self._came = self._refused = 0
        self._pace: Pace | None = None

    def begin(
        self, there: Correspondent, users: Sequence[Client], rate: float, first: int, last: int
    ) -> None:
        """Send at a rate between two times: not while it is warmed up."""
        self._there, self._users = there, users
        self._pace = Pace(self._driver.loop, rate, self._send, [])
        self._pace.start(first, last)

    def _send(self, intended: int) -> None:
        there = self._there
        assert there is not None
        if not there.open:
            return
        number = self._sent
        self._sent += 1
        to = escape_attr(self._users[number % len(self._users)].session.account.bare).encode()
        mark = MARK_FORMAT % (SPAM, number, intended)
        from_ = b"x%d@%b" % (number, there.domain.name.encode())
        there.write(
            b"<message type='chat' from='%b' to='%b' id='spam%d'><body>%b%b"
            % (from_, to, number, mark, self._tail)
        )

    def came(self) -> None:
        """A user got one."""
        self._came += 1

    def back(self, element: bytes) -> bool:
        """Whether an error is about one of these."""
        if _ID.match(element) is None:
            return False
        self._refused += 1
        return True

    def finish(self) -> None:
        """Send nothing more."""
        if self._pace is not None:
            self._pace.stop()

    def tell(self) -> None:
        """Say what became of it."""
        if self._sent:
            self._driver.notes.append(
                f"{self._sent} messages of strangers: {self._came} came to users, {self._refused} were refused"
            )

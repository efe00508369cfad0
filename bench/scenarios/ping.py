"""XEP-0199 pings of the server: the shortest way through it."""

from __future__ import annotations

import re
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.flow import Flow, messages
from rookery.bench.driver.scan import ERROR, MARK, MARK_FORMAT, error_condition, split
from rookery.bench.result import Messages
from rookery.bench.scenarios._scenario import Window
from rookery.bench.scenarios._turns import Turns
from rookery.shared.xmpp.xml import escape_attr

_PING: Final = b"'><ping xmlns='urn:xmpp:ping'/></iq>"
#: Exactly one result and nothing else.
_PONG: Final = re.compile(
    rb"<iq(?=[^>]* type=['\"]result['\"])[^>]* id=['\"]" + MARK.pattern + rb"['\"][^>]*(?:/>|></iq>)"
)


class Pinger(Flow):
    """One user; its pings and their results."""

    __slots__ = ("head", "sender")

    def __init__(self, sender: Client, domain: str) -> None:
        super().__init__()
        self.sender = sender
        self.head = b"<iq%b type='get' to='%b' id='" % (sender.xmlns, escape_attr(domain).encode())


class Ping(Turns[Pinger]):
    """One ping is outstanding per user in a closed loop."""

    operation = "ping"
    summary = "XEP-0199 pings of the server: closed loop (one outstanding per user), or at a rate."
    who = "users"
    opening = b"<iq"

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._pingers: dict[Client, Pinger] = {}
        self._window = Window(0, 0, 0)
        self._latency = driver.recorder.latency("ping")

    def begin(self, window: Window) -> None:
        """Ping once each, or begin the pace."""
        self._window = window
        self._pingers = {
            client: Pinger(client, self.plan.domain) for client in self.driver.clients if client.open
        }
        for client in self._pingers:
            client.sink = self._sink
        self.load(self._pingers.values(), window)

    def send(self, turn: Pinger, intended: int) -> None:
        """One ping."""
        number = turn.sent
        turn.sent = number + 1
        self.driver.recorder.sent += 1
        mark = MARK_FORMAT % (turn.sender.session.account.index, number, intended)
        turn.sender.write(turn.head + mark + _PING)

    def _sink(self, client: Client, data: bytes) -> None:
        if client.tail:
            data = client.tail + data
            client.tail = b""
        found = _PONG.fullmatch(data)
        if found is not None:
            self._pong(client, found[2], found[3])
            return
        whole, client.tail = split(data)
        for element in whole:
            mark = MARK.search(element) if element.startswith(b"<iq") else None
            if mark is None:
                self.driver.other(client, element)
            elif ERROR.match(element):
                self._refused(client, element, int(mark[2], 16))
            else:
                self._pong(client, mark[2], mark[3])

    def _pong(self, client: Client, sequence: bytes, time: bytes) -> None:
        pinger = self._pingers[client]
        number = int(sequence, 16)
        if number == pinger.expected:
            pinger.expected = number + 1
        elif not pinger.strange(number):
            return
        now = self.driver.loop.clock()
        self.driver.recorder.delivered += 1
        intended = int(time, 16)
        if self._window.first <= intended < self._window.last:
            self._latency.append(now - intended)
        self.again(pinger, number, now)

    def _refused(self, client: Client, element: bytes, number: int) -> None:
        self.driver.recorder.error("ping", error_condition(element))
        pinger = self._pingers[client]
        if pinger.refuse(number):
            self.again(pinger, number, self.driver.loop.clock())

    def messages(self) -> Messages:
        """Pings and their answers."""
        return messages(self._pingers.values())


SCENARIO = Ping

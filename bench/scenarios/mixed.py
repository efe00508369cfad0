"""A mobile day: mostly messages, some pings, changes of presence, looks into the archive, and connections that come anew.

Open loop only: `rate` is the operations of all kinds a second. Only users to and from whom nothing is on the way
reconnect, so that what is lost was lost by the server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.scan import ERROR, MARK, MARK_FORMAT, Mark, error_condition, split
from rookery.bench.driver.script import Script, Send, ask
from rookery.bench.scenarios._contacts import Acquainted
from rookery.bench.scenarios._scenario import Window
from rookery.bench.scenarios.chat import Chat, Talk
from rookery.bench.scenarios.mam import MAM, RSM
from rookery.shared.xmpp import ns

#: Shares of the operations; what is left are messages.
PING: Final = 0.12
PRESENCE: Final = 0.08
PAGE: Final = 0.04
LOGIN: Final = 0.02


class Mixed(Acquainted, Chat):
    """Chat with other things between."""

    operation = "chat"
    parts = ("login", "presence", "ping", "page")
    summary = "A mobile day at a rate: messages, pings, presence, archive pages, new logins."
    closed_loop = False
    several = True

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._window = Window(0, 0, 0)
        #: Pings and pages on the way, by the number of their user: (operation, intended time).
        self._asked: defaultdict[int, set[tuple[str, int]]] = defaultdict(set)

    @classmethod
    def endings(cls, plan: Mapping[str, Any]) -> float:
        """Messages alone are counted."""
        return 1.0 - PING - PRESENCE - PAGE - LOGIN

    def begin(self, window: Window) -> None:
        """Begin the pace."""
        self._window = window
        if doubt := self.contacts.doubt():
            self.driver.notes.append(doubt)
        super().begin(window)

    def _due(self, intended: int) -> None:
        talk = self.following()
        client = talk.sender
        if not client.open:
            self.driver.recorder.error("connection", "not-connected")
        if not client.open or client.busy:
            return
        choice = self.driver.rng.random()
        mark = MARK_FORMAT % (talk.sender_index, 0, intended)
        if choice < LOGIN:
            self._reconnect(talk, intended)
        elif choice < LOGIN + PAGE:
            query = (
                f"<query xmlns='{MAM}'><set xmlns='{RSM}'><max>{self.plan.page}</max><before/></set></query>"
            )
            self._asked[talk.sender_index].add(("page", intended))
            client.write(b"<iq%b type='set' id='page%b'>%b</iq>" % (client.xmlns, mark, query.encode()))
        elif choice < LOGIN + PAGE + PRESENCE:
            client.write(b"<presence%b><status>%b</status></presence>" % (client.xmlns, mark))
        elif choice < LOGIN + PAGE + PRESENCE + PING:
            self._asked[talk.sender_index].add(("ping", intended))
            client.write(
                b"<iq%b type='get' to='%b' id='ping%b'><ping xmlns='urn:xmpp:ping'/></iq>"
                % (client.xmlns, self.plan.domain.encode(), mark)
            )
        elif talk.receiver.open and not talk.receiver.busy:
            self.send(talk, intended)

    def _reconnect(self, talk: Talk, intended: int) -> None:
        client = talk.sender
        back = self.talks.get(talk.receiver.session.account.index)
        if self._asked[talk.sender_index] or talk.outstanding or (back is not None and back.outstanding):
            return
        client.leave()
        client.hold = 1 << 63
        recorder = self.driver.recorder

        def script() -> Script:
            yield from self.driver.login_script(client)
            yield from ask("roster", "get", f"<query xmlns='{ns.ROSTER}'/>")
            yield Send(b"<presence%b/>" % client.xmlns)

        def over(_client: Client, condition: str) -> None:
            if condition:
                recorder.connected -= 1
                recorder.error("login", condition)
            else:
                self._count("login", intended)
                client.hold = self.driver.loop.clock()

        self.driver.start(client, script(), over)

    def _count(self, operation: str, intended: int) -> None:
        if self._window.first <= intended < self._window.last:
            latency = self.driver.loop.clock() - intended
            self.driver.recorder.latency(operation).append(latency)

    def outstanding(self) -> int:
        """Messages, pings and pages on the way."""
        return super().outstanding() + sum(map(len, self._asked.values()))

    def abandon(self) -> None:
        """Pings and pages that were not answered."""
        for asked in self._asked.values():
            for operation, _ in asked:
                self.driver.recorder.error(operation, "unfinished")

    def careful(self, client: Client, data: bytes) -> list[Mark]:
        """Many kinds at once."""
        whole, client.tail = split(data)
        marks: list[Mark] = []
        for element in whole:
            found = MARK.search(element)
            if element.startswith(b"<message") and ERROR.match(element):
                self.returned(client, element)
            elif found is None or b"<forwarded" in element:
                self.driver.other(client, element)
            elif element.startswith(b"<message"):
                marks.append((found[1], found[2], found[3]))
            elif element.startswith(b"<presence"):
                # Who comes back is told what others said meanwhile (RFC 6121 section 4.3.2): that was no delivery's time.
                # What is reflected to its sender (section 4.4.2) is no delivery.
                own = int(found[1], 16) == client.session.account.index
                if not own and int(found[3], 16) > (client.hold or 0):
                    self._count("presence", int(found[3], 16))
            else:
                operation = "page" if b"=page~" in element.replace(b"'", b"").replace(b'"', b"") else "ping"
                self._asked[int(found[1], 16)].discard((operation, int(found[3], 16)))
                if ERROR.match(element):
                    self.driver.recorder.error(operation, error_condition(element))
                else:
                    self._count(operation, int(found[3], 16))
        return marks


SCENARIO = Mixed

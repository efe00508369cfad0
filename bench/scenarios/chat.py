"""One-to-one messages in pairs (RFC 6121 section 5): the load that a chat server is for.

Closed loop: one message is outstanding per pair; its arrival at the receiver lets the sender send the next. Open loop: all
users send to their partner, in turn, at intended times; latency counts from those.
"""

from __future__ import annotations

from typing import Final

from rookery.bench.driver.client import Client, Sink
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.flow import Flow, messages
from rookery.bench.driver.pace import Pace
from rookery.bench.driver.scan import MARK, MARK_FORMAT, Mark, cut, error_condition, split
from rookery.bench.driver.stalls import Stalls
from rookery.bench.plan import MARK_BYTES
from rookery.bench.result import Messages
from rookery.bench.scenarios._scenario import Scenario, Window
from rookery.shared.xmpp.xml import escape_attr

_OPEN: Final = b"<message"
_CLOSE: Final = b"</message>"
#: What goes around the mark: sequence number of the id, sender, sequence number, time.
_BODY: Final = b"m%d'><body>" + MARK_FORMAT + b"%b"


class Talk(Flow):
    """One direction of a pair."""

    __slots__ = ("head", "receiver", "sender", "sender_index")

    def __init__(self, sender: Client, receiver: Client, address: str) -> None:
        super().__init__()
        self.sender = sender
        self.receiver = receiver
        self.sender_index = sender.session.account.index
        self.head = b"<message%b to='%b' type='chat' id='" % (sender.xmlns, escape_attr(address).encode())


class Chat(Scenario):
    """Pairs (2n, 2n+1) within one process."""

    operation = "chat"
    summary = "Messages in pairs: closed loop (one outstanding per pair), or at a rate."

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self.talks: dict[int, Talk] = {}
        self._tail = b"x" * (self.plan.body - MARK_BYTES) + b"</body></message>"
        self._sending = False
        self._pace: Pace | None = None
        self._turn = 0
        self._stalls: Stalls[int] = Stalls(int(self.plan.timeout * 1e9))

    def begin(self, window: Window) -> None:
        """Send the first message of each pair, or begin the pace."""
        self._pair()
        self._sending = True
        sink = self._sink(window)
        for client in self.driver.clients:
            client.sink = sink
        if self.plan.closed_loop:
            for talk in list(self.talks.values()):
                self._send(talk, self.driver.loop.clock())
        elif self.talks:
            order = list(self.talks.values())
            self.driver.rng.shuffle(order)
            self._order = order
            rng = self.driver.rng if self.plan.arrivals == "poisson" else None
            driver = self.driver
            self._pace = Pace(driver.loop, driver.rate, self._next, driver.recorder.late, rng)
            self._pace.start(window.begin, window.last)

    def _pair(self) -> None:
        clients = self.driver.clients
        for one, other in zip(clients[::2], clients[1::2], strict=False):
            if one.open and other.open:
                self._talk(one, other)
                if not self.plan.closed_loop:
                    self._talk(other, one)
        if len(self.talks) == 0:
            self.driver.notes.append("no pair of users is connected")

    def _talk(self, sender: Client, receiver: Client) -> None:
        session = receiver.session
        address = session.jid if self.plan.address == "full" else session.account.bare
        talk = Talk(sender, receiver, address)
        self.talks[talk.sender_index] = talk

    def _send(self, talk: Talk, intended: int) -> None:
        number = talk.sent
        talk.sent = number + 1
        self.driver.recorder.sent += 1
        talk.sender.write(talk.head + _BODY % (number, talk.sender_index, number, intended, self._tail))

    def _next(self, intended: int) -> None:
        talk = self._order[self._turn]
        self._turn = (self._turn + 1) % len(self._order)
        if talk.sender.open and (not self.plan.count or talk.sent < self.plan.count):
            self._send(talk, intended)

    def _sink(self, window: Window) -> Sink:
        first, last = window.first, window.last
        clock = self.driver.loop.clock
        recorder = self.driver.recorder
        latency = recorder.latency("chat").append
        talks, tail, careful = self.talks, self._tail, self._careful
        closed, count = self.plan.closed_loop, self.plan.count or 1 << 60

        def sink(client: Client, data: bytes) -> None:
            if client.tail:
                data = client.tail + data
            marks, rest = cut(data, _OPEN, _CLOSE)
            if rest:
                marks = marks + careful(client, rest)
            elif client.tail:
                client.tail = b""
            now = clock()
            for sender, sequence, time in marks:
                talk = talks.get(int(sender, 16))
                if talk is None or talk.receiver is not client:
                    recorder.error("chat", "misdelivered")
                    continue
                number = int(sequence, 16)
                if number == talk.expected:
                    talk.expected = number + 1
                elif not talk.strange(number):
                    continue
                recorder.delivered += 1
                intended = int(time, 16)
                if first <= intended < last:
                    latency(now - intended)
                if closed and self._sending and talk.sent < count:
                    number = talk.sent
                    talk.sent = number + 1
                    recorder.sent += 1
                    talk.sender.write(talk.head + _BODY % (number, talk.sender_index, number, now, tail))

        return sink

    def _careful(self, client: Client, data: bytes) -> list[Mark]:
        """The same for a run that has other stanzas between, or an unfinished one at its end."""
        whole, client.tail = split(data)
        marks: list[Mark] = []
        for element in whole:
            found = MARK.search(element) if element.startswith(_OPEN) else None
            if found is None:
                self.driver.other(client, element)
            elif b"type='error'" in element or b'type="error"' in element:
                self.driver.recorder.error("chat", error_condition(element))
            else:
                marks.append((found[1], found[2], found[3]))
        return marks

    def finish(self) -> None:
        """Send nothing more."""
        self._sending = False
        if self._pace is not None:
            self._pace.stop()

    def watch(self, now: int) -> None:
        """Let pairs go on whose message does not come."""
        if not self.plan.closed_loop:
            return
        waiting = ((index, talk.arrived) for index, talk in self.talks.items() if talk.outstanding)
        for index in self._stalls.look(now, waiting):
            talk = self.talks[index]
            self.driver.recorder.error("chat", "timeout")
            if talk.sender.open and not (self.plan.count and talk.sent >= self.plan.count):
                self._send(talk, now)

    def outstanding(self) -> int:
        """Messages on the way."""
        return sum(talk.outstanding for talk in self.talks.values())

    def complete(self) -> bool:
        """All messages of `count` came."""
        count = self.plan.count
        return bool(count) and all(
            talk.sent >= count and not talk.outstanding for talk in self.talks.values()
        )

    def messages(self) -> Messages:
        """The sums of all pairs."""
        return messages(self.talks.values())


SCENARIO = Chat

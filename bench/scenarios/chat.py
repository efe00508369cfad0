"""One-to-one messages in pairs (RFC 6121 section 5): the load that a chat server is for.

Closed loop: one message is outstanding per pair; its arrival at the receiver, or the error that it comes back as, lets the
sender send the next. Open loop: all users send to their partner, in turn, at intended times; latency counts from those.
"""

from __future__ import annotations

import re
from typing import Final

from rookery.bench.driver.client import Client, Sink
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.flow import Flow, messages
from rookery.bench.driver.scan import ERROR, MARK, MARK_FORMAT, around, cut, error_condition
from rookery.bench.plan import MARK_BYTES
from rookery.bench.result import Messages
from rookery.bench.scenarios._scenario import Window
from rookery.bench.scenarios._turns import Turns
from rookery.shared.xmpp.xml import escape_attr

_OPEN: Final = b"<message"
_CLOSE: Final = b"</message>"
#: What goes around the mark: sequence number of the id, sender, sequence number, time.
_BODY: Final = b"m%d'><body>" + MARK_FORMAT + b"%b"
#: The sequence number in the id of one of our messages, which an error repeats.
_NUMBER: Final = re.compile(rb"\A<message[^>]* id=['\"]m(\d{1,9})['\"]")


class Talk(Flow):
    """One direction of a pair."""

    __slots__ = ("head", "receiver", "sender", "sender_index")

    def __init__(self, sender: Client, receiver: Client, address: str) -> None:
        super().__init__()
        self.sender = sender
        self.receiver = receiver
        self.sender_index = sender.session.account.index
        self.head = b"<message%b to='%b' type='chat' id='" % (sender.xmlns, escape_attr(address).encode())


class Chat(Turns[Talk]):
    """Pairs (2n, 2n+1) within one process."""

    operation = "chat"
    summary = "Messages in pairs: closed loop (one outstanding per pair), or at a rate."
    who = "pairs"
    opening = _OPEN

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        #: By the number of the sender.
        self.talks: dict[int, Talk] = {}
        self._tail = b"x" * (self.plan.body - MARK_BYTES) + b"</body></message>"

    def begin(self, window: Window) -> None:
        """Send the first message of each pair, or begin the pace."""
        self._pair()
        sink = self._sink(window)
        for client in self.driver.clients:
            client.sink = sink
        self.load(self.talks.values(), window)

    def _pair(self) -> None:
        clients = self.driver.clients
        for number, (one, other) in enumerate(zip(clients[::2], clients[1::2], strict=False)):
            if self.plan.second_target and number % 2:
                # Of two servers each is the sender's as often as the other.
                one, other = other, one
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

    def send(self, turn: Talk, intended: int) -> None:
        """One message."""
        number = turn.sent
        turn.sent = number + 1
        self.driver.recorder.sent += 1
        turn.sender.write(turn.head + _BODY % (number, turn.sender_index, number, intended, self._tail))

    def _sink(self, window: Window) -> Sink:
        begin, first, last = window
        clock = self.driver.loop.clock
        recorder = self.driver.recorder
        latency = recorder.latency("chat").append
        tail, careful = self._tail, self.careful
        talks = {b"%06x" % index: talk for index, talk in self.talks.items()}
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
                talk = talks.get(sender)
                if talk is None or talk.receiver is not client:
                    self._stray(client, data, sender, sequence)
                    continue
                number = int(sequence, 16)
                if number == talk.expected:
                    talk.expected = number + 1
                elif int(time, 16) < begin or not talk.strange(number):
                    # Twice, or what a server kept for its receiver since an earlier run.
                    continue
                recorder.delivered += 1
                intended = int(time, 16)
                if first <= intended < last:
                    latency(now - intended)
                # `again` without its calls: this is the path of each message.
                number += 1
                if closed and self._sending and number == talk.sent and number < count:
                    talk.sent = number + 1
                    recorder.sent += 1
                    talk.sender.write(talk.head + _BODY % (number, talk.sender_index, number, now, tail))

        return sink

    def _stray(self, client: Client, data: bytes, sender: bytes, sequence: bytes) -> None:
        """A message that is not for this client: its own comes back, or the server errs."""
        element = around(data, sender, sequence, _OPEN, _CLOSE)
        if ERROR.match(element):
            self.returned(client, element)
        else:
            self.driver.recorder.error("chat", "misdelivered")

    def returned(self, client: Client, element: bytes) -> None:
        """An error answers a message: by its id, which servers repeat (RFC 6120 section 8.1.3), or by its mark."""
        self.driver.recorder.error("chat", error_condition(element))
        index = client.session.account.index
        talk = self.talks.get(index)
        if talk is None:
            return
        named = _NUMBER.match(element)
        mark = MARK.search(element)
        if named is not None:
            number = int(named[1])
        elif mark is not None and int(mark[1], 16) == index:
            number = int(mark[2], 16)
        elif self.plan.closed_loop:
            number = talk.sent - 1
        else:
            return
        if talk.refuse(number):
            self.again(talk, number, self.driver.loop.clock())

    def messages(self) -> Messages:
        """The sums of all pairs."""
        return messages(self.talks.values())


SCENARIO = Chat

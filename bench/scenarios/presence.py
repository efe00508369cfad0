"""Presence to many contacts (RFC 6121 section 4): one stanza in, K stanzas out.

Contacts stand in a ring of the users of one driver process and know each other both ways; the rosters are made before the
load, and found there by the next run. Closed loop: one broadcast is outstanding per user, until its last contact has it. The
reflection to the sender itself (section 4.4.2) is no delivery here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.flow import Flow, messages
from rookery.bench.driver.scan import ERROR, MARK, MARK_FORMAT, around, cut, error_condition
from rookery.bench.result import Messages
from rookery.bench.scenarios._contacts import Acquainted
from rookery.bench.scenarios._scenario import Window
from rookery.bench.scenarios._turns import Turns

_OPEN: Final = b"<presence"
_CLOSE: Final = b"</presence>"


class Talker:
    """What a user broadcasts: `sent` is the next sequence number, `left` the deliveries that the last one lacks.

    `settled`: deliveries of all that it sent that came, or never will.
    """

    __slots__ = ("contacts", "index", "left", "sender", "sent", "settled")

    def __init__(self, sender: Client, contacts: list[Client]) -> None:
        self.sender = sender
        self.index = sender.session.account.index
        self.contacts = contacts
        self.sent = 0
        self.left = 0
        self.settled = 0

    @property
    def outstanding(self) -> int:
        """Deliveries that are awaited, or lost."""
        return self.sent * len(self.contacts) - self.settled


class Presence(Acquainted, Turns[Talker]):
    """Each delivery to a contact counts."""

    operation = "presence"
    summary = "A change of presence to K contacts each: fan-out."
    who = "users"
    opening = _OPEN

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._talkers: dict[int, Talker] = {}
        #: Deliveries by (sender, receiver).
        self._flows: dict[tuple[int, Client], Flow] = {}
        self._window = Window(0, 0, 0)
        self._latency = driver.recorder.latency("presence")

    @classmethod
    def endings(cls, plan: Mapping[str, Any]) -> float:
        """One for each contact."""
        contacts: int = plan["contacts"]
        # Of an odd ring nobody stands opposite.
        return contacts - 1 if contacts % 2 and plan["users"] % 2 else contacts

    def begin(self, window: Window) -> None:
        """Broadcast once each, or begin the pace."""
        self._window = window
        if doubt := self.contacts.doubt():
            self.driver.notes.append(doubt)
        for client in self.driver.clients:
            client.sink = self._sink
            if client.open:
                contacts = [contact for contact in self.contacts.of(client) if contact.open]
                talker = Talker(client, contacts)
                self._talkers[talker.index] = talker
                for contact in contacts:
                    self._flows[talker.index, contact] = Flow()
        self.load(self._talkers.values(), window)

    def send(self, turn: Talker, intended: int) -> None:
        """One change of presence."""
        number = turn.sent
        turn.sent = number + 1
        turn.left = len(turn.contacts)
        self.driver.recorder.sent += 1
        mark = MARK_FORMAT % (turn.index, number, intended)
        turn.sender.write(b"<presence%b><status>%b</status></presence>" % (turn.sender.xmlns, mark))

    def _sink(self, client: Client, data: bytes) -> None:
        if client.tail:
            data = client.tail + data
            client.tail = b""
        marks, rest = cut(data, _OPEN, _CLOSE)
        if rest:
            marks = marks + self.careful(client, rest)
        if not marks:
            return
        recorder, flows, own = self.driver.recorder, self._flows, client.session.account.index
        now = self.driver.loop.clock()
        first, last, latency = self._window.first, self._window.last, self._latency.append
        for sender, sequence, time in marks:
            index = int(sender, 16)
            if index == own:
                if b"error" in data:
                    self.returned(client, around(data, sender, sequence, _OPEN, _CLOSE))
                continue
            flow = flows.get((index, client))
            if flow is None:
                if self.driver.accounts[index].bare.encode() not in self.contacts.further.get(client, ()):
                    recorder.error("presence", "misdelivered")
                continue
            number = int(sequence, 16)
            if number == flow.expected:
                flow.expected = number + 1
            elif not flow.strange(number):
                continue
            recorder.delivered += 1
            intended = int(time, 16)
            if first <= intended < last:
                latency(now - intended)
            talker = self._talkers[index]
            talker.settled += 1
            if number + 1 == talker.sent and talker.left > 0:
                talker.left -= 1
                if not talker.left:
                    self.again(talker, number, now)

    def returned(self, client: Client, element: bytes) -> None:
        """A broadcast that comes back as an error did not reach anybody who does not have it by now."""
        talker = self._talkers.get(client.session.account.index)
        if talker is None or not ERROR.match(element):
            return
        self.driver.recorder.error("presence", error_condition(element))
        mark = MARK.search(element)
        number = int(mark[2], 16) if mark is not None else talker.sent - 1
        for contact in talker.contacts:
            flow = self._flows[talker.index, contact]
            flow.sent = talker.sent
            talker.settled += flow.refuse(number)
        if number + 1 == talker.sent and talker.left:
            talker.left = 0
            self.again(talker, number, self.driver.loop.clock())

    def outstanding(self) -> int:
        """Deliveries on the way, of all broadcasts."""
        return sum(flow.outstanding for flow in self._counted())

    def messages(self) -> Messages:
        """Deliveries: `sent` counts one for each contact."""
        return messages(self._counted())

    def _counted(self) -> list[Flow]:
        for (index, _), flow in self._flows.items():
            flow.sent = self._talkers[index].sent
        return list(self._flows.values())


SCENARIO = Presence

"""Presence to many contacts (RFC 6121 section 4): one stanza in, K stanzas out.

Contacts stand in a ring of the users of one driver process and know each other both ways; the rosters are made before the
load, and found there by the next run. Closed loop: one broadcast is outstanding per user, until its last contact has it. The
reflection to the sender itself (section 4.4.2) is no delivery here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.flow import Flow, messages
from rookery.bench.driver.pace import Pace
from rookery.bench.driver.scan import MARK, MARK_FORMAT, Mark, cut, split
from rookery.bench.driver.stalls import Stalls
from rookery.bench.plan import Plan, PlanError
from rookery.bench.result import Messages
from rookery.bench.scenarios._contacts import Contacts
from rookery.bench.scenarios._scenario import Phase, Scenario, Window

_OPEN: Final = b"<presence"
_CLOSE: Final = b"</presence>"


class Talker:
    """What a user broadcasts: `number` is the next sequence number, `left` the deliveries that the last one lacks."""

    __slots__ = ("client", "contacts", "index", "left", "number")

    def __init__(self, client: Client, contacts: list[Client]) -> None:
        self.client = client
        self.index = client.session.account.index
        self.contacts = contacts
        self.number = 0
        self.left = 0


class Presence(Scenario):
    """Each delivery to a contact counts."""

    operation = "presence"
    summary = "A change of presence to K contacts each: fan-out."

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._contacts = Contacts(driver)
        self._talkers: dict[int, Talker] = {}
        #: Deliveries by (sender, receiver).
        self._flows: dict[tuple[int, Client], Flow] = {}
        self._sending = False
        self._window = Window(0, 0, 0)
        self._latency = driver.recorder.latency("presence")
        self._order: list[Talker] = []
        self._turn = 0
        self._stalls: Stalls[Talker] = Stalls(int(self.plan.timeout * 1e9))
        self._pace: Pace | None = None

    @classmethod
    def check(cls, plan: Plan) -> None:
        """Everybody needs K others in the same process. Raises PlanError."""
        if plan.users // plan.processes < plan.contacts + 2:
            raise PlanError(
                f"{plan.contacts} contacts need more than {plan.contacts + 1} users in each process"
            )

    def phases(self) -> Iterable[Phase]:
        """Rosters."""
        return self._contacts.phases()

    def unsettled(self) -> int:
        """Subscriptions that are not there yet."""
        return self._contacts.missing()

    def listen(self, client: Client, data: bytes) -> None:
        """Approve subscriptions."""
        self._contacts.listen(client, data)

    def begin(self, window: Window) -> None:
        """Broadcast once each, or begin the pace."""
        self._window, self._sending = window, True
        driver = self.driver
        for client in driver.clients:
            client.sink = self._sink
            if client.open:
                contacts = [contact for contact in self._contacts.of(client) if contact.open]
                talker = Talker(client, contacts)
                self._talkers[talker.index] = talker
                for contact in contacts:
                    self._flows[talker.index, contact] = Flow()
        self._order = list(self._talkers.values())
        driver.rng.shuffle(self._order)
        if self.plan.closed_loop:
            for talker in self._order:
                self._broadcast(talker, driver.loop.clock())
        elif self._order:
            rng = driver.rng if self.plan.arrivals == "poisson" else None
            self._pace = Pace(driver.loop, driver.rate, self._next, driver.recorder.late, rng)
            self._pace.start(window.begin, window.last)

    def _next(self, intended: int) -> None:
        talker = self._order[self._turn]
        self._turn = (self._turn + 1) % len(self._order)
        if talker.client.open and not (self.plan.count and talker.number >= self.plan.count):
            self._broadcast(talker, intended)

    def _broadcast(self, talker: Talker, intended: int) -> None:
        number = talker.number
        talker.number = number + 1
        talker.left += len(talker.contacts)
        self.driver.recorder.sent += 1
        mark = MARK_FORMAT % (talker.index, number, intended)
        talker.client.write(b"<presence%b><status>%b</status></presence>" % (talker.client.xmlns, mark))

    def _sink(self, client: Client, data: bytes) -> None:
        if client.tail:
            data = client.tail + data
            client.tail = b""
        marks, rest = cut(data, _OPEN, _CLOSE)
        if rest:
            marks = marks + self._careful(client, rest)
        if not marks:
            return
        recorder, flows, own = self.driver.recorder, self._flows, client.session.account.index
        now = self.driver.loop.clock()
        closed, count = self.plan.closed_loop, self.plan.count or 1 << 60
        first, last, latency = self._window.first, self._window.last, self._latency.append
        for sender, sequence, time in marks:
            index = int(sender, 16)
            if index == own:
                continue
            flow = flows.get((index, client))
            if flow is None:
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
            talker.left -= 1
            if not talker.left and closed and self._sending and talker.number < count:
                self._broadcast(talker, now)

    def _careful(self, client: Client, data: bytes) -> list[Mark]:
        whole, client.tail = split(data)
        marks: list[Mark] = []
        for element in whole:
            found = MARK.search(element) if element.startswith(_OPEN) else None
            if found is None:
                self.driver.other(client, element)
            else:
                marks.append((found[1], found[2], found[3]))
        return marks

    def finish(self) -> None:
        """Broadcast no more."""
        self._sending = False
        if self._pace is not None:
            self._pace.stop()

    def watch(self, now: int) -> None:
        """Let users go on whose broadcast did not reach all: servers may shape or merge changes of presence."""
        if not self.plan.closed_loop:
            return
        waiting = [(talker, talker.left) for talker in self._order if talker.left > 0]
        for talker in self._stalls.look(now, waiting):
            self.driver.recorder.error("presence", "timeout")
            talker.left = 0
            if talker.client.open and not (self.plan.count and talker.number >= self.plan.count):
                self._broadcast(talker, now)

    def outstanding(self) -> int:
        """Deliveries on the way."""
        return sum(talker.left for talker in self._talkers.values())

    def complete(self) -> bool:
        """All broadcasts of `count` are with all contacts."""
        count = self.plan.count
        return bool(count) and all(one.number >= count and not one.left for one in self._talkers.values())

    def messages(self) -> Messages:
        """Deliveries: `sent` counts one for each contact."""
        for (index, _), flow in self._flows.items():
            flow.sent = self._talkers[index].number
        return messages(self._flows.values())


SCENARIO = Presence

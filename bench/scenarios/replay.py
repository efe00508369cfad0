"""Messages of a recording, sent again by users of this run at the recorded times, or faster.

The people of the tape, in the order of their names there, are the users by number. What was delivered is told as a digest: two runs of one tape
that lost nothing have the same, at any speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.flow import Flow, messages
from rookery.bench.driver.scan import ERROR, MARK, MARK_FORMAT, error_condition, split
from rookery.bench.plan import MARK_BYTES, Plan, PlanError
from rookery.bench.recording.tape import Event, delivered_set, load
from rookery.bench.result import Messages
from rookery.bench.scenarios._scenario import Scenario, Window
from rookery.shared.xmpp.xml import escape_attr

#: Marked bodies cannot be shorter than the mark, nor longer than what servers take.
_LONGEST: Final = 200_000


class Replay(Scenario):
    """Each (sender, receiver) is a flow of numbered messages."""

    operation = "message"
    summary = "Messages of a recording (`bench record`), at their times or faster; `bench replay` runs it."
    open_loop = False

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._tape = load(Path(self.plan.tape))
        self._numbers = {name: number for number, name in enumerate(self._tape.people)}
        self._flows: dict[tuple[int, int], Flow] = {}
        self._delivered: set[tuple[int, int, int]] = set()
        self._left: Iterator[Event] = iter(self._tape.events)
        self._next: Event | None = next(self._left, None)
        self._window = Window(0, 0, 0)

    @classmethod
    def check(cls, plan: Plan) -> None:
        """One process plays everybody, and everybody of the tape is there. Raises PlanError."""
        super().check(plan)
        if not plan.tape:
            raise PlanError("replay needs --tape FILE: `rookery bench record` makes one")
        if plan.processes != 1:
            raise PlanError("a recording is replayed by one process: leave --processes out")
        people = len(load(Path(plan.tape)).people)
        if plan.users != people:
            raise PlanError(f"the tape has {people} people: give --users {people}")

    def begin(self, window: Window) -> None:
        """Send each message when its time has come."""
        self._window = window
        for client in self.driver.clients:
            client.sink = self._take
        self._due(window.begin)

    def _due(self, now: int) -> None:
        while (event := self._next) is not None:
            intended = self._window.begin + int(event.at * 1000 / self.plan.speed)
            if intended > now:
                self.driver.loop.at(intended, self._due)
                return
            self._next = next(self._left, None)
            self._send(event, intended)

    def _send(self, event: Event, intended: int) -> None:
        one, other = self._numbers[event.sender], self._numbers[event.receiver]
        sender, account = self.driver.clients[one], self.driver.clients[other].session.account
        if not sender.open:
            self.driver.recorder.error(self.operation, "not-connected")
            return
        flow = self._flows.setdefault((one, other), Flow())
        number, flow.sent = flow.sent, flow.sent + 1
        self.driver.recorder.sent += 1
        filler = b"x" * (min(event.size, _LONGEST) - MARK_BYTES)
        sender.write(
            b"<message%b to='%b' type='chat' id='m%d'><body>%b%b</body></message>"
            % (
                sender.xmlns,
                escape_attr(account.bare).encode(),
                number,
                MARK_FORMAT % (one, number, intended),
                filler,
            )
        )

    def _take(self, client: Client, data: bytes) -> None:
        now = self.driver.loop.clock()
        whole, client.tail = split(client.tail + data)
        for element in whole:
            mark = MARK.search(element) if element.startswith(b"<message") else None
            if mark is None:
                self.driver.other(client, element)
                continue
            sender, number, intended = (int(part, 16) for part in mark.groups())
            if ERROR.match(element):
                self._returned(client, element, number)
            elif intended >= self._window.begin:  # else of an earlier run
                self._arrived(sender, client.session.account.index, number, now - intended)

    def _arrived(self, sender: int, receiver: int, number: int, took: int) -> None:
        flow = self._flows.get((sender, receiver))
        if flow is None:
            self.driver.recorder.error(self.operation, "misdelivered")
            return
        if number == flow.expected:
            flow.expected += 1
        elif not flow.strange(number):
            return
        self._delivered.add((sender, receiver, number))
        self.driver.recorder.delivered += 1
        self.driver.recorder.latency(self.operation).append(took)

    def _returned(self, client: Client, element: bytes, number: int) -> None:
        """An error: whose it is tells the address that it comes from."""
        self.driver.recorder.error(self.operation, error_condition(element))
        one = client.session.account.index
        for (sender, receiver), flow in self._flows.items():
            bare = self.driver.clients[receiver].session.account.bare
            if sender == one and b"'" + bare.encode() in element.replace(b'"', b"'"):
                flow.refuse(number)
                return

    def outstanding(self) -> int:
        """Messages that are on the way, or lost."""
        return sum(flow.outstanding for flow in self._flows.values())

    def complete(self) -> bool:
        """Whether the tape is over and everything arrived."""
        return self._next is None and not self.outstanding()

    def abandon(self) -> None:
        """Tell what was delivered."""
        self.driver.notes.append(
            f"delivered set {delivered_set(self._delivered)} of {len(self._delivered)} messages"
        )

    def messages(self) -> Messages:
        """The sums of all flows."""
        return messages(self._flows.values())


SCENARIO = Replay

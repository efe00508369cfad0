"""Numbered stanzas in turns: those who take part have one outstanding each in a closed loop, or send one after the other at a rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Generic, Protocol, TypeVar

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import SECOND, Driver
from rookery.bench.driver.pace import Pace
from rookery.bench.driver.report import Waited
from rookery.bench.driver.scan import ERROR, MARK, Mark, split
from rookery.bench.driver.stalls import DOUBT_SECONDS, Stalls
from rookery.bench.scenarios._scenario import Scenario, Window


class Sender(Protocol):
    """Who sends."""

    @property
    def open(self) -> bool:
        """Whether the connection is there."""
        ...


class Turn(Protocol):
    """One that takes part: a pair of users, a user."""

    @property
    def sent(self) -> int:
        """How many it sent; the number of the next."""
        ...

    @property
    def sender(self) -> Sender:
        """Whose stanzas they are."""
        ...

    def __hash__(self) -> int:
        """It is itself."""
        ...

    @property
    def settled(self) -> int:
        """Grows with each answer."""
        ...

    @property
    def outstanding(self) -> int:
        """Answers that are awaited."""
        ...


T = TypeVar("T", bound=Turn)


class Turns(Scenario, Generic[T]):
    """A scenario makes its turns, gives them to `load`, and says by `send` what one does; its sink releases the next."""

    #: What its turns are called in reports.
    who: ClassVar[str]
    #: How their stanzas begin.
    opening: ClassVar[bytes]

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._sending = False
        self._pace: Pace | None = None
        self._order: list[T] = []
        self._at = 0
        self._stalls: Stalls[T] = Stalls(int(self.plan.timeout * SECOND), DOUBT_SECONDS * SECOND)

    def send(self, turn: T, intended: int) -> None:
        """Send the next stanza of a turn."""
        raise NotImplementedError

    def load(self, turns: Iterable[T], window: Window) -> None:
        """Let each send one, or begin the pace."""
        driver = self.driver
        self._order = list(turns)
        driver.rng.shuffle(self._order)
        self._sending = True
        if self.plan.closed_loop:
            for turn in self._order:
                self.send(turn, driver.loop.clock())
        elif self._order:
            rng = driver.rng if self.plan.arrivals == "poisson" else None
            self._pace = Pace(driver.loop, driver.rate, self._due, driver.recorder.late, rng)
            self._pace.start(window.begin, window.last)

    def following(self) -> T:
        """Whose turn it is in an open loop."""
        turn = self._order[self._at]
        self._at = (self._at + 1) % len(self._order)
        return turn

    def may(self, turn: T) -> bool:
        """Whether it can send, and has not sent all of `count`."""
        return turn.sender.open and not (self.plan.count and turn.sent >= self.plan.count)

    def again(self, turn: T, number: int, now: int) -> None:
        """In a closed loop, the end of its last stanza lets a turn go on; the end of one that was given up does not."""
        if self._sending and self.plan.closed_loop and number + 1 == turn.sent and self.may(turn):
            self.send(turn, now)

    def _due(self, intended: int) -> None:
        turn = self.following()
        if self.may(turn):
            self.send(turn, intended)
        elif not turn.sender.open:
            self.driver.recorder.error(self.operation, "not-connected")

    def careful(self, client: Client, data: bytes) -> list[Mark]:
        """The marks of stanzas that others are between, or of which the last is unfinished."""
        whole, client.tail = split(data)
        marks: list[Mark] = []
        for element in whole:
            if not element.startswith(self.opening):
                self.strange(client, element)
            elif ERROR.match(element):
                self.returned(client, element)
            elif (found := MARK.search(element)) is not None:
                marks.append((found[1], found[2], found[3]))
        return marks

    def strange(self, client: Client, element: bytes) -> None:
        """What is none of the numbered stanzas."""
        self.driver.other(client, element)

    def returned(self, client: Client, element: bytes) -> None:
        """A stanza of the client came back as an error."""

    def finish(self) -> None:
        """Send nothing more."""
        self._sending = False
        if self._pace is not None:
            self._pace.stop()

    def watch(self, now: int) -> None:
        """See who waits; in a closed loop, let those go on whose answer does not come."""
        waiting = [(turn, turn.settled) for turn in self._order if turn.outstanding > 0]
        stalled = self._stalls.look(now, waiting)
        if self.plan.closed_loop:
            for turn in stalled:
                self.driver.recorder.error(self.operation, "timeout")
                if self.may(turn):
                    self.send(turn, now)

    def waited(self) -> Waited | None:
        """Who did not move for long."""
        return Waited(self.who, len(self._stalls.slow), len(self._order))

    def outstanding(self) -> int:
        """Answers on the way."""
        return sum(turn.outstanding for turn in self._order)

    def complete(self) -> bool:
        """All of `count` were sent and answered."""
        count = self.plan.count
        return bool(count) and all(turn.sent >= count for turn in self._order) and not self.outstanding()

"""Federation: the driver plays remote domains, and users of the server exchange messages with them (RFC 6120, RFC 6121 section 5).

Each user has a way: `in` (a remote domain sends to it), `out` (it sends there), `round` (it sends, and the remote domain answers), `first` (it
sends to a domain that the server has never heard of, and when that has come, to the next), or one of `_errands`. In a closed loop one of each is
outstanding. Every message is numbered on its way, and counted where it arrives, on either side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.flow import messages
from rookery.bench.driver.scan import ERROR, MARK, Mark, around, cut, error_condition, split
from rookery.bench.plan import MARK_BYTES, Plan, PlanError
from rookery.bench.remotes import domains
from rookery.bench.remotes.authority import Authority
from rookery.bench.remotes.domains import kinds
from rookery.bench.remotes.house import House, place_of, server_place
from rookery.bench.remotes.incoming import Incoming
from rookery.bench.result import Dead, Messages
from rookery.bench.scenarios import _errands as errands
from rookery.bench.scenarios._exchanges import Correspondent, Exchange, Leg
from rookery.bench.scenarios._graves import Graves
from rookery.bench.scenarios._openings import Openings
from rookery.bench.scenarios._scenario import Phase, Window
from rookery.bench.scenarios._spam import LEG, Spam
from rookery.bench.scenarios._turns import Turns

_OPEN: Final = b"<message"
_CLOSE: Final = b"</message>"
#: Run, leg and number in the id of one of our messages, which an error repeats.
_ID: Final = re.compile(rb"\A<message[^>]* id=['\"](\w+)\.([0-9a-f]{1,6})\.(\d{1,9})['\"]")
MESSAGES: Final = ("in", "out", "round")
WAYS: Final = (*MESSAGES, "first", *errands.WAYS)
#: Domains that have streams before the load begins, where others are new.
_KNOWN: Final = 4


class S2s(Turns[Exchange]):
    """See the module's text. Remote domains belong to one driver process each, and so do those whom they talk with."""

    operation = "out"
    parts = (
        "in",
        "round",
        "first",
        "subscribe",
        "join",
        "groupchat",
        "leave",
        "stream",
        "connect",
        "tls",
        "auth",
        "dead",
    )
    storms = True
    summary = (
        "Other servers, which the driver plays: messages, subscriptions, rooms, streams; some of them dead."
    )
    who = "exchanges"
    opening = _OPEN
    federates = True

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        plan = self.plan
        self._house = House(
            driver.loop,
            plan,
            driver.order.number,
            self._stanzas,
            lambda stream, condition: self._openings.lost(stream, condition),
        )
        there = [Correspondent(domain) for domain in self._house.domains if not domain.dead]
        #: Domains that the server has never heard of, for `first`: all but a few.
        known = min(len(there), _KNOWN) if "first" in kinds(plan.ways) else len(there)
        self._there, self._new = there[:known], there[known:]
        self._openings = Openings(driver, self._house, self._there)
        self._tail = b"x" * (plan.body - MARK_BYTES) + b"</body></message>"
        self._run = b"r%x" % (driver.loop.clock() & 0xFFFFFFFF)
        dead = [domain for domain in self._house.domains if domain.dead]
        self._graves = Graves(driver, self._run, dead, self._tail)
        self._errands = errands.Errands(driver, self._house, self._run)
        self._spam = Spam(driver, self._tail)
        self._legs: dict[bytes, Leg] = {}
        self._exchanges: list[Exchange] = []
        self._window = Window(0, 0, 0)

    @classmethod
    def check(cls, plan: Plan) -> None:
        """Refuse what cannot be played before anything is started. Raises PlanError."""
        super().check(plan)
        server_place(plan)
        _, port = place_of(plan.listen, "listen")
        if port + plan.processes > 65_536:
            raise PlanError(f"listen {plan.listen}: {plan.processes} processes need a port each")
        if plan.dns:
            place_of(plan.dns, "dns")
        domains.check(plan)
        for way in kinds(plan.ways) or [""]:
            if way not in WAYS:
                raise PlanError(f"ways {plan.ways!r}: there are {', '.join(WAYS)}")
            if plan.rate and way not in MESSAGES:
                raise PlanError(
                    f"rate: {way} is done one after the other; only {', '.join(MESSAGES)} have a rate"
                )
        if plan.storm and plan.ways != "streams":
            raise PlanError("storm is one of streams: --ways streams")
        if "first" in kinds(plan.ways) and plan.remotes * (1 - plan.dead) <= _KNOWN * plan.processes:
            raise PlanError(f"first needs more than {_KNOWN} --remotes that live, for each process")
        if plan.transport in ("ws", "wss"):
            raise PlanError("s2s has users by TCP: --transport plain, starttls or tls")
        if plan.ca:
            Authority.load(plan.ca)

    @classmethod
    def further_files(cls, plan: Plan) -> int:
        """Two streams of each remote domain, and what dead ones keep."""
        return 6 * plan.remotes

    # -- before the load -----------------------------------------------------------------------------------------------

    def phases(self) -> Iterable[Phase]:
        """Rooms have an owner at the server."""
        return [Phase("entering rooms", self._errands.furnish)] if "join" in kinds(self.plan.ways) else []

    def gather(self) -> None:
        """Open the streams of all remote domains, at the ramp rate."""
        self._openings.gather()

    def unsettled(self) -> int:
        """Streams that are being opened."""
        return self._openings.opening

    # -- the load ------------------------------------------------------------------------------------------------------

    def begin(self, window: Window) -> None:
        """Send the first message of each exchange, or begin the pace."""
        self._window = window
        ways = kinds(self.plan.ways)
        full = self.plan.address == "full"
        clients = [client for client in self.driver.clients if client.open]
        there = [each for each in self._there if each.open]
        for position, client in enumerate(clients):
            if not there or self.plan.storm:
                break
            way, whom = ways[position % len(ways)], there[position // len(ways) % len(there)]
            if way in errands.WAYS:
                self._errands.add(way, client, whom)
            elif way != "first":
                self._add(Exchange(way, client, whom, full=full))
            elif self._new:
                self._add(Exchange(way, client, self._new.pop(), full=False))
        if self.plan.storm and clients:
            errands.storm(self._errands, clients, self._there)
        for client in clients:
            client.sink = self._sink
        self.load(self._exchanges, window)
        self._errands.begin(window.first, window.last)
        self._graves.begin(clients, window)
        if self.plan.spam and there:
            rate = self.plan.spam / self.driver.order.of
            self._spam.begin(there[-1], clients, rate, window.first, window.last)

    def _add(self, exchange: Exchange) -> None:
        latencies = self.driver.recorder.latency(exchange.way)
        exchange.first = self._leg(exchange, inward=exchange.way == "in", latencies=latencies)
        if exchange.way == "round":
            exchange.first.latencies = []
            exchange.back = self._leg(exchange, inward=True, latencies=latencies)
        self._exchanges.append(exchange)

    def _leg(self, exchange: Exchange, *, inward: bool, latencies: list[int]) -> Leg:
        leg = Leg(exchange, len(self._legs), self._run, inward=inward, latencies=latencies)
        self._legs[b"%06x" % leg.index] = leg
        return leg

    def send(self, turn: Exchange, intended: int) -> None:
        """One message."""
        self.driver.recorder.sent += 1
        turn.first.send(intended, self._tail)

    def _sink(self, client: Client, data: bytes) -> None:
        """What users get."""
        if client.tail:
            data = client.tail + data
        marks, rest = cut(data, _OPEN, _CLOSE)
        if rest:
            marks = marks + self.careful(client, rest)
        elif client.tail:
            client.tail = b""
        now = self.driver.loop.clock()
        for mark in marks:
            leg = self._legs.get(mark[0])
            if leg is not None and leg.inward and leg.exchange.user is client:
                self._arrived(leg, mark, now)
            elif mark[0] == LEG:
                self._spam.came()
            else:
                self._stray(around(data, mark[0], mark[1], _OPEN, _CLOSE))

    def _stanzas(self, stream: Incoming, data: bytes) -> None:
        """What remote domains get."""
        if stream.tail:
            data = stream.tail + data
        marks, rest = cut(data, _OPEN, _CLOSE)
        stream.handled += len(marks)
        if rest:
            marks = marks + self._carefully(stream, rest)
        else:
            stream.tail = b""
        now = self.driver.loop.clock()
        for mark in marks:
            leg = self._legs.get(mark[0])
            if leg is not None and not leg.inward and leg.exchange.there.domain.name in stream.names:
                self._arrived(leg, mark, now)
            else:
                self._stray(around(data, mark[0], mark[1], _OPEN, _CLOSE))

    def _carefully(self, stream: Incoming, data: bytes) -> list[Mark]:
        whole, stream.tail = split(data)
        marks: list[Mark] = []
        for element in whole:
            stream.element(element)
            if element.startswith(b"<presence"):
                self._errands.at_remote(element)
            if not element.startswith(_OPEN):
                continue
            if ERROR.match(element):
                if not self._errands.at_remote(element):
                    self._back(element)
            elif (found := MARK.search(element)) is not None:
                marks.append((found[1], found[2], found[3]))
            else:
                self._errands.at_remote(element)
        return marks

    def strange(self, client: Client, element: bytes) -> None:
        """Requests for presence are granted."""
        if not self._errands.at_user(client, element):
            super().strange(client, element)

    def _arrived(self, leg: Leg, mark: Mark, now: int) -> None:
        number, intended = int(mark[1], 16), int(mark[2], 16)
        begin, first, last = self._window
        if number == leg.expected:
            leg.expected = number + 1
        elif intended < begin or not leg.strange(number):
            # Twice, or what a server kept since an earlier run.
            return
        self.driver.recorder.delivered += 1
        if first <= intended < last:
            leg.latencies.append(now - intended)
        exchange = leg.exchange
        if leg is exchange.first and exchange.back is not None:
            self._reply(exchange.back, intended)
        elif exchange.way == "first":
            self._another(exchange, now)
        elif self._sending and self.plan.closed_loop and number + 1 == leg.sent and self.may(exchange):
            self.send(exchange, now)

    def _another(self, exchange: Exchange, now: int) -> None:
        """The next domain that the server has never heard of."""
        if self._sending and self._new:
            following = Exchange("first", exchange.user, self._new.pop(), full=False)
            self._add(following)
            self._order.append(following)
            self.send(following, now)

    def _reply(self, leg: Leg, intended: int) -> None:
        if leg.exchange.there.open:
            self.driver.recorder.sent += 1
            leg.send(intended, self._tail)
        else:
            self.driver.recorder.error("round", "not-connected")

    # -- errors --------------------------------------------------------------------------------------------------------

    def _stray(self, element: bytes) -> None:
        """A message that is not for who got it: one that comes back, or the server errs."""
        if ERROR.match(element):
            self._back(element)
        else:
            self.driver.recorder.error(self.operation, "misdelivered")

    def returned(self, client: Client, element: bytes) -> None:
        """An error answers a message of a user."""
        self._back(element)

    def _back(self, element: bytes) -> None:
        """An error, by the id of what it answers (RFC 6120 section 8.1.3), or by the mark that it repeats."""
        if self._graves.back(element) or self._spam.back(element):
            return
        named, mark = _ID.match(element), MARK.search(element)
        if named is not None:
            if named[1] != self._run:
                return
            index, number = int(named[2], 16), int(named[3])
        elif mark is not None:
            index, number = int(mark[1], 16), int(mark[2], 16)
        else:
            self.driver.recorder.error(self.operation, error_condition(element))
            return
        leg = self._legs.get(b"%06x" % index)
        if leg is None:
            return
        exchange = leg.exchange
        self.driver.recorder.error(exchange.way, error_condition(element))
        if leg.refuse(number) and self._sending and self.plan.closed_loop and self.may(exchange):
            self.send(exchange, self.driver.loop.clock())

    # -- the end -------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Send nothing more."""
        super().finish()
        self._errands.finish()
        self._graves.finish()
        self._spam.finish()

    def watch(self, now: int) -> None:
        """See who waits."""
        super().watch(now)
        self._errands.watch(now)

    def outstanding(self) -> int:
        """What is on the way."""
        return super().outstanding() + self._errands.outstanding()

    def complete(self) -> bool:
        """All of `count` were done, or there is no new domain left for anybody."""
        if self._order and not super().complete():
            return kinds(self.plan.ways) == ["first"] and not self._new and not self.outstanding()
        return self._errands.complete() if len(self._errands) else bool(self._order)

    def messages(self) -> Messages:
        """The sums of all legs."""
        return messages(self._legs.values())

    def dead(self) -> tuple[Dead, ...]:
        """How often dead domains were tried."""
        self._graves.tell()
        self._spam.tell()
        return self._house.dead()

    def close(self) -> None:
        """End the streams of all remote domains."""
        self._errands.close()
        self._openings.close()
        self._house.close()


SCENARIO = S2s

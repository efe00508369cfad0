"""Messages in rooms (XEP-0045 section 7.4): each goes to every occupant, in one order that all of them see.

An operation is one delivery. Closed loop: each talker has one message outstanding, and its own copy lets it send the next. Open loop: talkers send in
turn at intended times. Exact for each room and occupant: what was lost, came twice, or out of its sender's order; and
whether all occupants of a room heard the same messages in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rookery.bench.driver.client import Client, Sink
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.flow import Flow, messages
from rookery.bench.driver.scan import ERROR, MARK, MARK_FORMAT, cut, error_condition
from rookery.bench.driver.script import Script
from rookery.bench.plan import MARK_BYTES
from rookery.bench.result import Messages
from rookery.bench.scenarios._rooms import Place, enter, places
from rookery.bench.scenarios._scenario import Phase, Window
from rookery.bench.scenarios._turns import Turns
from rookery.shared.xmpp.xml import escape_attr

_OPEN: Final = b"<message"
_CLOSE: Final = b"</message>"
_BODY: Final = b"m%d'><body>" + MARK_FORMAT + b"%b"
#: How far back or ahead a message is looked for in the order of its room before it counts as another order.
_WINDOW: Final = 64


class Order:
    """The order of one room, as whoever is first at a place of it heard it."""

    __slots__ = ("differs", "heard")

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, bytes]] = []
        self.differs = 0

    def place(self, at: int, mark: tuple[bytes, bytes]) -> int:
        """One occupant hears this as its number `at`; returns its next."""
        heard = self.heard
        if at == len(heard):
            heard.append(mark)
        elif heard[at] != mark:
            for ahead in range(at + 1, min(len(heard), at + _WINDOW)):
                if heard[ahead] == mark:
                    return ahead + 1  # it lacks some: that is counted as lost
            self.differs += 1
            return at
        return at + 1


class Talker(Flow):
    """One who sends; as a flow, what it hears of itself. `others` are the flows to the other occupants."""

    __slots__ = ("head", "others", "room", "sender", "sender_index", "waiting")

    def __init__(self, sender: Client, room: Room) -> None:
        super().__init__()
        self.sender = sender
        self.room = room
        self.sender_index = sender.session.account.index
        self.others: dict[Client, Flow] = {}
        address = escape_attr(room.place.address).encode()
        self.head = b"<message%b to='%b' type='groupchat' id='" % (sender.xmlns, address)
        #: Deliveries that are awaited, by number.
        self.waiting: dict[int, int] = {}


class Room:
    """One room under load."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.there = [client for client in place.occupants if client.open]
        self.order = Order()


class Muc(Turns[Talker]):
    """Rooms of the clients of one process."""

    operation = "muc"
    parts = ("last", "join")
    summary = "Messages in rooms, to every occupant in one order: closed loop (one outstanding per talker), or at a rate."
    who = "talkers"
    opening = _OPEN

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self.talkers: list[Talker] = []
        self.rooms: list[Room] = []
        self._places = places(driver)
        self._tail = b"x" * (self.plan.body - MARK_BYTES) + b"</body></message>"
        self._place_of = {client: place for place in self._places for client in place.occupants}
        #: Nanoseconds of the joins of the preparation.
        self._joins: list[int] = []

    def phases(self) -> Iterable[Phase]:
        """The first of each room opens it, then the others enter."""
        first = {place.occupants[0] for place in self._places if place.occupants}

        def opens(client: Client) -> Script | None:
            return self._enter(client) if client in first else None

        def enters(client: Client) -> Script | None:
            return self._enter(client) if client not in first and client in self._place_of else None

        yield Phase("opening rooms", opens)
        yield Phase("entering rooms", enters)

    def _enter(self, client: Client) -> Script:
        yield from enter(client, self._place_of[client].address)
        if "join" in client.marks:
            self._joins.append(client.marks["join"])

    def begin(self, window: Window) -> None:
        """Let the talkers of each room begin."""
        joins = self.driver.recorder.latency("join")
        # (what is told before the window is not shown)
        self.driver.loop.at(window.first + 1, lambda _now: joins.extend(self._joins))
        for place in self._places:
            room = Room(place)
            self.rooms.append(room)
            for client in room.there[: self.plan.talkers]:
                self.talkers.append(Talker(client, room))
        if not self.talkers:
            self.driver.notes.append("nobody is in a room")
        for room in self.rooms:
            mine = {b"%06x" % one.sender_index: one for one in self.talkers if one.room is room}
            for client in room.there:
                client.sink = self._sink(client, room, mine, window)
        self.load(self.talkers, window)

    def send(self, turn: Talker, intended: int) -> None:
        """One message to the room."""
        number = turn.sent
        turn.sent = number + 1
        turn.waiting[number] = len(turn.room.there)
        self.driver.recorder.sent += 1
        turn.sender.write(turn.head + _BODY % (number, turn.sender_index, number, intended, self._tail))

    def _sink(self, client: Client, room: Room, talkers: dict[bytes, Talker], window: Window) -> Sink:
        """What one occupant does with what it hears."""
        begin, first, last = window
        clock, recorder, order = self.driver.loop.clock, self.driver.recorder, room.order
        each, whole = recorder.latency("muc").append, recorder.latency("last").append
        flows: dict[bytes, Flow] = {}
        for sender, talker in talkers.items():
            flows[sender] = talker if talker.sender is client else talker.others.setdefault(client, Flow())
        at = 0

        def sink(client: Client, data: bytes) -> None:
            nonlocal at
            if client.tail:
                data = client.tail + data
            marks, rest = cut(data, _OPEN, _CLOSE)
            if rest:
                marks = marks + self.careful(client, rest)
            elif client.tail:
                client.tail = b""
            now = clock()
            for sender, sequence, time in marks:
                talker = talkers.get(sender)
                intended = int(time, 16)
                if talker is None or intended < begin:
                    continue  # of an earlier run
                flow, number = flows[sender], int(sequence, 16)
                if number == flow.expected:
                    flow.expected = number + 1
                elif not flow.strange(number):
                    continue
                at = order.place(at, (sender, sequence))
                recorder.delivered += 1
                if first <= intended < last:
                    each(now - intended)
                left = talker.waiting.get(number, 0) - 1
                if left:
                    talker.waiting[number] = left
                else:
                    talker.waiting.pop(number, None)
                    if first <= intended < last:
                        whole(now - intended)
                if flow is talker:
                    self.again(talker, number, now)

        return sink

    def returned(self, client: Client, element: bytes) -> None:
        """A message of the client came back as an error."""
        self.driver.recorder.error("muc", error_condition(element))
        mark = MARK.search(element)
        for talker in self.talkers:
            if talker.sender is client:
                number = int(mark[2], 16) if mark is not None else talker.sent - 1
                if ERROR.match(element) and talker.refuse(number):
                    talker.waiting.pop(number, None)
                    self.again(talker, number, self.driver.loop.clock())

    def outstanding(self) -> int:
        """Messages that not every occupant has heard."""
        return sum(len(talker.waiting) for talker in self.talkers)

    def messages(self) -> Messages:
        """Deliveries, of all talkers to all occupants of their rooms."""
        flows: list[Flow] = []
        for talker in self.talkers:
            for flow in talker.others.values():
                flow.sent = talker.sent - talker.refused
                flows.append(flow)
            flows.append(talker)
        differs = sum(room.order.differs for room in self.rooms)
        if differs:
            self.driver.notes.append(f"{differs} deliveries came in another order than to other occupants")
            self.driver.recorder.error("muc", "other-order")
        return messages(flows)


SCENARIO = Muc

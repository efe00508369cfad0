"""What remote domains do besides messages, one operation after the other for each user: subscriptions, rooms, streams that come and go.

* `subscribe`: somebody at a remote domain who was never seen asks for the user's presence; the user approves (RFC 6121 section 3.1).
* `join`: a remote occupant enters a room of the server, says something, hears it, and leaves (XEP-0045); `groupchat` is what it said.
* `streams`: a remote domain opens a stream, proves itself and ends it; with `storm` all domains do so once, at the same moment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import SECOND, Driver
from rookery.bench.driver.scan import ERROR, error_condition
from rookery.bench.driver.script import Script
from rookery.bench.remotes.house import House
from rookery.bench.remotes.outgoing import Outgoing
from rookery.bench.scenarios._exchanges import Correspondent
from rookery.bench.scenarios._rooms import enter, places
from rookery.shared.xmpp.xml import escape_attr

WAYS: Final = ("subscribe", "join", "streams")
_TO: Final = re.compile(rb"\A<(?:presence|message)[^>]* to=['\"]([^'\"]*)['\"]")
_FROM: Final = re.compile(rb"\A<presence[^>]* from=['\"]([^'\"]*)['\"]")
_TYPE: Final = re.compile(rb"\A<\w+[^>]* type=['\"]([^'\"]*)['\"]")
_SELF: Final = re.compile(rb"<status[^>]* code=['\"]110['\"]")


class _Errand:
    """One user's; `address` is who does it at the remote domain, `stage` what is awaited."""

    __slots__ = ("address", "number", "room", "since", "stage", "stream", "there", "user", "way")

    def __init__(self, way: str, user: Client, there: Correspondent) -> None:
        self.way = way
        self.user = user
        self.there = there
        self.number = 0
        self.address = b""
        self.room = b""
        self.stage = ""
        self.since = 0
        self.stream: Outgoing | None = None


class Errands:
    """All of one driver process. `begin` starts each; the end of one operation begins the next, until `finish`."""

    def __init__(self, driver: Driver, house: House, run: bytes) -> None:
        self._driver = driver
        self._house = house
        self._run = run
        self._all: list[_Errand] = []
        self._by_address: dict[bytes, _Errand] = {}
        self._going = False
        self._window = (0, 0)
        plan = driver.plan
        #: A user of the server is the owner of each: servers let nobody from elsewhere make rooms.
        self._rooms = places(driver)
        self._muc = plan.muc or f"conference.{plan.domain}"
        #: Streams of remote domains to the service of rooms: it is a domain of its own (RFC 6120 section 4.7.2).
        self._visits: dict[int, Correspondent] = {}
        self._count = 1 if plan.storm else plan.count

    def add(self, way: str, user: Client, there: Correspondent) -> None:
        """One more who does this."""
        self._all.append(_Errand(way, user, there))

    def furnish(self, client: Client) -> Script | None:
        """Make the room that the user is the owner of."""
        for place in self._rooms:
            if place.occupants[0] is client:
                return enter(client, place.address)
        return None

    def begin(self, first: int, last: int) -> None:
        """Do it; what begins between these times is measured."""
        self._window, self._going = (first, last), True
        for errand in self._all:
            self._next(errand)

    def finish(self) -> None:
        """Begin nothing more."""
        self._going = False

    def outstanding(self) -> int:
        """Operations whose end is awaited."""
        return sum(bool(errand.stage) for errand in self._all)

    def complete(self) -> bool:
        """Whether each did all that it shall do."""
        return bool(self._count) and all(
            errand.number >= self._count and not errand.stage for errand in self._all
        )

    def __len__(self) -> int:
        return len(self._all)

    def watch(self, now: int) -> None:
        """Give up what takes too long, and begin the next."""
        limit = now - int(self._driver.plan.timeout * SECOND)
        for errand in self._all:
            if errand.stage and errand.since < limit:
                self._fail(errand, "timeout")

    # -- one operation -------------------------------------------------------------------------------------------------

    def _next(self, errand: _Errand) -> None:
        errand.stage = ""
        if not self._going or (self._count and errand.number >= self._count):
            return
        errand.number += 1
        errand.since = self._driver.loop.clock()
        if errand.way == "streams":
            errand.stage = "stream"
            errand.stream = self._house.open(
                errand.there.domain, lambda stream, condition: self._opened(errand, stream, condition)
            )
        elif errand.way == "join" and not self._visit(errand).open:
            self._later(errand)
        elif errand.there.open:
            self._driver.recorder.sent += 1
            (self._subscribe if errand.way == "subscribe" else self._join)(errand)
        else:
            self._later(errand)

    def _later(self, errand: _Errand) -> None:
        """Its stream is being opened."""
        loop = self._driver.loop
        errand.number -= 1
        loop.at(loop.clock() + SECOND // 10, lambda _now: self._next(errand))

    def _visit(self, errand: _Errand) -> Correspondent:
        """The stream to the service of rooms; it is opened when there is none."""
        domain = errand.there.domain
        found = self._visits.setdefault(domain.number, Correspondent(domain))
        if found.stream is None or not (found.stream.open or found.stream.busy):
            found.stream = self._house.open(domain, self._visited, self._muc)
        return found

    def _visited(self, _stream: Outgoing, condition: str) -> None:
        if condition:
            self._driver.recorder.error("join", condition)

    def close(self) -> None:
        """End the streams that only these use."""
        for each in self._visits.values():
            if each.stream is not None:
                each.stream.close()

    def _done(self, errand: _Errand, operation: str) -> None:
        now = self._driver.loop.clock()
        first, last = self._window
        self._driver.recorder.delivered += 1
        if first <= errand.since < last:
            self._driver.recorder.latency(operation).append(now - errand.since)

    def _fail(self, errand: _Errand, condition: str) -> None:
        self._driver.recorder.error(errand.stage, condition)
        if errand.stream is not None:
            errand.stream.wire.close()
        self._next(errand)

    def _opened(self, errand: _Errand, stream: Outgoing, condition: str) -> None:
        if errand.stream is not stream or errand.stage != "stream":
            stream.close()
            return
        if condition:
            self._driver.recorder.error("stream", condition)
        else:
            self._done(errand, "stream")
            for part, taken in stream.marks.items():
                self._driver.recorder.latency(part).append(taken)
            stream.close()
        errand.stage = ""
        loop = self._driver.loop
        # Not from within the last one's end; after a failure not at once.
        loop.at(loop.clock() + (SECOND // 10 if condition else 0), lambda _now: self._next(errand))

    def _subscribe(self, errand: _Errand) -> None:
        user = errand.user.session.account
        name = f"s{user.index}x{errand.number}x".encode() + self._run
        self._address(errand, name + b"@" + errand.there.domain.name.encode(), "subscribe")
        to = escape_attr(user.bare).encode()
        errand.there.write(b"<presence type='subscribe' from='%b' to='%b'/>" % (errand.address, to))

    def _join(self, errand: _Errand) -> None:
        index = errand.user.session.account.index
        self._address(errand, b"j%d@%b/bench" % (index, errand.there.domain.name.encode()), "join")
        errand.room = escape_attr(self._rooms[index % len(self._rooms)].address).encode()
        self._visit(errand).write(
            b"<presence from='%b' to='%b/n%d'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>"
            b"</presence>" % (errand.address, errand.room, index)
        )

    def _address(self, errand: _Errand, address: bytes, stage: str) -> None:
        self._by_address.pop(errand.address, None)
        errand.address, errand.stage = address, stage
        self._by_address[address] = errand

    # -- what comes ----------------------------------------------------------------------------------------------------

    def at_user(self, client: Client, element: bytes) -> bool:
        """Whether it is a request for presence, which is granted."""
        if not element.startswith(b"<presence") or _word(_TYPE, element) != b"subscribe":
            return False
        client.write(b"<presence%b type='subscribed' to='%b'/>" % (client.xmlns, _word(_FROM, element)))
        return True

    def at_remote(self, element: bytes) -> bool:
        """A presence, or a message without a number; whether it is for one of these."""
        errand = self._by_address.get(_word(_TO, element))
        if errand is not None:
            self._heard(errand, element)
        return errand is not None

    def _heard(self, errand: _Errand, element: bytes) -> None:
        if ERROR.match(element):
            self._fail(errand, error_condition(element))
            return
        step: dict[str, Callable[[_Errand, bytes], None]] = {
            "subscribe": self._granted,
            "join": self._joined,
            "groupchat": self._reflected,
            "leave": self._left,
        }
        if errand.stage in step:
            step[errand.stage](errand, element)

    def _granted(self, errand: _Errand, element: bytes) -> None:
        if _word(_TYPE, element) == b"subscribed":
            self._done(errand, "subscribe")
            self._next(errand)

    def _joined(self, errand: _Errand, element: bytes) -> None:
        if not element.startswith(b"<presence") or not _SELF.search(element):
            return
        self._done(errand, "join")
        errand.stage, errand.since = "groupchat", self._driver.loop.clock()
        self._driver.recorder.sent += 1
        self._visit(errand).write(
            b"<message type='groupchat' from='%b' to='%b' id='g%d'><body>%b</body></message>"
            % (errand.address, errand.room, errand.number, self._said(errand))
        )

    def _said(self, errand: _Errand) -> bytes:
        return b"said-%d-%d-%b" % (errand.user.session.account.index, errand.number, self._run)

    def _reflected(self, errand: _Errand, element: bytes) -> None:
        if b">%b<" % self._said(errand) in element:
            self._done(errand, "groupchat")
            errand.stage = "leave"
            errand.since = self._driver.loop.clock()
            nick = b"n%d" % errand.user.session.account.index
            leaving = (errand.address, errand.room, nick)
            self._visit(errand).write(b"<presence type='unavailable' from='%b' to='%b/%b'/>" % leaving)

    def _left(self, errand: _Errand, element: bytes) -> None:
        if _word(_TYPE, element) == b"unavailable" and _SELF.search(element):
            self._next(errand)


def _word(pattern: re.Pattern[bytes], element: bytes) -> bytes:
    found = pattern.match(element)
    return found[1] if found else b""


def storm(errands: Errands, users: Sequence[Client], there: Sequence[Correspondent]) -> None:
    """Each domain opens a stream, whoever the users are."""
    for number, each in enumerate(there):
        errands.add("streams", users[number % len(users)], each)

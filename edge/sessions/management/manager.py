"""Stream management of one session with its surroundings: the client's elements in, `<a/>`, `<r/>` and notes to the router out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from rookery.edge.sessions.line import Line
from rookery.edge.sessions.management.machine import Look, StreamManagement
from rookery.edge.sessions.mirror import SessionMirror, Verdict
from rookery.edge.sessions.open_iqs import IqKey
from rookery.edge.sessions.surroundings import Surroundings
from rookery.shared.bus import messages
from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import Bound, Enable, Enabled, Frontier, Kind, Resumed
from rookery.shared.net.timers import NEVER
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp.errors import StanzaError, StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

#: An SM-ID: so many random bytes that nobody guesses one.
TOKEN_BYTES: Final = 24
#: So long (seconds) after a stream went on its client may send again what was answered meanwhile, and so many requests are remembered for that.
AGAIN_SECONDS: Final = 30.0
MOST_AGAIN: Final = 1000
#: Arguments of `Session.deliver`.
Delivery = tuple[int, int, bytes, int, Stanza, "str | None"]


class Managed:
    """A session as its stream management sees it. A class and no Protocol: compiled code then needs no look-up for its attributes."""

    __slots__ = ("connection", "full", "grant", "manager", "mirror", "n", "partition", "sid")

    def __init__(
        self, connection: Line, sid: int, bound: Bound, partition: int, mirror: SessionMirror
    ) -> None:
        #: None once the socket is gone and only un-accepted stanzas are left, or the stream waits to be resumed.
        self.connection: Line | None = connection
        self.sid = sid
        self.full = bound.full
        self.grant = bound.grant
        self.partition = partition
        self.mirror = mirror
        #: Stanzas that came from the client.
        self.n = 0
        #: Stream management (XEP-0198), None while it is not enabled.
        self.manager: Manager | None = None

    def frontier(self) -> int:
        """The highest inbound number with nothing un-handled at or below it."""
        raise NotImplementedError

    def acknowledge(self) -> None:
        """Report soon what the client has."""
        raise NotImplementedError

    def forget_marks(self) -> None:
        """The client itself will say what it has."""
        raise NotImplementedError

    def deliver(
        self, grant: int, n: int, origin_stream: bytes, origin_n: int, stanza: Stanza, to: str | None
    ) -> Verdict:
        """Take delivery `n` and queue it for the client."""
        raise NotImplementedError


class Manager:
    """A managed session's machine in its session. `waiting` holds deliveries back while `<enabled/>` is under way."""

    __slots__ = (
        "_again_until", "_answered", "_before", "machine", "requests", "session", "sessions", "until", "waiting",
    )  # fmt: skip

    def __init__(self, sessions: Surroundings, session: Managed, machine: StreamManagement) -> None:
        self.sessions = sessions
        self.session = session
        self.machine = machine
        self.waiting: list[Delivery] | None = None
        #: While its socket is gone and its router has no second copy: until when it is kept (0.0: otherwise).
        self.until = 0.0
        #: Open requests of a stream whose socket is gone.
        self.requests: tuple[tuple[str, str, int], ...] = ()
        #: Requests that were answered and whose numbers the router has not recorded yet, (id, `to`); None for none.
        self._answered: dict[tuple[str, str], int] | None = None
        #: Those that were answered before the stream went on here, or soon after, and may be sent again; None once none is left.
        self._before: set[tuple[str, str]] | None = None
        #: Until when such requests are noted.
        self._again_until = 0.0

    @property
    def resumable(self) -> bool:
        """Whether the stream can go on without this socket."""
        return bool(self.machine.token)

    # --- the client's elements ---

    def request(self, connection: Line) -> None:
        """`<r/>`: answered at once, and once more when what came before it is recorded."""
        session, machine = self.session, self.machine
        self.moved()
        connection.say(sm.answer(machine.request(session.n)))

    def answer(self, connection: Line, element: Element) -> None:
        """`<a/>`."""
        session, machine = self.session, self.machine
        try:
            h = sm.parse_number(element.get("h"))
        except ValueError:
            connection.fail(StreamError("bad-format", "h is a number from 0 to 4294967295"))
            return
        mirror = session.mirror
        reached = machine.answer(h, mirror.acked, mirror.n, self.sessions.now)
        if reached is None:
            connection.fail(sm.too_high(h, mirror.n - machine.base_out))
        elif mirror.written(reached):
            session.acknowledge()

    # --- deliveries ---

    def sent(self, connection: Line, n: int) -> None:
        """A delivery was written."""
        now = self.sessions.clock()
        if self.machine.sent(n, now) is Look.ASK:
            connection.ask_client()
        elif self.machine.first_unasked:
            connection.wake(now + self.machine.ask_seconds)

    def look(self, connection: Line, heard: float, now: float) -> float:
        """A deadline of the connection; returns the next one."""
        look, following = self.machine.look(self.session.mirror.n, heard, now)
        if look is Look.DEAD:
            connection.abort("timeout")
            return NEVER
        if look is Look.ASK:
            connection.ask_client()
        return following or NEVER

    # --- requests of the client ---

    def answered(self, key: IqKey, n: int) -> None:
        """The client was given the answer to its request `key`, which had the inbound number `n` (0 or less: it came before the stream went on here)."""
        if n <= 0:
            if self.sessions.clock() < self._again_until:
                before = self._before = self._before or set()
                if len(before) < MOST_AGAIN:
                    before.add((key.id, key.to))
        elif n > self.machine.noted and self.machine.token:
            if self._answered is None:
                self._answered = {}
            self._answered[key.id, key.to] = n

    def answered_before(self, requests: Iterable[tuple[str, str]]) -> None:
        """The stream goes on here: these were answered before, and may be sent again; so may those that are answered in a moment."""
        self._again_until = self.sessions.clock() + AGAIN_SECONDS
        self._before = {(id_, to) for id_, to in requests} or None

    def was_answered(self, key: IqKey) -> bool:
        """Whether a request that comes now was answered before: nobody answers it again. Asked once for each."""
        before = self._before
        if before is None or (key.id, key.to) not in before:
            return False
        # (a new request under an old id is asked like any other, too: only its time is not watched)
        before.discard((key.id, key.to))
        if not before:
            self._before = None
        return True

    # --- the frontier ---

    def moved(self) -> None:
        """Something may have been handled: tell the router as soon as it has recorded what it was told before."""
        session, machine = self.session, self.machine
        frontier = session.frontier()
        if not machine.moved(frontier, self.sessions.clock()):
            return
        if not machine.token:
            self._tell()
            return
        item = Frontier(session.full, session.grant, frontier, self.open_requests(), session.n)
        self.sessions.post(Kind.ROUTER, session.partition, item)

    def noted(self, n: int) -> None:
        """The router has recorded `n`."""
        if self._answered is not None:
            self._answered = {key: at for key, at in self._answered.items() if at > n} or None
        if self.machine.note(n):
            self._tell()
        self.moved()

    def _tell(self) -> None:
        if self.session.connection is not None:
            self.session.connection.say(sm.answer(self.machine.h))

    def open_requests(self) -> tuple[tuple[str, str, int], ...]:
        """What the client has asked and nobody has answered, with deadlines in Unix milliseconds."""
        if self.session.connection is None:
            return self.requests
        open_ = self.sessions.iqs.of(self.session.sid)
        if not open_:
            return ()
        offset = time.time() - self.sessions.clock()
        return tuple((key.id, key.to, int((deadline + offset) * 1000)) for key, deadline in open_)

    def describe(self) -> messages.Management:
        """For the mirror."""
        machine = self.machine
        return messages.Management(
            machine.token,
            machine.seconds,
            machine.base_in,
            machine.base_out,
            machine.noted,
            self.open_requests(),
            self.session.connection is None,
            (*(self._answered or ()), *(self._before or ())),
        )


def on_element(sessions: Surroundings, session: Managed, connection: Line, element: Element) -> None:
    """An element of stream management from a bound stream."""
    manager = session.manager
    name = element.name
    if name == "enable" and manager is None:
        _enable(sessions, session, connection, element)
    elif manager is not None and name == "r":
        manager.request(connection)
    elif manager is not None and name == "a":
        manager.answer(connection, element)
    elif name in ("enable", "resume", "r", "a"):
        # enabled already; bound already; not enabled (sections 3, 6)
        connection.say(sm.failed("unexpected-request"))
    else:
        connection.fail(StreamError("unsupported-stanza-type"))


def _enable(sessions: Surroundings, session: Managed, connection: Line, element: Element) -> None:
    answer = _prepare(sessions, session, element)
    if answer is not None:
        connection.say(answer)
    else:
        assert session.manager is not None
        connection.ask(partial(_make_resumable, session.manager, connection))


async def enable(
    sessions: Surroundings, session: Managed, element: Element
) -> tuple[Element, Callable[[], None]]:
    """Stream management for a session that has not begun (XEP-0386): the answer, and what to call once it was written.

    Until then deliveries are held back.
    """
    answer = _prepare(sessions, session, element)
    manager = session.manager
    if answer is not None or manager is None:
        return answer or sm.failed("internal-server-error"), _nothing
    answer, ok = await _ask(manager)
    if not ok:
        _unmanage(session)
    return answer, partial(_release, manager)


def _nothing() -> None:
    pass


def _prepare(sessions: Surroundings, session: Managed, element: Element) -> Element | None:
    """Begin to count; the answer, or None when the router has to be asked for it."""
    try:
        resumable = sm.wants_resumption(element)
        seconds = sm.wanted_seconds(element)
    except StanzaError as error:
        return sm.failed(error.condition, text=error.text or "")
    mirror = session.mirror
    # What was delivered before is not counted: it has left, as without stream management.
    if mirror.written(mirror.n):
        session.acknowledge()
    session.forget_marks()
    machine = StreamManagement(sessions.management, session.n, mirror.n)
    manager = session.manager = Manager(sessions, session, machine)
    mirror.managed = True
    if not resumable:
        return sm.enabled(b"", 0)
    machine.token = secrets.token_bytes(TOKEN_BYTES)
    machine.seconds = seconds
    manager.waiting = []
    return None


async def _make_resumable(manager: Manager, connection: Line) -> None:
    """Ask the router; nothing of the stream goes in or out until it has answered."""
    session = manager.session
    reply, ok = await _ask(manager)
    if not connection.reason and session.connection is connection:
        if not ok:
            _unmanage(session)
        connection.say(reply)
        connection.answered()
    _release(manager)


async def _ask(manager: Manager) -> tuple[Element, bool]:
    """Ask the router: `<enabled/>`, or `<failed/>` and False."""
    session, machine = manager.session, manager.machine
    request = Enable(
        session.full, session.grant, machine.token, machine.seconds, machine.base_in, machine.base_out
    )
    try:
        answer = await manager.sessions.bus.call(Kind.ROUTER, session.partition, request)
    except (BusTimeout, StanzaError):
        return sm.failed("internal-server-error"), False
    assert isinstance(answer, Enabled)
    machine.seconds = answer.seconds
    return sm.enabled(machine.token, answer.seconds), True


def _unmanage(session: Managed) -> None:
    session.manager = None
    session.mirror.managed = False


def _release(manager: Manager) -> None:
    waiting = manager.waiting or []
    manager.waiting = None
    for delivery in waiting:
        manager.session.deliver(*delivery)


def take_up(sessions: Surroundings, session: Managed, resumed: Resumed) -> None:
    """A stream that began elsewhere goes on here: its numbers are those that the router has recorded."""
    management = resumed.management
    machine = StreamManagement(
        sessions.management,
        management.base_in,
        management.base_out,
        bytes(management.token),
        management.seconds,
    )
    machine.note(management.frontier)
    session.n = max(management.frontier, management.base_in)
    mirror = session.mirror
    mirror.n = mirror.acked = resumed.n
    mirror.note = resumed.note
    mirror.take_over(resumed.heard)
    mirror.managed = True
    session.manager = Manager(sessions, session, machine)
    session.manager.answered_before(management.answered)
    offset = time.time() - sessions.clock()
    for id_, to, deadline in management.requests:
        sessions.iqs.reopen(IqKey(session.sid, id_, to), deadline / 1000 - offset)
        sessions.watch_iqs(deadline / 1000 - offset)

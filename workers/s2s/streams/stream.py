"""One connection with another server: joins a channel with a parser and a machine, either direction.

What a stream may cost is bounded here: bytes, stanzas and pauses by the shaper of its domain, time until it has authenticated, time that its
socket takes nothing. There is no task for a stream.
"""

from __future__ import annotations

import fcntl
import sys
import termios
from collections import deque
from typing import Final, Protocol

from rookery.shared.config import S2s
from rookery.shared.net.channel import Channel
from rookery.shared.net.timers import NEVER
from rookery.shared.net.transport import CONGESTED, SHAPED
from rookery.shared.xeps import stream_management
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event, StreamClosed, StreamParser
from rookery.shared.xmpp.xml import Element
from rookery.workers.s2s.streams import dialback, initiating, receiving, troubles
from rookery.workers.s2s.streams.api import Trouble
from rookery.workers.s2s.streams.dane import Expected
from rookery.workers.s2s.streams.effects import Effect, Ended, Restart, Send, StartTls
from rookery.workers.s2s.streams.ground import Ground

#: How long the other side's end of the stream is waited for, after ours.
CLOSE_SECONDS: Final = 10.0
#: How long the other side's end is not answered while what it sent is being accepted.
ACCEPT_SECONDS: Final = 5.0
#: Elements of one stream in one turn, before others have theirs: hundreds may come in one read.
TURN: Final = 32

Machine = initiating.Initiating | receiving.Receiving


class Listener(Protocol):
    """Whom a stream belongs to."""

    def on_effect(self, effect: Effect) -> None:
        """What is not the stream's own business."""

    def on_stanza(self, stanza: Stanza) -> None:
        """A stanza of a proved pair."""

    def on_ended(self, trouble: Trouble) -> None:
        """Nothing more can be sent. Comes once."""

    def on_gone(self) -> None:
        """Nothing more will come. Comes once, last."""

    def on_drained(self) -> None:
        """The socket has taken everything."""

    def on_deadline(self, now: float) -> float:
        """Look at the listener's own deadlines; returns the next."""

    def server_name(self) -> str:
        """The name for our side of a TLS handshake."""


class Stream:
    """See the module's text."""

    __slots__ = (
        "_closing", "_deadline", "_ended", "_exempt", "_gone", "_ground", "_later", "_left", "_listener", "_parser", "_shaped", "_shaper", "channel", "expected", "heard", "machine", "wake_slot",
    )  # fmt: skip
    channel: Channel

    def __init__(self, ground: Ground, machine: Machine, listener: Listener) -> None:
        self._ground = ground
        self.machine = machine
        self._listener = listener
        #: What the DNS says of the other side's certificate, where it is trusted with that.
        self.expected: Expected | None = None
        self._parser = StreamParser(ground.before, content_ns=ns.SERVER)
        self._left: deque[Event] = deque()
        self._later: list[Effect] = []
        self._shaper = ground.fresh()
        now = ground.reactor.clock()
        self.heard = now
        settings: S2s = ground.settings
        self._deadline = now + settings.negotiate_seconds
        #: When a pause ends; when the other side's end is not waited for any more.
        self._shaped = NEVER
        self._closing = NEVER
        self._ended = False
        self._exempt = False
        self._gone = False
        self.wake_slot = 0

    def begin(self, channel: Channel) -> None:
        """The connection is there."""
        self.channel = channel
        host = _host(channel)
        self._exempt = host in self._ground.exempt
        if isinstance(self.machine, receiving.Receiving):
            self._shaper = self._ground.host(host)
        self.wake(self._deadline)

    # --- bytes in ---

    def on_data(self, data: bytes) -> None:
        """Bytes of the other side."""
        if self._gone:
            return
        now = self.heard = self._ground.reactor.now
        self._shape(self._shaper.take(len(data), 0, now), now)
        events = self._parser.feed(data)
        if events:
            self._left.extend(events)
            self._work()

    def on_again(self) -> None:
        """Go on with what an earlier turn left."""
        if self._later:
            later, self._later = self._later, []
            self.apply(later)
        self._work()

    def later(self, effects: list[Effect]) -> None:
        """Do it in the next turn: whoever asks is not called back from within."""
        self._later += effects
        self.channel.again()

    def _work(self) -> None:
        left, machine = self._left, self.machine
        stanzas, most = 0, TURN
        while left and not self._gone:
            if self.channel.held & CONGESTED:
                break
            if not most:
                self.channel.again()
                break
            most -= 1
            event = left.popleft()
            if event.__class__ is Stanza and len(machine.pairs):
                stanzas += 1
                self._stanza(event)
            elif event.__class__ is StreamClosed and self._unaccepted():
                left.appendleft(event)
                break
            else:
                # (questions of dialback cost as much as stanzas, and need no proof)
                stanzas += not len(machine.pairs) or (isinstance(event, Element) and event.ns == dialback.NS)
                self._other(event)
        if stanzas:
            now = self._ground.reactor.now
            self._shape(self._shaper.take(0, stanzas, now), now)

    def _stanza(self, stanza: Stanza) -> None:
        machine = self.machine
        try:
            admitted = machine.pairs.admit(stanza)
        except StreamError as error:
            self.apply(machine.fail(error))
            self._finish(troubles.ours(error))
            return
        machine.inbound.received += 1
        self._listener.on_stanza(admitted)

    def _unaccepted(self) -> bool:
        """Whether the other side's end has to wait: it will hear that we have what it sent."""
        inbound = self.machine.inbound
        if not inbound.on or inbound.handled >= inbound.received or not self.channel.open:
            return False
        now = self._ground.reactor.clock()
        if self._closing == NEVER:
            self._closing = now + ACCEPT_SECONDS
            self.wake(self._closing)
        return now < self._closing

    def _other(self, event: Event) -> None:
        if not self._closed:
            self.apply(self.machine.handle(event))
        elif isinstance(event, StreamClosed | StreamError):
            self._finish(troubles.CLOSED)
        elif isinstance(event, Element) and event.ns == stream_management.NS and event.name == "a":
            # We have ended the stream: what the other side has of it still counts.
            try:
                self.apply(self.machine.out.answered(event))
            except StreamError as error:
                self._finish(troubles.ours(error))

    @property
    def _closed(self) -> bool:
        return self.machine.phase.name == "CLOSED"

    # --- effects ---

    def apply(self, effects: list[Effect]) -> None:
        """Do what the machine wants."""
        for effect in effects:
            if isinstance(effect, Send):
                self.channel.write(effect.data)
            elif isinstance(effect, StartTls):
                self._renew()
                self._start_tls()
            elif isinstance(effect, Restart):
                self._renew()
            elif isinstance(effect, Ended):
                self._finish(effect.trouble)
            else:
                self._listener.on_effect(effect)

    def _renew(self) -> None:
        """A new document: what came before belongs to the old one."""
        self._parser.close()
        self._parser = StreamParser(self._ground.before, content_ns=ns.SERVER)
        self._left.clear()

    def _start_tls(self) -> None:
        machine = self.machine
        if isinstance(machine, initiating.Initiating):
            self.offer_tls(direct=False)
        elif not self.channel.secure(machine.local):
            self._finish(troubles.lost("tls"))
            self.channel.abort("tls")

    def offer_tls(self, *, direct: bool) -> None:
        """Begin our side of the handshake as client."""
        machine = self.machine
        assert isinstance(machine, initiating.Initiating)
        context = self._ground.tls.offer(machine.terms.pair.sender, direct=direct)
        self.channel.offer_tls(context, self._listener.server_name())

    def on_secure(self, binding: bytes | None) -> None:
        """The handshake is done."""
        self.apply(self.machine.secured(self._ground.tls.proof(self.channel.sock, self.expected)))

    def proved(self, remote: str) -> None:
        """The stream is authenticated: its limits are those of its domain."""
        self._deadline = NEVER
        self._parser.limits = self._ground.after
        self._shaper = self._ground.shaper(remote)

    # --- reading or not ---

    def _shape(self, pause: float, now: float) -> None:
        if pause <= 0.0 or self._exempt:
            return
        until = now + pause
        if self._shaped == NEVER or until > self._shaped:
            self._shaped = until
        self.channel.hold(SHAPED)
        self.wake(self._shaped)

    def hold(self) -> None:
        """Whoever takes the stanzas has no room."""
        self.channel.hold(CONGESTED)

    def release(self) -> None:
        """There is room again."""
        if self.channel.held & CONGESTED and self.channel.open:
            self.channel.release(CONGESTED)
            if self._left:
                self.channel.again()

    def look(self) -> None:
        """Something that an event waited for may have come."""
        if self._left and self.channel.open:
            self.channel.again()

    def unsent(self) -> int:
        """Bytes that the other side's kernel has not confirmed."""
        if self.channel.waiting:
            return self.channel.waiting
        try:
            answer = fcntl.ioctl(self.channel.fd, termios.TIOCOUTQ, b"\0\0\0\0")
        except OSError:
            return 0
        return int.from_bytes(answer, sys.byteorder)

    # --- the end ---

    def close(self, trouble: Trouble, *, told: bool) -> None:
        """End in order: what the other side still sends is taken. With `told` nobody waits for acknowledgements any more."""
        if self._ended or self._closing != NEVER:
            return
        self.apply(self.machine.close())
        self._closing = self._ground.reactor.clock() + CLOSE_SECONDS
        self.wake(self._closing)
        if told:
            self._end(trouble)

    def _end(self, trouble: Trouble) -> None:
        if not self._ended:
            self._ended = True
            self._listener.on_ended(trouble)

    def _finish(self, trouble: Trouble) -> None:
        """Everything is said."""
        if self._gone:
            return
        self._gone = True
        self._end(trouble)
        self._parser.close()
        self._left.clear()
        self._closing = self._ground.reactor.clock() + CLOSE_SECONDS
        self.wake(self._closing)
        if self.channel.open:
            self.channel.finish()
        self._listener.on_gone()

    def abort(self, trouble: Trouble) -> None:
        """End it now, without a word."""
        self._end(trouble)
        self.channel.abort("closed")

    def on_lost(self, reason: str) -> None:
        """The socket is closed: what has come whole is still taken."""
        if self._gone:
            return
        machine = self.machine
        while self._left and not self._closed:
            event = self._left.popleft()
            if isinstance(event, Stanza) and len(machine.pairs):
                self._stanza(event)
        trouble = troubles.lost(reason)
        if isinstance(machine, initiating.Initiating) and not machine.ready and trouble.kind == "closed":
            # RFC 6120 section 3: a server that closes before it says why may be another service.
            trouble = trouble._replace(kind="tls" if machine.phase.name == "HANDSHAKE" else "stream")
        self._gone = True
        self._end(trouble)
        self._parser.close()
        self._listener.on_gone()

    def on_progress(self, drained: bool) -> None:
        """The socket took bytes."""
        if drained:
            self._listener.on_drained()
        else:
            self.wake(self.channel.since + self._ground.limits.outbox_seconds)

    # --- time ---

    def wake(self, at: float) -> None:
        """Look at the deadlines at `at`."""
        self._ground.reactor.at(self, at)

    def on_timer(self, now: float) -> float:
        """All deadlines of the stream."""
        channel = self.channel
        if not channel.open:
            return NEVER
        if now >= self._closing:
            if self._left and not self._gone:
                self._closing = now + CLOSE_SECONDS
                self.look()
                return self._closing
            channel.abort("timeout")
            return NEVER
        if now >= self._deadline and not self._gone:
            self._deadline = NEVER
            self._late()
            return self._closing
        following = min(self._deadline, self._closing)
        if channel.since:
            stalled = channel.since + self._ground.limits.outbox_seconds
            if now >= stalled:
                channel.abort("slow")
                return NEVER
            following = min(following, stalled)
        if now >= self._shaped:
            self._shaped = NEVER
            channel.release(SHAPED)
        following = min(following, self._shaped)
        return following if self._gone else min(following, self._listener.on_deadline(now))

    def _late(self) -> None:
        """It has not authenticated in time."""
        if self.machine.phase.name == "HANDSHAKE":
            self._end(Trouble("remote-server-timeout", "the TLS handshake takes too long", False, "tls"))
            self.channel.abort("timeout")
            return
        self._end(troubles.SILENT)
        self.apply(self.machine.fail(StreamError("connection-timeout")))


def _host(channel: Channel) -> str:
    try:
        return str(channel.sock.getpeername()[0])
    except OSError:
        return ""

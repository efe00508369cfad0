"""One connection of a component (XEP-0114 section 3): header, handshake, stanzas of its domain, the end."""

from __future__ import annotations

import fcntl
import sys
import termios
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rookery.shared.bucket import Bucket
from rookery.shared.bus.messages import ToComponent
from rookery.shared.config import Component, Limits
from rookery.shared.net.channel import Channel
from rookery.shared.net.reactor import Reactor
from rookery.shared.net.timers import NEVER
from rookery.shared.net.transport import ASKING, CONGESTED, SHAPED
from rookery.shared.xeps import ping
from rookery.shared.xmpp import header, ns
from rookery.shared.xmpp.errors import JidError, StreamError
from rookery.shared.xmpp.events import Event, StreamClosed, StreamLimits, StreamOpened
from rookery.shared.xmpp.jid import Jid, prepare_domain
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import StreamParser
from rookery.shared.xmpp.xml import Element, escape_attr
from rookery.workers.component.acknowledging import Acknowledging
from rookery.workers.s2s.incoming import Inlet

#: How long the other side's end of the stream is waited for, after ours.
CLOSE_SECONDS: Final = 5.0
_ANSWERS: Final = frozenset({"result", "error"})


class Phase(Enum):
    """Where a connection is in its life."""

    HEADER = 0
    HANDSHAKE = 1
    CHECKING = 2
    OPEN = 3
    ENDED = 4


@dataclass(slots=True)
class Ground:
    """What all connections of components of one process share, and what they tell it.

    `hosted`: is it the domain of a component. `speaker`: from whom a component of this domain is pinged.

    `check(connection, domain, id, proof)` looks at a proof and calls `connection.checked`. `entered` has proved itself, and returns who takes its
    stanzas; `left` is over. `acked(connection, link, n)`: the component has so much of a link. `mute`: it answers no pings.
    """

    reactor: Reactor
    settings: Component
    limits: Limits
    before: StreamLimits
    after: StreamLimits
    token: Callable[[], str]
    hosted: Callable[[str], bool]
    speaker: Callable[[str], str]
    check: Callable[[Connection, str, str, str], None]
    entered: Callable[[Connection], Inlet]
    left: Callable[[Connection, str], None]
    acked: Callable[[Connection, tuple[str, int], int], None]
    mute: Callable[[Connection], None]


class Connection:
    """The peer of a channel. `number` tells it from all others of this process, ever."""

    __slots__ = (
        "_acks", "_bytes", "_deadline", "_ground", "_id", "_inlet", "_left", "_marking", "_parser", "_shaped", "_stanzas", "_told_mute", "channel", "domain", "host", "number", "phase",
        "wake_slot",
    )  # fmt: skip
    channel: Channel

    def __init__(self, ground: Ground, host: str) -> None:
        self._ground = ground
        settings = ground.settings
        now = ground.reactor.clock()
        self.host = host
        self.domain = ""
        self.number = 0
        self.phase = Phase.HEADER
        self.wake_slot = 0
        self._id = ground.token()
        self._parser = StreamParser(ground.before, content_ns=ns.COMPONENT)
        self._left: deque[Event] = deque()
        self._inlet: Inlet | None = None
        self._acks = Acknowledging(settings.answer_seconds)
        self._told_mute = False
        self._marking = False
        self._bytes = Bucket(settings.bytes_per_second, settings.bytes_burst, now)
        self._stanzas = Bucket(settings.stanzas_per_second, settings.stanzas_burst, now)
        self._deadline = now + settings.handshake_seconds
        self._shaped = NEVER

    def begin(self, channel: Channel) -> None:
        """The socket is there."""
        self.channel = channel
        self._wake(self._deadline)

    # --- bytes in ---

    def on_data(self, data: bytes) -> None:
        """Bytes of the component."""
        if self.phase is Phase.ENDED:
            return
        now = self._ground.reactor.now
        self._shape(self._bytes.take(len(data), now), now)
        self._left.extend(self._parser.feed(data))
        self._work()

    def on_again(self) -> None:
        """Go on with what waited; ask how far the component is."""
        if self._marking:
            self._marking = False
            self._ping()
        self._work()

    def _work(self) -> None:
        stanzas = 0
        while self._left and self.phase is not Phase.ENDED and not self.channel.held & (CONGESTED | ASKING):
            event = self._left.popleft()
            try:
                if self.phase is Phase.OPEN and isinstance(event, Stanza):
                    stanzas += 1
                    self._stanza(event)
                else:
                    self._other(event)
            except StreamError as error:
                self.fail(error)
        if stanzas:
            now = self._ground.reactor.now
            self._shape(self._stanzas.take(stanzas, now), now)

    def _other(self, event: Event) -> None:
        if isinstance(event, StreamError):
            raise event
        if isinstance(event, StreamClosed):
            self._close(header.CLOSE, "closed")
        elif self.phase is Phase.HEADER and isinstance(event, StreamOpened):
            self._opened(event)
        elif self.phase is Phase.HANDSHAKE:
            # (the parser gives what is in the stream's own namespace as jabber:client)
            if not isinstance(event, Element) or event.ns != ns.CLIENT or event.name != "handshake":
                raise StreamError("not-authorized", "the handshake comes first (XEP-0114 section 3)")
            self.phase = Phase.CHECKING
            self.channel.hold(ASKING)
            self._ground.check(self, self.domain, self._id, event.text)
        else:
            raise StreamError("unsupported-stanza-type")

    def _opened(self, opened: StreamOpened) -> None:
        try:
            self.domain = prepare_domain(opened.to) if opened.to else ""
        except JidError:
            pass
        self._say_hello()
        if opened.content_ns != ns.COMPONENT:
            raise StreamError("invalid-namespace", f"a component's stream declares {ns.COMPONENT}")
        if not self.domain or not self._ground.hosted(self.domain):
            raise StreamError("host-unknown", "there is no component of this name: see `rookery component`")
        self.phase = Phase.HANDSHAKE

    def _say_hello(self) -> None:
        self.channel.write(
            header.stream_header(from_=self.domain, id=self._id, version="", lang="", content_ns=ns.COMPONENT)
        )

    def checked(self, refusal: StreamError | None) -> None:
        """The proof was looked at."""
        if self.phase is not Phase.CHECKING:
            return
        if refusal is not None:
            self.fail(refusal)
            return
        self.phase = Phase.OPEN
        self._deadline = NEVER
        self._parser.limits = self._ground.after
        self.channel.write(b"<handshake/>")
        self._inlet = self._ground.entered(self)
        self.channel.release(ASKING)
        self.channel.again()

    def _stanza(self, stanza: Stanza) -> None:
        assert self._inlet is not None
        to, from_ = stanza.to, stanza.from_
        try:
            sender = Jid.parse(from_) if from_ else None
        except JidError:
            sender = None
        if sender is None or sender.domain != self.domain:
            raise StreamError("invalid-from", f"a stanza of this component comes from {self.domain}")
        try:
            target = Jid.parse(to)
        except JidError:
            raise StreamError("improper-addressing", "a stanza of a component has a valid to") from None
        if stanza.kind == "iq" and stanza.type in _ANSWERS and not sender.local:
            grown = self._acks.answered(stanza.id)
            if grown is not None:
                self._progress(grown)
                return
        if target.full != to or sender.full != from_:
            stanza = stanza.replace(to=target.full, from_=sender.full)
        self._inlet.take(stanza)

    # --- what it is sent ---

    def deliver(self, item: ToComponent) -> bool:
        """Write a stanza. False when one before it is missing, or when it is not open."""
        if self.phase is not Phase.OPEN or not self._acks.take(
            (item.holder, item.link), item.n, self._ground.reactor.clock()
        ):
            return False
        self.channel.write(item.stanza.encode())
        if self.channel.since and self.channel.waiting > self._ground.settings.outbox_bytes:
            self.channel.abort("slow")
            return True
        if not self._marking:
            self._marking = True
            self.channel.again()
        return True

    def _ping(self) -> None:
        if self.phase is not Phase.OPEN:
            return
        now = self._ground.reactor.clock()
        id = self._acks.ping(now)
        if id:
            self.channel.write(
                f"<iq type='get' id='{id}' from='{escape_attr(self._ground.speaker(self.domain))}'"
                f" to='{escape_attr(self.domain)}'><ping xmlns='{ping.NS}'/></iq>".encode()
            )
        self._wake(self._acks.due(now))

    def _progress(self, grown: bool) -> None:
        if grown:
            self._ground.acked(self, self._acks.link, self._acks.acked)
        self._ping()

    def _confirmed(self) -> bool:
        """Whether the component's kernel has everything."""
        if self.channel.waiting:
            return False
        try:
            answer = fcntl.ioctl(self.channel.fd, termios.TIOCOUTQ, b"\0\0\0\0")
        except OSError:
            return False
        return not int.from_bytes(answer, sys.byteorder)

    # --- reading or not (`incoming.Source`) ---

    @property
    def remotes(self) -> tuple[str, ...]:
        """The domain that has proved itself."""
        return (self.domain,)

    def hold(self) -> None:
        """The cluster has no room."""
        self.channel.hold(CONGESTED)

    def release(self) -> None:
        """There is room again."""
        if self.channel.open:
            self.channel.release(CONGESTED)
            self.channel.again()

    def handled(self, n: int) -> None:
        """XEP-0114 does not tell a component what was accepted."""

    def _shape(self, pause: float, now: float) -> None:
        if pause > 0.0:
            until = now + pause
            self._shaped = until if self._shaped == NEVER else max(self._shaped, until)
            self.channel.hold(SHAPED)
            self._wake(self._shaped)

    # --- the end ---

    def fail(self, error: StreamError) -> None:
        """End with a stream error (RFC 6120 section 4.9)."""
        if self.phase is Phase.ENDED:
            return
        if self.phase is Phase.HEADER:
            self._say_hello()
        self._close(header.stream_error(error) + header.CLOSE, error.condition)

    def _close(self, last: bytes, reason: str) -> None:
        if not self.channel.open:
            self._end(reason)
            return
        self.channel.write(last)
        self._end(reason)
        self._wake(self._ground.reactor.clock() + CLOSE_SECONDS)
        self.channel.finish()

    def _end(self, reason: str) -> None:
        if self.phase is Phase.ENDED:
            return
        self.phase = Phase.ENDED
        self._left.clear()
        self._parser.close()
        self._ground.left(self, reason)
        if self._inlet is not None:
            self._inlet.closed()

    def on_lost(self, reason: str) -> None:
        """The socket is closed: what has come whole is still taken."""
        self.channel.held &= ~CONGESTED
        self._work()
        self._end(reason)

    def on_secure(self, binding: bytes | None) -> None:
        """TLS is there; the stream begins."""

    def on_progress(self, drained: bool) -> None:
        """The socket took bytes."""
        if not drained:
            self._wake(self.channel.since + self._ground.limits.outbox_seconds)

    # --- time ---

    def _wake(self, at: float) -> None:
        if at < NEVER:
            self._ground.reactor.at(self, at)

    def on_timer(self, now: float) -> float:
        """All deadlines of the connection."""
        channel = self.channel
        if not channel.open:
            return NEVER
        if self.phase is Phase.ENDED:
            channel.abort("timeout")
            return NEVER
        if now >= self._deadline:
            self.fail(StreamError("connection-timeout", "no handshake came in time"))
            return now + CLOSE_SECONDS
        following = self._deadline
        if channel.since:
            stalled = channel.since + self._ground.limits.outbox_seconds
            if now >= stalled:
                channel.abort("slow")
                return NEVER
            following = min(following, stalled)
        if now >= self._shaped:
            self._shaped = NEVER
            channel.release(SHAPED)
            channel.again()
        following = min(following, self._shaped)
        if self.phase is Phase.OPEN:
            if now >= self._acks.due(now):
                self._look(now)
            following = min(following, self._acks.due(now))
        return following

    def _look(self, now: float) -> None:
        self._progress(self._acks.look(now, confirmed=self._confirmed()))
        if self._acks.mute and not self._told_mute:
            self._told_mute = True
            self._ground.mute(self)

"""A link to a remote domain: found, connected, authenticated, then stanzas and their acknowledgements. Implements `api.Link`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from rookery.shared.config import S2s
from rookery.shared.net.channel import Channel
from rookery.shared.net.timers import NEVER
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.streams import numbers, troubles
from rookery.workers.s2s.streams.api import Owner, Taker, Trouble
from rookery.workers.s2s.streams.dialback import Pair
from rookery.workers.s2s.streams.effects import Acked, Effect, Mark, Opened, Paired
from rookery.workers.s2s.streams.finding import NotFoundError
from rookery.workers.s2s.streams.ground import Ground
from rookery.workers.s2s.streams.initiating import Initiating, Terms
from rookery.workers.s2s.streams.management import Mode
from rookery.workers.s2s.streams.marks import Marks
from rookery.workers.s2s.streams.names import ascii_name
from rookery.workers.s2s.streams.reaching import Way, connect, ways
from rookery.workers.s2s.streams.source import Inlet
from rookery.workers.s2s.streams.stream import Stream

#: With these the next server of the domain may fare better.
_TRY_NEXT: Final = frozenset(
    {"refused", "unreachable", "timeout", "tls", "untrusted", "stream", "closed", "shutdown", "limit"}
)
_NO_WAY: Final = Trouble("remote-server-not-found", "it has no server", True, "dns-none")
#: Seconds between looks whether the other side's kernel has confirmed all.
_LOOK_SECONDS: Final = 0.5


class OutgoingLink:
    """See the module's text."""

    __slots__ = (
        "_asked_at", "_begun", "_closed", "_closing", "_done", "_ground", "_idle_at", "_inlet", "_marks", "_on_inbound", "_outcome", "_owner", "_stream", "_terms", "number", "remote",
    )  # fmt: skip

    def __init__(
        self, ground: Ground, terms: Terms, owner: Owner, marks: Marks, on_inbound: Callable[[Inlet], Taker]
    ) -> None:
        self._ground = ground
        self._terms = terms
        self._owner = owner
        self._marks = marks
        self._on_inbound = on_inbound
        self._stream: Stream | None = None
        self._inlet: Inlet | None = None
        self.remote = terms.pair.receiver
        self.number = marks.enter(self)
        #: Set when the attempt that is under way has an outcome, which is then in `_outcome`.
        self._done = trio.Event()
        self._outcome: Trouble | None = None
        self._begun = False
        self._closed = False
        self._closing = False
        self._asked_at = 0.0
        self._idle_at = 0.0

    # --- reaching ---

    async def reach(self) -> None:
        """Try the servers of the domain one after another, within the time for all."""
        trouble = troubles.SILENT
        settings: S2s = self._ground.settings
        with trio.move_on_after(settings.dns_seconds + settings.connect_seconds + settings.negotiate_seconds):
            trouble = await self._ways()
        if not self._begun:
            self._drop()
            self._close(trouble)

    async def _ways(self) -> Trouble:
        if not self._ground.allowed(self.remote, self._terms.pair.sender):
            return troubles.FORBIDDEN
        trouble = _NO_WAY
        try:
            async for way in ways(self._ground, self.remote):
                if self._closed:
                    break
                trouble = way if isinstance(way, Trouble) else await self._try_all(way)
                if self._begun or trouble.kind not in _TRY_NEXT:
                    break
        except NotFoundError as error:
            return error.trouble
        return trouble

    async def _try_all(self, way: Way) -> Trouble:
        """With what the DNS says of the certificate, or the authorities; where nobody vouches for it perhaps the domain itself does (RFC 7711)."""
        trouble = await self._try(way)
        posh = self._ground.posh
        if posh is None or trouble.kind != "untrusted" or way.expected is not None or self._closed:
            return trouble
        expected = await posh.expected(self.remote)
        return trouble if expected is None else await self._try(way._replace(expected=expected))

    async def _try(self, way: Way) -> Trouble:
        channel = await connect(self._ground, way)
        if isinstance(channel, Trouble):
            return channel
        self._done, self._outcome = trio.Event(), None
        self._start(channel, way)
        await self._done.wait()
        return self._outcome or troubles.IDLE

    def _start(self, channel: Channel, way: Way) -> None:
        direct = way.tls
        machine = Initiating(self._terms, direct=direct)
        self._stream = stream = Stream(self._ground, machine, self)
        stream.expected = way.expected
        channel.peer = stream
        stream.begin(channel)
        # (before the handshake, which may be done at once: its end begins the stream)
        stream.apply(machine.begin())
        if direct:
            stream.offer_tls(direct=True)

    def server_name(self) -> str:
        """The name in the SNI is that of the domain (XEP-0368 section 4)."""
        try:
            return ascii_name(self.remote)
        except ValueError:
            return ""

    def _drop(self) -> None:
        if self._stream is not None and not self._begun:
            self._stream.abort(troubles.SILENT)

    # --- Link ---

    @property
    def open(self) -> bool:
        """Whether stanzas may be sent."""
        return self._begun and not self._closed and not self._closing

    @property
    def managed(self) -> bool:
        """Whether the other side acknowledges by XEP-0198."""
        return self._stream is not None and self._stream.machine.out.mode is not Mode.OFF

    @property
    def waiting(self) -> int:
        """Bytes that the socket has not taken."""
        return 0 if self._stream is None else self._stream.channel.waiting

    @property
    def unconfirmed(self) -> int:
        """Bytes that the other side's kernel has not confirmed."""
        return 0 if self._stream is None else self._stream.unsent()

    @property
    def proved(self) -> list[tuple[str, str]]:
        """Pairs (remote, local) that this stream serves, in one direction or both."""
        machine = None if self._stream is None else self._stream.machine
        if not isinstance(machine, Initiating):
            return []
        return [(pair.receiver, pair.sender) for pair in machine.proved]

    def authenticate(self, local: str) -> None:
        """Prove one more hosted domain; the owner hears `on_pair`."""
        stream = self._stream
        if self.open and stream is not None:
            if not self._ground.allowed(self.remote, local):
                stream.later([Paired(Pair(local, self.remote), troubles.FORBIDDEN)])
                return
            machine = stream.machine
            assert isinstance(machine, Initiating)
            stream.later(machine.authenticate(local))
            stream.heard = self._ground.reactor.clock()

    def send(self, stanza: Stanza, n: int = 0) -> None:
        """Write a stanza; after the link has closed it is dropped, as its owner knows."""
        stream = self._stream
        if not self.open or stream is None:
            return
        machine = stream.machine
        machine.out.sent += 1
        data = stanza.encode()
        stream.channel.write(numbers.before(n) + data if n and machine.numbered else data)
        if stream.channel.since and stream.channel.waiting > self._ground.settings.outbox_bytes:
            stream.channel.abort("slow")

    def mark(self) -> None:
        """Ask how far the other side is."""
        stream = self._stream
        if not self.open or stream is None:
            return
        stream.apply(stream.machine.out.mark())
        if not self._asked_at:
            self._asked_at = self._ground.reactor.clock()
            stream.wake(self._asked_at + self._ground.settings.answer_seconds)

    def close(self) -> None:
        """End the stream in order; acknowledgements that still come are told, then `on_closed`."""
        if self._closed:
            return
        if self._begun and self._stream is not None:
            self._closing = True
            self._stream.close(troubles.SHUTDOWN, told=False)
            return
        self._drop()
        self._close(troubles.SHUTDOWN)

    def answered(self, count: int) -> None:
        """The answer to a ping has come, on whatever stream."""
        if self._stream is not None and not self._closed:
            self._stream.apply(self._stream.machine.out.reached(count))

    # --- Listener ---

    def on_effect(self, effect: Effect) -> None:
        """What the machine says."""
        stream = self._stream
        assert stream is not None
        if isinstance(effect, Opened):
            self._open(stream)
        elif isinstance(effect, Paired):
            self._owner.on_pair(effect.pair.sender, effect.trouble)
        elif isinstance(effect, Acked):
            out = stream.machine.out
            self._asked_at = 0.0 if effect.upto >= out.sent else self._ground.reactor.clock()
            self._owner.on_acked(self, effect.upto)
        elif isinstance(effect, Mark):
            ping = self._marks.ping(self.number, stream.machine.out.sent, self._terms.pair)
            stream.channel.write(ping)

    def _open(self, stream: Stream) -> None:
        self._begun = True
        self._done.set()
        stream.proved(self.remote)
        stream.wake(stream.heard + self._ground.settings.idle_seconds)
        machine = stream.machine
        if isinstance(machine, Initiating) and machine.bidi:
            self._inlet = Inlet(stream)
            self._inlet.taker = self._on_inbound(self._inlet)
        self._owner.on_open(self)

    def on_stanza(self, stanza: Stanza) -> None:
        """The other side uses the stream in its direction, too (XEP-0288)."""
        inlet = self._inlet
        if inlet is None:
            return
        if self._marks.heard(stanza):
            inlet.skip()
        else:
            inlet.take(stanza)

    def on_ended(self, trouble: Trouble) -> None:
        """Nothing more can be sent."""
        if self._begun:
            self._close(trouble)
        else:
            self._outcome = trouble
            self._done.set()

    def on_gone(self) -> None:
        """Nothing more will come."""
        if self._inlet is not None:
            self._inlet.closed()

    def on_drained(self) -> None:
        """The socket has taken everything."""
        if self.open:
            self._owner.on_drained(self)

    def _close(self, trouble: Trouble) -> None:
        if self._closed:
            return
        self._closed = True
        self._marks.leave(self.number)
        self._owner.on_closed(self, trouble)

    # --- time ---

    def on_deadline(self, now: float) -> float:
        """Whether the other side still answers; whether anybody uses the stream."""
        stream = self._stream
        if stream is None or not self.open:
            return NEVER
        settings = self._ground.settings
        following = NEVER
        if self._asked_at:
            following = self._asked_at + settings.answer_seconds
            if now >= following:
                return self._unanswered(stream, now)
        out = stream.machine.out
        used = max(stream.heard, self._idle_at)
        if out.acked < out.sent or stream.channel.waiting:
            # Its owner asks and is answered before anybody may call it idle.
            return min(following, now + settings.idle_seconds)
        if now >= used + settings.idle_seconds:
            self._closing = True
            stream.close(troubles.IDLE, told=True)
            return NEVER
        return min(following, used + settings.idle_seconds)

    def _unanswered(self, stream: Stream, now: float) -> float:
        """The stream ends; what was sent on it is not acknowledged. A server without XEP-0198 whose kernel took everything may have no
        way back to us, or not answer pings: its owner is told apart. What is on its way just now is waited for a little.
        """
        if self.managed:
            stream.abort(troubles.SILENT)
        elif not stream.unsent():
            stream.abort(troubles.UNANSWERED)
        elif now < self._asked_at + 2 * self._ground.settings.answer_seconds:
            return now + _LOOK_SECONDS
        else:
            stream.abort(troubles.SILENT)
        return NEVER

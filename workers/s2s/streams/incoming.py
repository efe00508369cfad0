"""Where other servers come in: accepted sockets are counted, limited and given to a stream of their own."""

from __future__ import annotations

import socket
from collections.abc import Callable

import structlog

from rookery.shared.config import S2s
from rookery.shared.net.channel import Channel
from rookery.shared.net.limits import Doorkeeper
from rookery.shared.net.reactor import close_quietly
from rookery.shared.net.stages import Alpn
from rookery.shared.net.timers import NEVER
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.streams.api import Taker, Trouble
from rookery.workers.s2s.streams.dialback import Key
from rookery.workers.s2s.streams.effects import Effect, Paired, Verify, Vouch
from rookery.workers.s2s.streams.ground import Ground
from rookery.workers.s2s.streams.marks import Marks
from rookery.workers.s2s.streams.receiving import Receiving, Terms
from rookery.workers.s2s.streams.source import Inlet
from rookery.workers.s2s.streams.stream import Stream
from rookery.workers.s2s.streams.trust import ALPN

_log = structlog.get_logger()
#: Asks the authoritative server about a key that a host showed; the answer (None: it could not be asked) comes later.
Ask = Callable[[Key, str, Callable[[bool | None], None]], None]
#: Asks a domain about the certificate that a host has shown on a stream; the answer comes later.
AskDomain = Callable[[str, str, Stream, Callable[[bool], None]], None]


class IncomingStream:
    """One stream that another server has opened. The listener of a `Stream`."""

    __slots__ = ("_door", "_inlet", "host", "stream")
    stream: Stream

    def __init__(self, door: Door, host: str) -> None:
        self._door = door
        self.host = host
        self._inlet: Inlet | None = None

    @property
    def machine(self) -> Receiving:
        """What the other side may do."""
        machine = self.stream.machine
        assert isinstance(machine, Receiving)
        return machine

    def on_effect(self, effect: Effect) -> None:
        """A domain has proved itself, or wants to."""
        if isinstance(effect, Paired):
            remote = effect.pair.sender
            _log.info("s2s_in", remote=remote, local=effect.pair.receiver, host=self.host)
            self.stream.proved(self.machine.remote or remote)
            self.stream.wake(self._idle_at())
            if self._inlet is None:
                self._inlet = Inlet(self.stream)
                self._inlet.taker = self._door.on_inbound(self._inlet)
        elif isinstance(effect, Verify):
            key = effect.key
            self._door.ask(key, self.host, lambda valid: self.stream.apply(self.machine.verified(key, valid)))
        elif isinstance(effect, Vouch):
            domain = effect.domain
            self._door.vouch(
                domain,
                self.host,
                self.stream,
                lambda good: self.stream.apply(self.machine.vouched(domain, good)),
            )

    def on_stanza(self, stanza: Stanza) -> None:
        """Nobody but us needs the answer to a ping of ours."""
        assert self._inlet is not None
        if self._door.marks.heard(stanza):
            self._inlet.skip()
        else:
            self._inlet.take(stanza)

    def on_ended(self, trouble: Trouble) -> None:
        """We send nothing on it."""
        if trouble.kind not in ("closed", "idle", "shutdown"):
            _log.info("s2s_in_ended", remote=self.machine.remote, host=self.host, reason=trouble.text)

    def on_gone(self) -> None:
        """Nothing more will come."""
        self._door.left(self)
        if self._inlet is not None:
            self._inlet.closed()

    def on_drained(self) -> None:
        """Nothing waits for that."""

    def _idle_at(self) -> float:
        # Whoever opened a stream closes it first: both at once would lose what is on the way.
        return self.stream.heard + 2 * self._door.ground.settings.idle_seconds

    def on_deadline(self, now: float) -> float:
        """Whether anybody uses the stream."""
        if self._inlet is None:
            return NEVER
        if now < self._idle_at():
            return self._idle_at()
        inbound = self.machine.inbound
        if inbound.handled < inbound.received:
            return now + self._door.ground.settings.idle_seconds
        self.stream.close(Trouble(text="nobody used it", kind="idle"), told=True)
        return NEVER

    def server_name(self) -> str:
        """We are the server."""
        return ""


class Door:
    """Accepts other servers on both ports; knows all their streams."""

    def __init__(self, ground: Ground, ask: Ask, vouch: AskDomain, marks: Marks) -> None:
        settings: S2s = ground.settings
        self.ground = ground
        self.ask = ask
        self.vouch = vouch
        self.marks = marks
        self.on_inbound: Callable[[Inlet], Taker] = _nobody
        self.streams: set[IncomingStream] = set()
        self._terms = Terms(
            hosted=ground.hosted,
            allowed=ground.allowed,
            believes=lambda remote: remote in ground.dialback,
            secrets=ground.secrets,
            token=ground.token,
            pairs=settings.pairs_per_stream,
            posh=ground.posh is not None,
        )
        self._keeper = Doorkeeper(
            settings.connections_per_ip,
            settings.connections_per_ip_per_second,
            ground.exempt,
        )
        #: Connections that were closed at once.
        self.refused = 0

    def accept(self, sock: socket.socket, host: str) -> None:
        """A server on the STARTTLS port."""
        self._accept(sock, host, direct=False)

    def accept_direct(self, sock: socket.socket, host: str) -> None:
        """A server on the direct TLS port (XEP-0368)."""
        self._accept(sock, host, direct=True)

    def _accept(self, sock: socket.socket, host: str, *, direct: bool) -> None:
        ground = self.ground
        if not self._keeper.enter(host, ground.reactor.clock()):
            self.refused += 1
            close_quietly(sock)
            return
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass
        incoming = IncomingStream(self, host)
        incoming.stream = stream = Stream(ground, Receiving(self._terms, direct=direct), incoming)
        channel = Channel(ground.reactor, sock, stream, ground.tls)
        self.streams.add(incoming)
        stream.begin(channel)
        if not direct:
            return
        context = ground.tls.direct()
        if context is None:
            channel.abort("tls")
        else:
            channel.begin(Alpn(context, ALPN.encode()))

    def left(self, incoming: IncomingStream) -> None:
        """A stream is over."""
        if incoming in self.streams:
            self.streams.discard(incoming)
            self._keeper.leave(incoming.host)

    def enforce(self) -> None:
        """End the streams of pairs that may not exchange stanzas any more."""
        for incoming in list(self.streams):
            machine = incoming.machine
            if not all(self.ground.allowed(remote, local) for remote, local in machine.pairs):
                error = StreamError(
                    "policy-violation", "these domains do not speak with one another any more"
                )
                incoming.stream.apply(machine.fail(error))

    def close(self) -> None:
        """End all streams: this process stops (RFC 6120 section 4.9.3.23)."""
        for incoming in list(self.streams):
            stream = incoming.stream
            stream.apply(incoming.machine.fail(StreamError("system-shutdown")))


def _nobody(_inlet: Inlet) -> Taker:
    raise AssertionError("streams are accepted before anybody takes what they bring")

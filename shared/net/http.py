"""HTTP/1.1 on a channel: no task for a connection, and the limits, TLS and PROXY headers of every other port.

`Exchange` is the protocol; this file is its shell. A handler answers at once, or later with `HttpConnection.reply`, or switches to
another protocol, which then has the channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, NamedTuple, Protocol

import structlog

from rookery.shared.net.channel import Channel
from rookery.shared.net.reactor import Reactor
from rookery.shared.net.timers import NEVER
from rookery.shared.net.transport import ASKING, UNPARSED
from rookery.shared.observe.exchange import (
    Exchange,
    HttpError,
    HttpLimits,
    Pause,
    Request,
    Response,
    route,
    unknown,
)

_log = structlog.get_logger()
#: How long the last answer may take to be read, and the client to close.
LINGER_SECONDS: Final = 2.0


class Switch(NamedTuple):
    """The answer 101. `begin` gets the channel and what came behind the request; it becomes the channel's peer."""

    headers: list[tuple[str, str]]
    begin: Callable[[Channel, bytes], None]


Answer = Response | Switch
#: Answers a request; None: `HttpConnection.reply` will be called, and nothing more is read until then.
Handler = Callable[[Request, "HttpConnection"], Answer | None]


class Site(Protocol):
    """Who answers the requests of a port."""

    @property
    def limits(self) -> HttpLimits:
        """What a connection may cost."""

    @property
    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler. HEAD is answered by GET's handler."""

    def left(self, client: HttpConnection) -> None:
        """The connection is closed; not told of one that switched to another protocol."""


class _Phase(Enum):
    """What the client has time for."""

    SECURING = "securing"
    IDLE = "idle"
    REQUEST = "request"
    ANSWER = "answer"
    LINGER = "linger"
    OVER = "over"


class HttpConnection:
    """One client of an HTTP port: the peer of its channel. `host` is its address, and changes when a balancer names the client."""

    __slots__ = ("_deadline", "_exchange", "_phase", "_reactor", "_site", "channel", "host", "wake_slot")
    channel: Channel

    def __init__(self, reactor: Reactor, site: Site, host: str, secure_seconds: float) -> None:
        self.host = host
        self.wake_slot = 0
        self._reactor = reactor
        self._site = site
        self._exchange: Exchange | None = None
        self._phase = _Phase.SECURING
        self._deadline = NEVER
        self._until(_Phase.SECURING, secure_seconds)

    def _until(self, phase: _Phase, seconds: float) -> None:
        self._phase = phase
        self._deadline = self._reactor.clock() + seconds
        self._reactor.at(self, self._deadline)

    @property
    def secure(self) -> bool:
        """Whether the client speaks TLS with us."""
        return self.channel.tls

    # --- Peer ---

    def start(self) -> None:
        """What the client says from here on is HTTP."""
        self._exchange = Exchange(self._site.limits, self.host)
        self._until(_Phase.IDLE, self._site.limits.idle_seconds)

    def on_secure(self, binding: bytes | None) -> None:
        """The TLS handshake is done."""
        self.start()

    def on_data(self, data: bytes) -> None:
        """Bytes of requests."""
        exchange = self._exchange
        if exchange is None or self._phase in (_Phase.LINGER, _Phase.OVER):
            return
        exchange.feed(data)
        self._look()
        if self._phase is _Phase.IDLE and exchange.begun:
            # The clock of a request that is not whole runs from its first byte, so a trickle gains nothing.
            self._until(_Phase.REQUEST, self._site.limits.request_seconds)

    def on_again(self) -> None:
        """Another turn for the request that came with the last one."""
        if self._phase in (_Phase.IDLE, _Phase.REQUEST):
            self._look()

    def on_progress(self, drained: bool) -> None:
        """The client has to read its answers."""
        if not drained:
            self._reactor.at(self, self.channel.since + self._site.limits.write_seconds)

    def on_lost(self, reason: str) -> None:
        """The client is gone."""
        if self._phase is not _Phase.OVER:
            self._phase = _Phase.OVER
            self._site.left(self)

    def on_timer(self, now: float) -> float:
        """All deadlines of the connection."""
        channel = self.channel
        if self._phase is _Phase.OVER or not channel.open:
            return NEVER
        if channel.since and now >= channel.since + self._site.limits.write_seconds:
            channel.abort("slow")
            return NEVER
        if now < self._deadline:
            return self._deadline
        if self._phase is _Phase.IDLE:
            self._end(b"")
        elif self._phase is _Phase.REQUEST:
            self._refuse(408)
        elif self._phase is not _Phase.ANSWER:
            channel.abort("timeout")
        return self._deadline if channel.open else NEVER

    # --- requests ---

    def _look(self) -> None:
        """Serve the next request if it is whole; one in a turn, however many a client has sent at once."""
        exchange = self._exchange
        assert exchange is not None
        try:
            found = exchange.next()
            if found is Pause.CONTINUE:
                self.channel.write(exchange.proceed())
        except HttpError as error:
            self._refuse(error.status)
            return
        if isinstance(found, Request):
            self._phase, self._deadline = _Phase.ANSWER, NEVER
            answer = self._answer(found)
            if answer is None:
                self.channel.hold(ASKING)
            else:
                self._give(answer)
        elif found is Pause.CLOSED:
            self._end(b"")
        else:
            self.channel.release(UNPARSED)

    def _answer(self, request: Request) -> Answer | None:
        handler = self._site.routes.get(route(request))
        if handler is None:
            return unknown(request, self._site.routes.keys())
        try:
            return handler(request, self)
        except Exception:
            _log.exception("http_handler_failed", path=request.path)
            return Response(500, b"internal error\n")

    def reply(self, answer: Answer) -> None:
        """The answer that a handler had not at once; it is dropped when the client is gone."""
        if self._phase is _Phase.ANSWER:
            self.channel.release(ASKING)
            self._give(answer)

    def _give(self, answer: Answer) -> None:
        exchange, channel = self._exchange, self.channel
        assert exchange is not None
        if isinstance(answer, Switch):
            self._phase = _Phase.OVER
            channel.write(exchange.switch(answer.headers))
            channel.release(UNPARSED)
            answer.begin(channel, exchange.rest)
            return
        out = exchange.answer(answer)
        if not exchange.again():
            self._end(out)
            return
        channel.write(out)
        # At once: a client that has closed its side still reads, and this turn may yet find that it has.
        channel.flush()
        if not channel.open:
            return
        limits = self._site.limits
        if exchange.begun:
            self._until(_Phase.REQUEST, limits.request_seconds)
            channel.hold(UNPARSED)
            channel.again()
        else:
            self._until(_Phase.IDLE, limits.idle_seconds)
            channel.release(UNPARSED)

    def _refuse(self, status: int) -> None:
        assert self._exchange is not None
        self._end(self._exchange.refuse(status))

    def _end(self, last: bytes) -> None:
        """Say the last words, and wait a moment for the client to close."""
        self._until(_Phase.LINGER, LINGER_SECONDS)
        if last:
            self.channel.write(last)
        self.channel.finish()

"""HTTP/1.1 as a server sees it (RFC 9112), without I/O: requests out of bytes, answers into bytes, a limit on every size.

What requests are made of is in `requests`. Two shells own an `Exchange`: `shared.observe.http` on trio streams (health, metrics) and `shared.net.http` on
channels (what clients reach).
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from email.utils import formatdate
from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import httptools

from rookery.shared.observe.requests import HttpLimits, KnownHeads, Reading, Request, Response, Whole

__all__ = ["Exchange", "HttpError", "HttpLimits", "Pause", "Request", "Response", "route", "unknown"]

#: A method that is none of ours, rather than no HTTP at all.
_METHOD: Final = re.compile(rb"[A-Z]{1,24} ")
#: The first line of an answer, by its status.
_FIRST: Final = {int(one): f"HTTP/1.1 {int(one)} {one.phrase}" for one in HTTPStatus}
#: Heads that this process has read lately, whoever sent them.
_HEADS: Final = KnownHeads()


class Pause(Enum):
    """Why there is no request."""

    #: More bytes are needed.
    NEED_DATA = "need data"
    #: The client waits for `100 Continue`: send `Exchange.proceed`.
    CONTINUE = "continue"
    #: The client has closed, or the connection cannot be used again.
    CLOSED = "closed"


class HttpError(Exception):
    """The client broke the protocol or a limit; `status` is the answer."""

    def __init__(self, status: int) -> None:
        super().__init__(HTTPStatus(status).phrase)
        self.status = status


class Exchange:
    """Requests and answers of one connection, one after the other."""

    def __init__(self, limits: HttpLimits, peer: str = "", *, heads: KnownHeads = _HEADS) -> None:
        self._heads = heads
        self._limits = limits
        self._peer = peer
        self._reading = Reading(limits, peer)
        self._parser: httptools.HttpRequestParser | None = None
        self._served = 0
        #: Bytes of a head that has not ended, without those of a piece that has other requests before it.
        self._waited = 0
        self._ended = False
        #: What is to be answered; None: nothing yet.
        self._current: Whole | None = None
        self._answered = False
        #: What came behind a request that wants another protocol.
        self._rest: bytes | None = None
        #: Whether bytes of the next request have come.
        self.begun = False

    # --- in ---

    def feed(self, data: bytes) -> None:
        """Take what was read; b"" is the end of the stream."""
        if not data:
            self._ended = True
            return
        self.begun = True
        reading = self._reading
        if self._rest is not None:
            self._rest += data
            return
        if reading.status or reading.closing:
            return
        fresh = not reading.open
        # (a piece of a head that waits is counted: what comes behind it is no request of its own)
        alone = fresh and not self._waited and not reading.ready
        if alone:
            request = self._heads.find(data, self._limits, self._peer)
            if request is not None:
                reading.ready.append(Whole(request, True, False))
                return
        self._parse(data, fresh)
        if alone and len(reading.ready) == 1 and not (reading.open or reading.status):
            whole = reading.ready[0]
            if whole.more and not whole.upgrade and self._rest is None:
                self._heads.learn(data, whole.request)

    def _parse(self, data: bytes, fresh: bool) -> None:
        reading = self._reading
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(reading)
        in_head, before = fresh or reading.head, len(reading.ready)
        reading.parser = self._parser
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._rest = data[upgrade.args[0] :]
            self._parser = None
        except httptools.HttpParserInvalidMethodError:
            reading.fail(501 if fresh and _METHOD.match(data) else 400)
        except httptools.HttpParserError:
            if not reading.closing:
                reading.fail(400)
        finally:
            reading.parser = None
        if in_head and reading.open and reading.head and len(reading.ready) == before:
            self._waited += len(data)
        else:
            self._waited = 0
        if self._waited > self._limits.head_bytes:
            reading.fail(431)

    def next(self) -> Request | Pause:
        """The next whole request, or why there is none. Raises HttpError."""
        reading = self._reading
        if reading.ready:
            self._current = reading.ready.popleft()
            return self._current.request
        if reading.status:
            raise HttpError(reading.status)
        if self._ended:
            if reading.open:
                raise HttpError(400)
            return Pause.CLOSED
        return Pause.CONTINUE if reading.expects else Pause.NEED_DATA

    # --- out ---

    def proceed(self) -> bytes:
        """`100 Continue`."""
        self._reading.expects = False
        return _head(HTTPStatus.CONTINUE, ())

    def answer(self, response: Response) -> bytes:
        """The answer to the last request, without a body when it was HEAD. Raises ValueError for a header that would break its line."""
        self._served += 1
        self._answered = True
        current = self._current
        body = response.body
        lines = [f"Date: {_date(int(time.time()))}", *_lines(response.headers)]
        if response.status != HTTPStatus.NO_CONTENT:
            lines += _lines((("Content-Type", response.content_type),))
            lines.append(f"Content-Length: {len(body)}")
        if self._served >= self._limits.requests or current is None or not current.more:
            lines.append("Connection: close")
        head = _head(response.status, lines)
        return head if current is not None and current.request.method == "HEAD" else head + body

    def refuse(self, status: int) -> bytes:
        """The last answer of the connection; nothing when one has begun already."""
        if self._answered:
            return b""
        self._current = None
        return self.answer(Response(status, f"{HTTPStatus(status).phrase.lower()}\n".encode()))

    def again(self) -> bool:
        """Whether another request may follow on this connection; bytes of it may be there already (`begun`)."""
        current = self._current
        self._current = None
        if current is None or not current.more or self._served >= self._limits.requests:
            return False
        self._answered = False
        if current.upgrade and self._rest is not None:
            # It was not given the protocol that it wanted: it goes on in this one.
            self._go_back()
        reading = self._reading
        self.begun = bool(reading.ready or reading.open or reading.status or self._rest)
        return True

    def _go_back(self) -> None:
        rest = self._rest
        self._rest = None
        if rest:
            self.feed(rest)

    def switch(self, headers: list[tuple[str, str]]) -> bytes:
        """`101 Switching Protocols`: after it the connection is no HTTP any more."""
        self._answered = True
        return _head(HTTPStatus.SWITCHING_PROTOCOLS, _lines(headers))

    @property
    def rest(self) -> bytes:
        """What came behind the request that switched protocols."""
        return self._rest or b""


def unknown(request: Request, routes: Collection[tuple[str, str]]) -> Response:
    """The answer to a request that no route of (method, path) takes: 404, or 405 with what the path allows."""
    allowed = sorted({method for method, path in routes if path == request.path})
    if not allowed:
        return Response(404, b"not found\n")
    return Response(405, b"method not allowed\n", headers=(("Allow", ", ".join(allowed)),))


def route(request: Request) -> tuple[str, str]:
    """The route of a request: HEAD is answered by GET's handler."""
    return "GET" if request.method == "HEAD" else request.method, request.path


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _lines(headers: Sequence[tuple[str, str]]) -> list[str]:
    for name, value in headers:
        if "\r" in value or "\n" in value or "\0" in value:
            raise ValueError(f"header {name} has a line break")
    return [f"{name}: {value}" for name, value in headers]


def _head(status: int, lines: Sequence[str]) -> bytes:
    return "\r\n".join((_FIRST[status], *lines, "\r\n")).encode("latin-1")

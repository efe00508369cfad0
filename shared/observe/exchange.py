"""HTTP/1.1 as a server sees it (RFC 9112), without I/O: requests out of bytes, answers into bytes, a limit on every size.

httptools (llhttp) is the parser. Two shells own an `Exchange`: `shared.observe.http` on trio streams (health, metrics) and `shared.net.http` on
channels (what clients reach).
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote

import httptools

#: A method that is none of ours, rather than no HTTP at all.
_METHOD: Final = re.compile(rb"[A-Z]{1,24} ")
#: What no header of an answer may have.
_LINE: Final = frozenset("\r\n\0")


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one connection may cost: sizes in bytes, times in seconds."""

    head_bytes: int = 16_384
    body_bytes: int = 65_536
    #: From the first byte of a request (or the start of the connection) to its end.
    request_seconds: float = 10.0
    idle_seconds: float = 30.0
    write_seconds: float = 30.0
    requests: int = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` is decoded, without the query; header names are lower-case, repeated ones joined with commas.

    `target` is what the client wrote (RFC 9112 section 3.2): whoever cuts a path into segments does that before they are decoded.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    peer: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer; `headers` are added to Date, Content-Type and Content-Length."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Sequence[tuple[str, str]] = field(default=())


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


class _Whole(NamedTuple):
    """A request that came whole; `more`: the connection may go on behind it; `upgrade`: it wants another protocol there."""

    request: Request
    more: bool
    upgrade: bool


class _Reading:
    """What the parser tells of requests. `parser` is there while it is fed: they hold each other no longer than that."""

    __slots__ = (
        "_body", "_headers", "_keep", "_limits", "_peer", "_size", "_url", "_version", "closing", "expects", "head", "open", "parser",
        "ready", "status",
    )  # fmt: skip

    def __init__(self, limits: HttpLimits, peer: str) -> None:
        self._limits = limits
        self._peer = peer
        self.parser: httptools.HttpRequestParser | None = None
        self.ready: deque[_Whole] = deque()
        #: Why nothing more is read; 0 while all is well.
        self.status = 0
        #: Whether a request is under way, and its head; whether its client waits for `100 Continue`.
        self.open = self.head = self.expects = False
        #: Whether the last request was the last of the connection.
        self.closing = False
        self._keep = False
        self._size = 0
        self._url = self._body = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._version = ""

    def fail(self, status: int) -> None:
        """The first fault counts."""
        self.status = self.status or status

    def on_message_begin(self) -> None:
        self.open = self.head = True
        self.expects = False
        self._size = 0
        self._url = self._body = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._measure(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head:  # (what comes behind a body in chunks is nothing to us)
            self._measure(len(name) + len(value))
            self._headers.append((name.lower(), value.strip(b" \t")))

    def _measure(self, more: int) -> None:
        self._size += more
        if self._size > self._limits.head_bytes:
            self.fail(431)

    def on_headers_complete(self) -> None:
        assert self.parser is not None
        self.head = False
        self._version = self.parser.get_http_version()
        self._keep = self._version == "1.1" and self.parser.should_keep_alive()
        fields: dict[bytes, bytes] = {}
        hosts = 0
        for name, value in self._headers:
            fields[name] = value
            hosts += name == b"host"
        if self._version not in ("1.0", "1.1"):
            self.fail(505)
        elif hosts > 1 or (not hosts and self._version == "1.1"):
            self.fail(400)
        elif fields.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            self.fail(501)
        elif int(fields.get(b"content-length", b"0")) > self._limits.body_bytes:
            self.fail(413)
        self.expects = self._version == "1.1" and fields.get(b"expect", b"").lower() == b"100-continue"

    def on_body(self, body: bytes) -> None:
        self.expects = False
        if len(self._body) + len(body) > self._limits.body_bytes:
            self.fail(413)
        elif not self.status:
            self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        assert self.parser is not None
        self.open = self.expects = False
        if self.status:
            return
        method = self.parser.get_method()
        self.closing = not self._keep or method == b"CONNECT"
        request = _request(method, self._url, self._headers, self._body, self._peer)
        self.ready.append(_Whole(request, not self.closing, self.parser.should_upgrade()))


class Exchange:
    """Requests and answers of one connection, one after the other."""

    def __init__(self, limits: HttpLimits, peer: str = "") -> None:
        self._limits = limits
        self._reading = _Reading(limits, peer)
        self._parser: httptools.HttpRequestParser | None = None
        self._served = 0
        #: Bytes of a head that has not ended, without those of a piece that has other requests before it.
        self._waited = 0
        self._ended = False
        #: What is to be answered; None: nothing yet.
        self._current: _Whole | None = None
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
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(reading)
        fresh = not reading.open
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
        headers = [("Date", _date(int(time.time()))), *response.headers]
        if response.status != HTTPStatus.NO_CONTENT:
            headers.append(("Content-Type", response.content_type))
            headers.append(("Content-Length", str(len(response.body))))
        if self._served >= self._limits.requests or current is None or not current.more:
            headers.append(("Connection", "close"))
        head = _head(response.status, headers)
        return head if current is not None and current.request.method == "HEAD" else head + response.body

    def refuse(self, status: int) -> bytes:
        """The last answer of the connection; nothing when one has begun already."""
        if self._answered:
            return b""
        self._current = None
        return self.answer(Response(status, f"{HTTPStatus(status).phrase.lower()}\n".encode()))

    def again(self) -> bool:
        """Whether another request may follow on this connection; bytes of it may be there already (`begun`)."""
        current, self._current = self._current, None
        if current is None or not current.more or self._served >= self._limits.requests:
            return False
        self._answered = False
        if current.upgrade and self._rest is not None:
            # It was not given the protocol that it wanted: it goes on in this one.
            rest, self._rest = self._rest, None
            if rest:
                self.feed(rest)
        reading = self._reading
        self.begun = bool(reading.ready or reading.open or reading.status or self._rest)
        return True

    def switch(self, headers: list[tuple[str, str]]) -> bytes:
        """`101 Switching Protocols`: after it the connection is no HTTP any more."""
        self._answered = True
        return _head(HTTPStatus.SWITCHING_PROTOCOLS, headers)

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


def _head(status: int, headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    for name, value in headers:
        if not _LINE.isdisjoint(value):
            raise ValueError(f"header {name} has a line break")
        lines.append(f"{name}: {value}")
    return "\r\n".join((*lines, "\r\n")).encode("latin-1")


def _request(
    method: bytes, raw_target: bytes, raw: Iterable[tuple[bytes, bytes]], body: bytes, peer: str
) -> Request:
    target = raw_target.decode("ascii")
    path, _, query = target.partition("?")
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Request(
        method=method.decode("ascii"),
        path=unquote(path) if "%" in path else path,
        query=dict(parse_qsl(query, max_num_fields=32)) if query and query.count("&") < 32 else {},
        headers=headers,
        body=body,
        peer=peer,
        target=target,
    )

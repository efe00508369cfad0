"""HTTP/1.1 as a server sees it (RFC 9112), without I/O: requests out of bytes, answers into bytes, a limit on every size.

h11 is the parser, of all but requests of the usual shape (`shared.observe.usual`). Two shells own an `Exchange`: `shared.observe.http` on trio streams (health, metrics) and `shared.net.http` on
channels (what clients reach).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

import h11

from rookery.shared.observe import usual


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


class Exchange:
    """Requests and answers of one connection, one after the other."""

    def __init__(self, limits: HttpLimits, peer: str = "") -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
        self._limits = limits
        self._peer = peer
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._served = 0
        #: Whether h11 has nothing of the next request; what was read without it; whether that is what is answered next.
        self._clear = True
        self._found: Request | None = None
        self._usual = False
        #: Whether bytes of the next request have come.
        self.begun = False

    # --- in ---

    def feed(self, data: bytes) -> None:
        """Take what was read; b"" is the end of the stream."""
        self.begun = self.begun or bool(data)
        if self._clear and data:
            found = usual.read(data, self._limits.head_bytes, self._limits.body_bytes)
            if found is not None:
                self._clear = False
                self._usual = True
                self._found = _made(found.method, found.target, found.headers, found.body, self._peer)
                return
        self._clear = False
        self._h11.receive_data(data)

    def next(self) -> Request | Pause:
        """The next whole request, or why there is none. Raises HttpError."""
        if self._found is not None:
            found, self._found = self._found, None
            return found
        try:
            return self._next()
        except h11.RemoteProtocolError as error:
            raise HttpError(error.error_status_hint) from error

    def _next(self) -> Request | Pause:
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                return Pause.CONTINUE if self._h11.they_are_waiting_for_100_continue else Pause.NEED_DATA
            if isinstance(event, h11.Request):
                self._head = event
                names = {name for name, _ in event.headers}
                if names >= {b"transfer-encoding", b"content-length"}:
                    raise h11.RemoteProtocolError("two lengths (RFC 9112 section 6.1)")
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._limits.body_bytes:
                    raise HttpError(413)
            elif isinstance(event, h11.EndOfMessage):
                assert self._head is not None
                return _parsed(self._head, bytes(self._body), self._peer)
            else:
                return Pause.CLOSED

    # --- out ---

    def proceed(self) -> bytes:
        """`100 Continue`."""
        return self._h11.send(h11.InformationalResponse(status_code=100, headers=[])) or b""

    def answer(self, response: Response) -> bytes:
        """The answer to the last request, without a body when it was HEAD."""
        self._served += 1
        headers = [("Date", _date(int(time.time()))), *response.headers]
        if response.status != HTTPStatus.NO_CONTENT:
            headers.append(("Content-Type", response.content_type))
            headers.append(("Content-Length", str(len(response.body))))
        if self._served >= self._limits.requests:
            headers.append(("Connection", "close"))
        if self._usual:
            return usual.answer(response.status, headers, response.body)
        reason = HTTPStatus(response.status).phrase
        out = self._h11.send(h11.Response(status_code=response.status, headers=headers, reason=reason))
        assert out is not None
        if self._head is None or self._head.method != b"HEAD":
            out += self._h11.send(h11.Data(data=response.body)) or b""
        return out + (self._h11.send(h11.EndOfMessage()) or b"")

    def refuse(self, status: int) -> bytes:
        """The last answer of the connection; nothing when one has begun already."""
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return b""
        self._served = self._limits.requests
        self._head = None
        return self.answer(Response(status, f"{HTTPStatus(status).phrase.lower()}\n".encode()))

    def again(self) -> bool:
        """Whether another request may follow on this connection; bytes of it may be there already (`begun`)."""
        if self._usual:
            self._usual = False
            self.begun = bool(self._h11.trailing_data[0])
            self._clear = not self.begun
            return self._served < self._limits.requests
        if (
            self._served >= self._limits.requests
            or self._h11.our_state is not h11.DONE
            or self._h11.their_state is not h11.DONE
        ):
            return False
        self.begun = bool(self._h11.trailing_data[0])
        self._h11.start_next_cycle()
        self._clear = not self.begun
        self._head = None
        self._body = bytearray()
        return True

    def switch(self, headers: list[tuple[str, str]]) -> bytes:
        """`101 Switching Protocols`: after it the connection is no HTTP any more."""
        response = h11.InformationalResponse(
            status_code=HTTPStatus.SWITCHING_PROTOCOLS,
            headers=headers,
            reason=HTTPStatus.SWITCHING_PROTOCOLS.phrase,
        )
        return self._h11.send(response) or b""

    @property
    def rest(self) -> bytes:
        """What came behind the request that switched protocols."""
        return bytes(self._h11.trailing_data[0])


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


def _parsed(head: h11.Request, body: bytes, peer: str) -> Request:
    return _made(head.method, head.target, head.headers, body, peer)


def _made(
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

"""Requests of HTTP/1.1 out of bytes (RFC 9112), without I/O: what the parser tells becomes a `Request`, with a limit on every size.

httptools (llhttp) is the parser. Clients of BOSH send one head over and over: heads that the parser has read are remembered, with what it made
of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote

import httptools

#: Heads that are remembered by a process, and the size of one in bytes, at most.
KNOWN_HEADS: Final = 1024
KNOWN_BYTES: Final = 1024
_END: Final = b"\r\n\r\n"
_new: Final = tuple.__new__


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


class Request(NamedTuple):
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
    #: How it came, where the port tells: by TLS, and whose certificate the client has shown.
    secure: bool = False
    certificate: str = ""


class Response(NamedTuple):
    """The answer; `headers` are added to Date, Content-Type and Content-Length."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Sequence[tuple[str, str]] = ()


class Whole(NamedTuple):
    """A request that came whole; `more`: the connection may go on behind it; `upgrade`: it wants another protocol there."""

    request: Request
    more: bool
    upgrade: bool


class Reading:
    """What the parser tells of requests. `parser` is there while it is fed: they hold each other no longer than that."""

    __slots__ = (
        "_body", "_headers", "_keep", "_limits", "_peer", "_size", "_url", "_version", "closing", "expects", "head", "open", "parser",
        "ready", "status",
    )  # fmt: skip

    def __init__(self, limits: HttpLimits, peer: str) -> None:
        self._limits = limits
        self._peer = peer
        self.parser: httptools.HttpRequestParser | None = None
        self.ready: deque[Whole] = deque()
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

    # --- the parser calls these ---

    def on_message_begin(self) -> None:
        """A request begins."""
        self.open = self.head = True
        self.expects = False
        self._size = 0
        self._url = self._body = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._url += url
        self._measure(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of its head."""
        if self.head:  # (what comes behind a body in chunks is nothing to us)
            self._measure(len(name) + len(value))
            self._headers.append((name.lower(), value.strip(b" \t")))

    def _measure(self, more: int) -> None:
        self._size += more
        if self._size > self._limits.head_bytes:
            self.fail(431)

    def on_headers_complete(self) -> None:
        """Its head is whole."""
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
        """A piece of its body."""
        self.expects = False
        if len(self._body) + len(body) > self._limits.body_bytes:
            self.fail(413)
        elif not self.status:
            self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        """It is whole."""
        assert self.parser is not None
        self.open = self.expects = False
        if self.status:
            return
        method = self.parser.get_method()
        self.closing = not self._keep or method == b"CONNECT"
        request = _request(method, self._url, self._headers, self._body, self._peer)
        self.ready.append(Whole(request, not self.closing, self.parser.should_upgrade()))


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


class KnownHeads:
    """Heads of requests that came whole in one piece, with their body: what the parser made of each, and the length of the body.

    Only what it makes the same of whenever a request begins is kept: HTTP/1.1, a connection that goes on, a body with a length, no wish for
    `100 Continue` or another protocol.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Request, int]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, data: bytes, limits: HttpLimits, peer: str) -> Request | None:
        """The request that `data` is, whole and alone, if its head is known."""
        end = data.find(_END, 0, KNOWN_BYTES) + len(_END)
        if end < len(_END):
            return None
        known = self._known.get(data[:end])
        if known is None:
            return None
        request, length = known
        if length != len(data) - end or length > limits.body_bytes or end > limits.head_bytes:
            return None
        method, path, query, headers, _, _, target, *_ = request
        return _new(Request, (method, path, query, headers, data[end:], peer, target, False, ""))

    def learn(self, data: bytes, request: Request) -> None:
        """`data` was this request, whole and alone, and the connection may go on."""
        headers = request.headers
        end = data.find(_END, 0, KNOWN_BYTES) + len(_END)
        if (
            end < len(_END)
            or "transfer-encoding" in headers
            or "expect" in headers
            or data[end:] != request.body
        ):
            return
        if headers.get("content-length", "") != str(len(request.body)):
            return
        if len(self._known) >= KNOWN_HEADS:
            self._known.clear()
        self._known[data[:end]] = request._replace(body=b"", peer=""), len(request.body)

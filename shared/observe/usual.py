"""Requests of the usual shape, read at once (RFC 9112): a GET or POST that came whole, with a head that nobody could read in two ways.

Whatever is not so plainly said is None here and goes to h11: a request in pieces or with another behind it, one with a transfer coding, an
expectation or an upgrade, a header without or with strange characters. So this never refuses anything, and reads nothing that h11
would read otherwise (a test compares them).
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final, NamedTuple

_HEAD: Final = re.compile(
    rb"\A(GET|POST) (/[!-~]*) HTTP/1\.1\r\n((?:[A-Za-z0-9_-]+:[ \t]*(?:[!-~]+(?:[ \t]+[!-~]+)*)?[ \t]*\r\n)+)\r\n"
)
#: Headers that change what follows, or the connection.
_SPECIAL: Final = frozenset(
    {b"transfer-encoding", b"expect", b"upgrade", b"connection", b"te", b"trailer", b"http2-settings"}
)
_LENGTH: Final = re.compile(rb"\A[0-9]{1,15}\Z")


class Usual(NamedTuple):
    """A request: method, target, headers with names in lower case, body."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


def read(data: bytes, head_bytes: int, body_bytes: int) -> Usual | None:
    """The one request that is all of `data`; None for anything else."""
    match = _HEAD.match(data[:head_bytes])
    if match is None:
        return None
    method, target, lines = match.groups()
    headers: list[tuple[bytes, bytes]] = []
    length = b"0"
    host = lengths = 0
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name in _SPECIAL and not (name == b"connection" and value.lower() == b"keep-alive"):
            return None
        if name == b"host":
            host += 1
        elif name == b"content-length":
            lengths += 1
            length = value
        headers.append((name, value))
    if host != 1 or lengths > 1 or _LENGTH.match(length) is None:
        return None
    body = data[match.end() :]
    if len(body) != int(length) or len(body) > body_bytes:
        return None
    return Usual(method, target, headers, body)


def answer(status: int, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """The answer to such a request. Raises ValueError for a header that would break its line."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    for name, value in headers:
        if "\r" in value or "\n" in value or "\0" in value:
            raise ValueError(f"header {name} has a line break")
        lines.append(f"{name}: {value}")
    return "\r\n".join((*lines, "\r\n")).encode("latin-1") + body

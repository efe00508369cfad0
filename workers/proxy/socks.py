"""The server's side of SOCKS5 (RFC 1928) as XEP-0065 section 5.3 uses it, without I/O: a client names its stream by a hash."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

VERSION: Final = 5
_NO_AUTHENTICATION: Final = 0
_CONNECT: Final = 1
_DOMAIN: Final = 3
_HASH: Final = re.compile(rb"[0-9a-fA-F]{40}")
#: Replies (RFC 1928 section 6).
REFUSED: Final = 2
_COMMAND: Final = 7
_ADDRESS: Final = 8
_GENERAL: Final = 1
#: A greeting with all methods, and a request.
MAX_BYTES: Final = 2 + 255 + 4 + 1 + 255 + 2


class Step(NamedTuple):
    """What to write, the stream that the client wants ("" while it has not said), and whether it is to be closed."""

    out: bytes = b""
    stream: str = ""
    over: bool = False


def reply(status: int, stream: str = "") -> bytes:
    """The answer to a request; the address is the one that was asked for (XEP-0065 section 5.3.2)."""
    name = stream.encode()
    return bytes([VERSION, status, 0, _DOMAIN, len(name)]) + name + b"\0\0"


class Negotiation:
    """From the first byte to the name of a stream."""

    def __init__(self) -> None:
        self._data = b""
        self._greeted = False

    def feed(self, data: bytes) -> Step:
        """Take what the client sent."""
        self._data += data
        out = b""
        if not self._greeted:
            if len(self._data) < 2 or self._data[0] != VERSION:
                return Step(over=self._data[:1] not in (b"", bytes([VERSION])))
            end = 2 + self._data[1]
            if len(self._data) < end:
                return Step()
            methods, self._data = self._data[2:end], self._data[end:]
            if _NO_AUTHENTICATION not in methods:
                return Step(bytes([VERSION, 0xFF]), over=True)
            self._greeted = True
            out = bytes([VERSION, _NO_AUTHENTICATION])
        return self._request(out)

    def _request(self, out: bytes) -> Step:
        data = self._data
        if len(data) < 5:
            return Step(out, over=data[:1] not in (b"", bytes([VERSION])))
        version, command, _, kind, size = data[:5]
        if version != VERSION:
            return Step(out, over=True)
        if command != _CONNECT:
            return Step(out + reply(_COMMAND), over=True)
        if kind != _DOMAIN:
            return Step(out + reply(_ADDRESS), over=True)
        if len(data) < 5 + size + 2:
            return Step(out)
        name, port, rest = data[5 : 5 + size], data[5 + size : 7 + size], data[7 + size :]
        # Nothing may follow before the answer, which comes before anything is relayed.
        if not _HASH.fullmatch(name) or port != b"\0\0" or rest:
            return Step(out + reply(_GENERAL), over=True)
        return Step(out, name.decode().lower())

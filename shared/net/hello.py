"""A look at a ClientHello before OpenSSL sees it: the ALPN names that the client offers (RFC 7301, RFC 8446 section 4.1.2).

Python's ssl goes on without ALPN when no name matches. On the direct TLS port that must be an alert instead (XEP-0368: a
client that meant HTTP must not talk to us), so the names are read from the bytes that wait in the socket.
"""

from __future__ import annotations

from typing import Final

#: The fatal alert no_application_protocol (RFC 7301 section 3.2) as a TLS record.
NO_APPLICATION_PROTOCOL: Final = b"\x15\x03\x03\x00\x02\x02\x78"
#: More than this is not looked at; OpenSSL then decides alone.
MAX_HELLO: Final = 16_384
_RECORD: Final = 5
_ALPN: Final = 16


def missing(data: bytes) -> int:
    """How many bytes must have come before `offered` can be asked; 0 when they are all there.

    Anything that is no TLS handshake record is complete: OpenSSL will refuse it.
    """
    if not data:
        return _RECORD
    if data[0] != 0x16:
        return 0
    if len(data) < _RECORD:
        return _RECORD
    need = min(_RECORD + int.from_bytes(data[3:5], "big"), MAX_HELLO)
    return need if len(data) < need else 0


def offered(data: bytes) -> list[bytes] | None:
    """The ALPN names of a ClientHello, or None when it has none or cannot be read (OpenSSL then decides)."""
    try:
        return _offered(data)
    except IndexError:
        return None


def _offered(data: bytes) -> list[bytes] | None:
    if data[0] != 0x16 or data[5] != 1:
        return None
    at = _RECORD + 4 + 2 + 32
    at += 1 + data[at]
    at += 2 + int.from_bytes(data[at : at + 2], "big")
    at += 1 + data[at]
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    at += 2
    while at + 4 <= min(end, len(data)):
        kind = int.from_bytes(data[at : at + 2], "big")
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == _ALPN:
            return _names(data[at + 6 : at + 4 + size])
        at += 4 + size
    return None


def _names(data: bytes) -> list[bytes]:
    names: list[bytes] = []
    at = 0
    while at < len(data):
        size = data[at]
        names.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return names

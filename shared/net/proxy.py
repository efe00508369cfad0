"""PROXY protocol version 2: who the client behind a load balancer is (haproxy's proxy-protocol.txt, section 2.2).

Pure and strict: the shell reads exactly `need` bytes at a time, so that nothing of the client's own stream is taken.
Only peers in `edge.proxy_protocol_nets` are read this way, and from them the header is required.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED: Final = 16
#: Addresses and TLVs together; balancers send less than 100 bytes.
_MAX: Final = 1024
_ADDRESSES: Final = {1: 12, 2: 36}


class ProxyError(ValueError):
    """The bytes are not a PROXY header of version 2 that we accept."""


class ProxyReader:
    """Collects one header. Feed it exactly the bytes that it needs until `done`.

    `source` is then the client's (address, port), or None for LOCAL and UNSPEC: the balancer speaks for itself.
    """

    __slots__ = ("_data", "done", "need", "source")

    def __init__(self) -> None:
        self._data = b""
        self.need = _FIXED
        self.done = False
        self.source: tuple[str, int] | None = None

    def feed(self, data: bytes) -> None:
        """Take up to `need` bytes. Raises ProxyError at the first wrong byte."""
        if self.done or not data or len(data) > self.need:
            raise ProxyError("more bytes than asked for")
        self._data += data
        self.need -= len(data)
        head = self._data[: len(SIGNATURE)]
        if head != SIGNATURE[: len(head)]:
            raise ProxyError("no PROXY signature")
        if self.need:
            return
        if len(self._data) == _FIXED:
            self.need = struct.unpack_from("!H", self._data, 14)[0]
            if self.need > _MAX:
                raise ProxyError("PROXY header is too long")
            self._check()
            if self.need:
                return
        self._finish()

    def _check(self) -> None:
        version, command = self._data[12] >> 4, self._data[12] & 15
        if version != 2:
            raise ProxyError("not PROXY version 2")
        if command > 1:
            raise ProxyError("unknown PROXY command")
        if command == 1:
            family, transport = self._data[13] >> 4, self._data[13] & 15
            if (family, transport) not in {(0, 0), (1, 1), (2, 1)}:
                raise ProxyError("not TCP over IPv4 or IPv6")
            if self.need < _ADDRESSES.get(family, 0):
                raise ProxyError("PROXY addresses are cut short")

    def _finish(self) -> None:
        self.done = True
        family = self._data[13] >> 4
        if not self._data[12] & 15 or not family:
            return
        if family == 1:
            address: IPv4Address | IPv6Address = IPv4Address(self._data[16:20])
            port = struct.unpack_from("!H", self._data, 24)[0]
        else:
            address = IPv6Address(self._data[16:32])
            port = struct.unpack_from("!H", self._data, 48)[0]
        self.source = (str(address), port)


def encode(source: tuple[str, int], target: tuple[str, int]) -> bytes:
    """A header for a TCP connection from `source` to `target` (for load balancers in tests and benches)."""
    addresses = [IPv6Address(host) if ":" in host else IPv4Address(host) for host, _ in (source, target)]
    family = 0x21 if isinstance(addresses[0], IPv6Address) else 0x11
    body = b"".join(address.packed for address in addresses) + struct.pack("!HH", source[1], target[1])
    return SIGNATURE + struct.pack("!BBH", 0x21, family, len(body)) + body

"""TLS on a socket of trio, by OpenSSL's own reads and writes: what passes is copied once, where `trio.SSLStream` copies it into and out of buffers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

#: Bytes given to OpenSSL at once: one record. A write that would block is repeated with the same bytes.
_RECORD: Final = 16_384
_READ: Final = 65_536


class Secured(trio.abc.HalfCloseableStream):
    """The server's side. Takes the socket over; one task reads and one writes, as HTTP does."""

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        raw = socket.socket(fileno=stream.socket.detach())
        raw.setblocking(False)
        self._sock = context.wrap_socket(
            raw, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )

    async def do_handshake(self) -> None:
        """Until both sides agree. Raises OSError, which `ssl.SSLError` is one of."""
        while True:
            try:
                self._sock.do_handshake()
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(self._sock)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(self._sock)
            else:
                return

    def certificate(self) -> dict[str, Any] | None:
        """The other side's, where it was asked for one and has it; verified."""
        return self._sock.getpeercert()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What has come, several records at once; b"" at the end. Raises as every stream of trio."""
        await trio.lowlevel.checkpoint()
        most = max_bytes or _READ
        parts: list[bytes] = []
        while most > 0:
            try:
                data = self._sock.recv(most)
            except ssl.SSLWantReadError:
                if parts:
                    break
                await self._wait(trio.lowlevel.wait_readable)
            except ssl.SSLWantWriteError:
                if parts:
                    break
                await self._wait(trio.lowlevel.wait_writable)
            except (OSError, ValueError) as error:
                raise self._broken() from error
            else:
                if not data:
                    break  # the next call says so again
                parts.append(data)
                most -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """All of it. Raises as every stream of trio."""
        await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view[:_RECORD]) :]
            except ssl.SSLWantWriteError:
                await self._wait(trio.lowlevel.wait_writable)
            except ssl.SSLWantReadError:
                await self._wait(trio.lowlevel.wait_readable)
            except (OSError, ValueError) as error:
                raise self._broken() from error

    async def _wait(self, ready: Callable[[socket.socket], Awaitable[None]]) -> None:
        if self._sock.fileno() < 0:
            raise trio.ClosedResourceError
        await ready(self._sock)

    def _broken(self) -> Exception:
        return trio.BrokenResourceError() if self._sock.fileno() >= 0 else trio.ClosedResourceError()

    async def wait_send_all_might_not_block(self) -> None:
        """Until something can be sent."""
        await self._wait(trio.lowlevel.wait_writable)

    async def send_eof(self) -> None:
        """Say that nothing more comes (RFC 8446 section 6.1), and end this side of the connection."""
        await trio.lowlevel.checkpoint()
        try:
            self._sock.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass  # it is said; the other side says it later, or never
        except (OSError, ValueError) as error:
            raise self._broken() from error
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise self._broken() from error

    async def aclose(self) -> None:
        """Close, without a word."""
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
        await trio.lowlevel.checkpoint()

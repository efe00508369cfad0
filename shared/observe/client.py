"""A small HTTP/1.1 client for the admin endpoints of our own processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import h11
import trio

MAX_BODY = 16 * 1024 * 1024


class Reply(NamedTuple):
    """An answer; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Ask(NamedTuple):
    """A request; `target` as it is written (RFC 9112 section 3.2)."""

    target: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes = b""


async def get(host: str, port: int, path: str, *, timeout: float = 2.0, token: str = "") -> tuple[int, bytes]:
    """GET `path`; returns status and body. Raises OSError when there is no good answer in time."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    reply = await request(host, port, Ask(path, headers=headers), timeout=timeout)
    return reply.status, reply.body


async def request(host: str, port: int, ask: Ask, *, timeout: float = 2.0) -> Reply:
    """Ask once on a connection of its own. Raises OSError when there is no good answer in time."""
    try:
        with trio.fail_after(timeout):
            async with await trio.open_tcp_stream(host, port) as stream:
                return await _exchange(stream, f"{host}:{port}", ask)
    except trio.TooSlowError as error:
        raise TimeoutError(f"no answer from {host}:{port} in {timeout} s") from error
    except (trio.BrokenResourceError, h11.RemoteProtocolError) as error:
        raise ConnectionError(f"no good answer from {host}:{port}") from error


async def _exchange(stream: trio.SocketStream, host: str, ask: Ask) -> Reply:
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", host), ("Connection", "close"), *ask.headers.items()]
    if ask.body:
        headers.append(("Content-Length", str(len(ask.body))))
    head = h11.Request(method=ask.method, target=ask.target, headers=headers)
    await stream.send_all(connection.send(head) or b"")
    if ask.body:
        await stream.send_all(connection.send(h11.Data(data=ask.body)) or b"")
    await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
    status, found, body = 0, {}, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(65_536))
        elif isinstance(event, h11.Response):
            status = event.status_code
            found = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                raise ConnectionError("answer too long")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return Reply(status, found, bytes(body))

"""A small HTTP/1.1 client for the admin endpoints of our own processes."""

from __future__ import annotations

import h11
import trio

MAX_BODY = 16 * 1024 * 1024


async def get(host: str, port: int, path: str, *, timeout: float = 2.0) -> tuple[int, bytes]:
    """GET `path`; returns status and body. Raises OSError when there is no good answer in time."""
    try:
        with trio.fail_after(timeout):
            async with await trio.open_tcp_stream(host, port) as stream:
                return await _exchange(stream, f"{host}:{port}", path)
    except trio.TooSlowError as error:
        raise TimeoutError(f"no answer from {host}:{port} in {timeout} s") from error
    except (trio.BrokenResourceError, h11.RemoteProtocolError) as error:
        raise ConnectionError(f"no good answer from {host}:{port}") from error


async def _exchange(stream: trio.SocketStream, host: str, path: str) -> tuple[int, bytes]:
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", host), ("Connection", "close")]
    await stream.send_all(connection.send(h11.Request(method="GET", target=path, headers=headers)) or b"")
    await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(65_536))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                raise ConnectionError("answer too long")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return status, bytes(body)

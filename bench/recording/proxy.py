"""Passes bytes between clients and a server, and writes down what was said."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

import trio

from rookery.bench.recording import tape
from rookery.bench.recording.listener import Listener
from rookery.bench.recording.tape import Renamer

_CHUNK: Final = 65_536
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
Place = tuple[str, int]


class Recording:
    """One recording that goes on. `messages`, `passed` and `sealed` (connections with TLS) are its counts."""

    def __init__(self, file: TextIO, seed: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._renamer = Renamer(seed)
        self._clock = clock
        self._began = clock()
        self.messages = self.passed = self.sealed = 0
        tape.begin(file)

    async def serve(self, listen: Place, target: Place, ready: Callable[[int], None]) -> None:
        """Listen until cancelled; `ready` gets the port. Raises OSError when the port is not free."""
        listeners = await trio.open_tcp_listeners(listen[1], host=listen[0])
        ready(listeners[0].socket.getsockname()[1])

        async def handle(client: trio.SocketStream) -> None:
            await self._connection(client, target)

        await trio.serve_listeners(handle, listeners)

    async def _connection(self, client: trio.SocketStream, target: Place) -> None:
        listener = Listener(self._renamer)
        async with client:
            try:
                server = await trio.open_tcp_stream(*target)
            except OSError:
                return  # the client sees a connection that ends
            async with server, trio.open_nursery() as nursery:
                nursery.start_soon(self._pass, client, server, lambda data: self._hear(listener, data))
                nursery.start_soon(self._pass, server, client, listener.from_server)
        self.passed += listener.passed
        self.sealed += listener.sealed

    def _hear(self, listener: Listener, data: bytes) -> None:
        at = int((self._clock() - self._began) * 1e6)
        events = list(listener.from_client(data, at))
        self.messages += len(events)
        tape.write(self._file, events)

    async def _pass(
        self, source: trio.SocketStream, sink: trio.SocketStream, heard: Callable[[bytes], None]
    ) -> None:
        try:
            while data := await source.receive_some(_CHUNK):
                heard(data)
                await sink.send_all(data)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await source.aclose()
            await sink.aclose()


async def record(
    file: Path, seed: str, listen: Place, target: Place, ready: Callable[[int], None]
) -> Recording:
    """Record into a file until Ctrl-C or SIGTERM. Raises OSError."""
    with file.open("w", encoding="utf-8", buffering=1) as opened:
        recording = Recording(opened, seed)
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(recording.serve, listen, target, ready)
                async for _ in signals:
                    nursery.cancel_scope.cancel()
                    break
    return recording

"""Passes bytes between clients and a server, or between servers, and writes down what was said."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TextIO

import trio

from rookery.bench.recording import tape
from rookery.bench.recording.between import Between
from rookery.bench.recording.listener import Listener
from rookery.bench.recording.servers import Servers
from rookery.bench.recording.tape import Event, Renamer
from rookery.bench.remotes.authority import Authority

_CHUNK: Final = 65_536
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
Place = tuple[str, int]


class Recording:
    """One recording that goes on, of clients, or with `servers` of other servers.

    `messages`, `passed` and `sealed` (connections that could not be heard) are its counts.
    """

    def __init__(
        self,
        file: TextIO,
        seed: str,
        clock: Callable[[], float] = time.monotonic,
        servers: Servers | None = None,
    ) -> None:
        self._file = file
        self._renamer = Renamer(seed)
        self._clock = clock
        self._servers = servers
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
        async with client:
            try:
                server = await trio.open_tcp_stream(*target)
            except OSError:
                return  # the client sees a connection that ends
            async with server:
                await (
                    self._client(client, server) if self._servers is None else self._server(client, server)
                )

    async def _client(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        listener = Listener(self._renamer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                self._pass, client, server, lambda data: self._keep(listener.from_client(data, self._now()))
            )
            nursery.start_soon(self._pass, server, client, listener.from_server)
        self.passed += listener.passed
        self.sealed += listener.sealed

    async def _server(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        assert self._servers is not None
        directions = Between(self._renamer), Between(self._renamer)
        refused = self._servers.refused
        await self._servers.pass_on(
            client, server, directions, lambda one, data: self._keep(one.hear(data, self._now()))
        )
        self.passed += sum(one.passed for one in directions)
        self.sealed += self._servers.refused - refused

    def _now(self) -> int:
        return int((self._clock() - self._began) * 1e6)

    def _keep(self, heard: Iterator[Event]) -> None:
        events = list(heard)
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
    file: Path,
    seed: str,
    places: tuple[Place, Place],
    ready: Callable[[int], None],
    authority: Authority | None = None,
) -> Recording:
    """Record into a file until Ctrl-C or SIGTERM, from the first place to the second. With an authority between servers. Raises OSError."""
    listen, target = places
    with file.open("w", encoding="utf-8", buffering=1) as opened, TemporaryDirectory() as folder:
        servers = None if authority is None else Servers(authority, Path(folder))
        recording = Recording(opened, seed, servers=servers)
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(recording.serve, listen, target, ready)
                async for _ in signals:
                    nursery.cancel_scope.cancel()
                    break
    return recording

"""TCP proxies between the cluster's processes and their NATS and Postgres: cut for some of them, slow, or out of order.

A cable knows which process is at the other end of each of its connections, so one process can be cut off while the others go on.
Bytes that are held stay in order and come when the cable is let go: that is what a broken network looks like to TCP.
"""

from __future__ import annotations

import random
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from typing import Final

import psutil  # type: ignore[import-untyped]

_CHUNK: Final = 65536
_TICK: Final = 0.02


class _Way:
    """One direction of a connection: what was read from `source` and waits to be written to `target`, each with its time."""

    def __init__(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        self.source = source
        self.target = target
        #: From the cluster to the server.
        self.up = up
        self.parts: deque[tuple[float, bytes]] = deque()
        self.open = True
        self.frames = Frames()


class _Connection:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.port = client.getpeername()[1]
        self.pid = 0
        self.ways = (_Way(client, server, True), _Way(server, client, False))

    def close(self) -> None:
        for way in self.ways:
            way.source.close()


class Frames:
    """Cuts what a NATS server says into its messages (`MSG subject sid size`) and everything else."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[bool, bytes]]:
        """(whether it is a message, its bytes), for what is complete."""
        out: list[tuple[bool, bytes]] = []
        data = self._rest + data
        at = 0
        while (end := data.find(b"\r\n", at)) >= 0:
            line = data[at:end]
            stop = end + 2
            message = line.startswith(b"MSG ")
            if message:
                stop += int(line.rpartition(b" ")[2]) + 2
                if stop > len(data):
                    break
            out.append((message, data[at:stop]))
            at = stop
        self._rest = data[at:]
        return out


def mixed(frames: Sequence[tuple[bool, bytes]], share: float, dice: random.Random) -> tuple[list[bytes], int]:
    """Repeat a share of the messages, and let as many change places with what is before them; also says how often."""
    out: list[bytes] = []
    changes = 0
    for message, frame in frames:
        if share and message and out and dice.random() < share:
            out.insert(-1, frame)
            changes += 1
        else:
            out.append(frame)
        if share and message and dice.random() < share:
            out.append(frame)
            changes += 1
    return out, changes


class Cable:
    """A proxy on a port of its own, in a thread of its own. `nats`: what it carries can be told into messages."""

    def __init__(self, port: int, *, nats: bool = False) -> None:
        self._target = ("127.0.0.1", port)
        self._nats = nats
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._connections: set[_Connection] = set()
        self._selector = selectors.DefaultSelector()
        self._over = False
        self._dice = random.Random(1)
        #: Who is cut off, and which ways: up (to the server), down.
        self._held: frozenset[int] = frozenset()
        self._ways = (False, False)
        self._delay = (0.0, 0.0)
        #: The share of messages that come twice, and that change places with the next one.
        self._mixed = 0.0
        self.changes = 0
        self._reset = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # --- what faults do with it (from another thread: each is one assignment) ---

    def hold(self, pids: Collection[int], *, up: bool = True, down: bool = True) -> None:
        """Nothing passes from (up) and to (down) these processes."""
        self._ways = (up, down)
        self._held = frozenset(pids)

    def delay(self, least: float, most: float) -> None:
        """Everything takes so many seconds longer each way; the order of bytes stays."""
        self._delay = (least, most)

    def mix(self, share: float) -> None:
        """So many messages of a NATS server come twice, and so many after the one that follows."""
        self._mixed = share

    def reset(self) -> None:
        """All connections of now end, each with a reset."""
        self._reset = True

    def let_go(self) -> None:
        """A good cable again."""
        self._held = frozenset()
        self._delay = (0.0, 0.0)
        self._mixed = 0.0

    def close(self) -> None:
        """The end."""
        self._over = True
        self._thread.join(5)

    # --- its thread ---

    def _run(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        while not self._over:
            for key, _ in self._selector.select(_TICK):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    connection, way = key.data
                    self._read(connection, way)
            self._name()
            if self._reset:
                self._reset = False
                for connection in list(self._connections):
                    self._end(connection, abort=True)
            now = time.monotonic()
            for connection in list(self._connections):
                for way in connection.ways:
                    self._write(connection, way, now)
        for connection in self._connections:
            connection.close()
        self._listener.close()
        self._selector.close()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        try:
            server = socket.create_connection(self._target, timeout=2.0)
            connection = _Connection(client, server)
        except OSError:
            client.close()
            return
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(connection)
        for way in connection.ways:
            self._selector.register(way.source, selectors.EVENT_READ, (connection, way))

    def _name(self) -> None:
        """Find out which process each connection belongs to, while that matters."""
        if not self._held or all(connection.pid for connection in self._connections):
            return
        owners = {
            one.laddr.port: one.pid
            for one in psutil.net_connections("tcp4")
            if one.pid and one.raddr and one.raddr.port == self.port
        }
        for connection in self._connections:
            connection.pid = connection.pid or owners.get(connection.port, -1)

    def _read(self, connection: _Connection, way: _Way) -> None:
        if connection not in self._connections:
            return  # it ended since the selector looked
        try:
            data = way.source.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            way.open = False
            self._selector.unregister(way.source)
            return
        if self._nats and not way.up:
            data = self._messages(way, data)
        least, most = self._delay
        due = time.monotonic() + self._dice.uniform(least, most)
        if way.parts:
            due = max(due, way.parts[-1][0])
        way.parts.append((due, data))
        self._write(connection, way, time.monotonic())

    def _messages(self, way: _Way, data: bytes) -> bytes:
        out, changes = mixed(way.frames.feed(data), self._mixed, self._dice)
        self.changes += changes
        return b"".join(out)

    def _write(self, connection: _Connection, way: _Way, now: float) -> None:
        if connection not in self._connections:
            return
        if (
            self._held
            and self._ways[0 if way.up else 1]
            and (not connection.pid or connection.pid in self._held)
        ):
            return
        parts = way.parts
        try:
            while parts and parts[0][0] <= now:
                due, data = parts[0]
                sent = way.target.send(data)
                if sent < len(data):
                    parts[0] = (due, data[sent:])
                    return
                parts.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._end(connection)
            return
        if not way.open and not parts:
            self._end(connection)

    def _end(self, connection: _Connection, *, abort: bool = False) -> None:
        self._connections.discard(connection)
        for way in connection.ways:
            if abort:
                way.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if way.open:
                self._selector.unregister(way.source)
        connection.close()

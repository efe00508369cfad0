"""The bus over NATS: a small native trio client beneath `BusCore`.

One connection, two subscriptions (this process's own subject and the control subject). Nothing is buffered for a server that is
away: items wait in their links, and after a reconnect each link says where it stands. Reconnects go on for ever.

What is posted during one round of the trio loop leaves as one write; `shared.pace` sees to it that rounds of a busy process are not many.
"""

from __future__ import annotations

import logging
import math
import random
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
import trio

from rookery.shared.bus import wire
from rookery.shared.bus.core import BusCore
from rookery.shared.bus.streams import Lost, PlainStream, TlsStream
from rookery.shared.bus.subjects import Subjects
from rookery.shared.config import Bus as BusConfig
from rookery.shared.observe.metrics import NATS_PENDING, NATS_RECONNECTS

_log = structlog.get_logger()

#: Seconds between our pings, and how many may be unanswered. A server that stands still must be noticed before the beats that it
#: does not carry make processes give each other up (`shared.cluster.liveness.LOST_SECONDS`).
PING_SECONDS: Final = 1
PING_LIMIT: Final = 2
#: Seconds for the way from a TCP connection to the first PONG.
GREETING_SECONDS: Final = 5.0
RECONNECT_SECONDS: Final = 0.25
#: A process that stood still for so long may have been given up (`shared.cluster.liveness.LOST_SECONDS`): what NATS kept for it is stale.
FROZEN_SECONDS: Final = 3.0
_TICK: Final = 1.0
_NODE_SID, _CONTROL_SID = 1, 2


class NatsBus(BusCore):
    """A bus on NATS. Use `open_bus`, or run `run` in a nursery."""

    def __init__(self, incarnation: str, config: BusConfig, *, quiet: bool = False) -> None:
        super().__init__(
            incarnation,
            Subjects(config.prefix),
            window_items=config.window_items,
            window_bytes=config.window_bytes,
        )
        self._nats = _Nats(self, config, quiet)
        NATS_RECONNECTS.sample(lambda: max(0, self._nats.connections - 1))
        NATS_PENDING.sample(lambda: self._nats.backlog)
        self.attach(self._nats)
        self.wake = self._wake
        self._sleeper: trio.lowlevel.Task | None = None
        #: Called with the seconds that this process stood still, when they are many; it then connects anew.
        self.on_frozen: Callable[[float], None] = _ignore
        self._ticked = math.inf

    def renew(self, config: BusConfig) -> None:
        """The next connection shows the password or token of this configuration."""
        nats = self._nats
        nats.config = msgspec.structs.replace(nats.config, password=config.password, token=config.token)

    @property
    def trouble(self) -> str:
        """The address that was tried last without success, and why it failed."""
        return self._nats.trouble

    @property
    def connections(self) -> int:
        """How often it came up: an outage may be shorter than the time between two looks at `connected`."""
        return self._nats.connections

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, carry items and reconnect until cancelled; started once the first connection stands."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._turns)
            nursery.start_soon(self._ticks)
            await nursery.start(self._nats.run)
            task_status.started()

    async def emptied(self, timeout: float = 3.0) -> None:
        """Wait until nothing is parked or without credit: what was posted to partitions that change hands would end with us."""
        with trio.move_on_after(timeout):
            while self.parking.count or self.congested():  # noqa: ASYNC110  once in a process's life
                await trio.sleep(0.02)

    async def drain(self, timeout: float = 1.0) -> bool:
        """Send what is posted and wait until the server has it; False when that took too long."""
        with trio.move_on_after(timeout) as scope:
            self.turn()
            await self._nats.round_trip()
        return not scope.cancelled_caught

    def _wake(self) -> None:
        if self._sleeper is not None:
            trio.lowlevel.reschedule(self._sleeper)
            self._sleeper = None

    async def _turns(self) -> None:
        while True:
            if not self._awake:
                self._sleeper = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abort)
            await trio.lowlevel.checkpoint()
            self.turn()

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._sleeper = None
        return trio.lowlevel.Abort.SUCCEEDED

    def thaw(self) -> bool:
        """Whether this process has just stood still for long; whoever finds it out first says so.

        What waits in the connection was said to a process that the others may have given up since: deliveries that somebody else has got by
        now. It is thrown away with the connection; peers that still count on us send theirs again, as after any reconnect.
        """
        stood = self.clock() - self._ticked - _TICK
        if stood < FROZEN_SECONDS:
            return False
        self._ticked = self.clock()
        self.on_frozen(stood)
        return True

    async def _ticks(self) -> None:
        count = 0
        self._ticked = self.clock()
        while True:
            await trio.sleep(_TICK)
            if self.thaw():
                self._nats.drop("this process stood still")
            self._ticked = self.clock()
            count += 1
            self.tick()
            if count % PING_SECONDS == 0:
                self._nats.ping()


@asynccontextmanager
async def open_bus(incarnation: str, config: BusConfig) -> AsyncIterator[NatsBus]:
    """A connected bus for the length of a block. Waits for NATS as long as it takes."""
    bus = NatsBus(incarnation, config)
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        yield bus
        nursery.cancel_scope.cancel()


class _Nats:
    """The transport: one connection at a time."""

    def __init__(self, bus: NatsBus, config: BusConfig, quiet: bool) -> None:
        self._bus = bus
        self.config = config
        self._servers = wire.parse_urls(config.url)
        random.shuffle(self._servers)
        self.connected = False
        self.max_payload = 1024 * 1024
        self.connections = 0
        self._stream: PlainStream | TlsStream | None = None
        self._out: list[bytes] = []
        #: One for each PING that waits for its PONG; PONGs come in the order of PINGs.
        self._pings: deque[trio.Event | None] = deque()
        self._scope = trio.CancelScope()
        self._reason = self._told = ""
        self.trouble = ""
        self._quiet = quiet
        self._headers: dict[str, bytes] = {}

    # --- what the core calls ---

    @property
    def backlog(self) -> int:
        """Bytes that wait to be written."""
        return 0 if self._stream is None else self._stream.backlog

    def send(self, subject: str, payload: bytes) -> None:
        """Take a message; dropped while not connected."""
        if self.connected:
            head = self._headers.get(subject)
            if head is None:
                if len(self._headers) > 4096:
                    self._headers.clear()
                head = self._headers[subject] = f"PUB {subject} ".encode()
            self._out += (head, b"%d\r\n" % len(payload), payload, b"\r\n")

    def flush(self) -> None:
        """Write what was taken."""
        if self._out and self._stream is not None:
            data = b"".join(self._out)
            self._out.clear()
            try:
                self._stream.write(data)
            except OSError as exc:
                self._lose(f"write failed: {exc.strerror or type(exc).__name__}")

    # --- liveness ---

    def ping(self) -> None:
        """Ask the server for a sign of life; give the connection up when it owes too many."""
        if not self.connected:
            return
        if len(self._pings) >= PING_LIMIT:
            self._lose("no answer to pings")
            return
        self._pings.append(None)
        self._out.append(wire.PING)
        self.flush()

    async def round_trip(self) -> None:
        """Wait until the server has taken all that was sent."""
        if self.connected:
            event = trio.Event()
            self._pings.append(event)
            self._out.append(wire.PING)
            self.flush()
            await event.wait()

    def _ponged(self) -> None:
        if self._pings and (event := self._pings.popleft()) is not None:
            event.set()

    def drop(self, reason: str) -> None:
        """Give this connection up, with all that waits in it."""
        if self.connected:
            self._lose(reason)

    def _lose(self, reason: str) -> None:
        self._reason = self._reason or reason
        self.connected = False
        self._scope.cancel()

    # --- connections ---

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Connect again and again. The first connection is `started`."""
        turn, first = 0, True
        while True:
            server = self._servers[turn % len(self._servers)]
            turn += 1
            self._reason = ""
            with trio.CancelScope() as self._scope:
                try:
                    async with trio.open_nursery() as nursery:
                        reader = await self._connect(server, nursery)
                        self.connections += 1
                        _log.info("bus_connected", host=server.host, port=server.port)
                        self._bus.reconnected()
                        self._told = ""
                        if first:
                            first = False
                            task_status.started()
                        await self._read(reader)
                except* (
                    Lost,
                    OSError,
                    trio.BrokenResourceError,
                    trio.ClosedResourceError,
                    wire.ProtocolError,
                    ValueError,
                ) as group:
                    self._reason = self._reason or _first(group)
            self._disconnected()
            self.trouble = f"{server.host}:{server.port}: {self._reason or 'closed'}"
            # The same trouble again is no news.
            level = logging.WARNING if self.trouble != self._told and not self._quiet else logging.DEBUG
            _log.log(
                level, "bus_disconnected", host=server.host, port=server.port, reason=self._reason or "closed"
            )
            self._told = self.trouble
            # Every time-out and refusal waits: a server that closes at once must not be hammered.
            await trio.sleep(RECONNECT_SECONDS + random.random() * RECONNECT_SECONDS)

    def _disconnected(self) -> None:
        self.connected = False
        self._out.clear()
        while self._pings:
            self._ponged()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    async def _connect(self, server: wire.Server, nursery: trio.Nursery) -> wire.Reader:
        with trio.move_on_after(GREETING_SECONDS):
            tcp = await trio.open_tcp_stream(server.host, server.port)
            tcp.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain = PlainStream(socket.socket(fileno=tcp.socket.detach()), self._bus.want)
            self._stream = plain
            reader = wire.Reader()
            info = await self._info(plain, reader)
            stream: PlainStream | TlsStream = plain
            if server.tls or self.config.ca_file or info.get("tls_required"):
                context = ssl.create_default_context(cafile=self.config.ca_file or None)
                stream = self._stream = await TlsStream.upgrade(plain, context, server.host, self._bus.want)
            self.max_payload = min(int(info.get("max_payload", self.max_payload)), wire.MAX_MESSAGE)
            nursery.start_soon(stream.writer)
            subjects = self._bus.subjects
            stream.write(
                wire.connect_line(self._options(server, info))
                + f"SUB {subjects.node(self._bus.incarnation)} {_NODE_SID}\r\n".encode()
                + f"SUB {subjects.control} {_CONTROL_SID}\r\n".encode()
                # Its PONG says that CONNECT was accepted and that both subscriptions stand.
                + wire.PING
            )
            while True:
                for event in reader.feed(await stream.read()):
                    if isinstance(event, wire.Control):
                        if event.op == "PONG":
                            self.connected = True
                        self._control(event)
                if self.connected:
                    return reader
        raise Lost(f"no greeting within {GREETING_SECONDS:g} s")

    async def _info(self, stream: PlainStream, reader: wire.Reader) -> dict[str, Any]:
        while True:
            for event in reader.feed(await stream.read()):
                if isinstance(event, wire.Control) and event.op == "INFO":
                    return wire.parse_info(event.text)

    def _options(self, server: wire.Server, info: dict[str, Any]) -> dict[str, Any]:
        config = self.config
        options: dict[str, Any] = {
            "verbose": False,
            "pedantic": False,
            "echo": False,
            "headers": False,
            "lang": "python-rookery",
            "version": "1",
            "protocol": 1,
            "name": self._bus.incarnation,
        }
        user = config.user or (server.user if server.password or config.password else "")
        # NATS writes a token into a URL as a user without a password.
        token = config.token or ("" if user else server.user)
        if user:
            options |= {"user": user, "pass": config.password or server.password}
        if token:
            options["auth_token"] = token
        if config.nkey_seed_file:
            seed, jwt = wire.credentials(Path(config.nkey_seed_file).read_text())
            public, signature = wire.sign_nonce(seed, str(info.get("nonce", "")))
            options |= {"sig": signature} | ({"jwt": jwt} if jwt else {"nkey": public})
        return options

    # --- reading ---

    async def _read(self, reader: wire.Reader) -> None:
        stream, bus = self._stream, self._bus
        assert stream is not None
        while True:
            data = await stream.read()
            if bus.thaw():
                raise Lost("this process stood still")
            for event in reader.feed(data):
                if isinstance(event, wire.Message):
                    if event.sid == _NODE_SID:
                        bus.take_batch(event.payload)
                    else:
                        bus.take_control(event.payload)
                else:
                    self._control(event)

    def _control(self, event: wire.Control) -> None:
        if event.op == "PING":
            self._out.append(wire.PONG)
            self.flush()
        elif event.op == "PONG":
            self._ponged()
        elif event.op == "INFO":
            info = wire.parse_info(event.text)
            if info.get("ldm") and len(self._servers) > 1:
                raise Lost("the server is going down")
        elif event.op == "-ERR":
            text = event.text.decode("utf-8", "replace").strip("'")
            if text.lower().startswith("permissions violation"):
                _log.error("bus_not_permitted", error=text)  # the connection stays
            else:
                raise Lost(text)


def _ignore(seconds: float) -> None:
    pass


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return str(inner) or type(inner).__name__

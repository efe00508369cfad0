"""The Rookery processes of `rookery up`: started through the zygote, started again when they die, stopped in order."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
import trio

from rookery.shared.observe import metrics
from rookery.up.patience import Patience
from rookery.up.plan import UpError
from rookery.up.zygote import ChildSpec, Target, fork_zygote, signal_order, start_order

_log = structlog.get_logger()
#: A child that dies so often before the cluster was ever ready has a fault that waiting does not heal.
_HOPELESS: Final = 3
_PACKET: Final = 262_144


@dataclass(slots=True)
class Child:
    """One process and its latest life."""

    spec: ChildSpec
    state: str = "waiting"
    pid: int = 0
    ports: dict[str, int] = field(default_factory=dict)
    incarnation: str = ""
    since: float = 0.0
    delay: float = 0.0
    patience: Patience = field(default_factory=Patience)
    deaths: int = 0
    code: int = 0
    ended: trio.Event = field(default_factory=trio.Event)

    @property
    def name(self) -> str:
        """Its name, such as edge-1."""
        return self.spec.name


class Children:
    """Keeps the children alive. `changed` is called when the set of ready ones changes, `left` with a dead incarnation."""

    def __init__(self, target: Target) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.left: Callable[[str], None] = lambda incarnation: None
        self.all: dict[str, Child] = {}
        self.ready = trio.Event()
        self.stopping = False
        self._target = target
        self._replaced: subprocess.Popen[bytes] | None = None
        # Forked at once: this process must not have threads yet.
        self._zygote, sock = fork_zygote(target)
        self._plain = sock
        self._sock: trio.socket.SocketType

    async def run(self, specs: Iterable[ChildSpec]) -> None:
        """Start the children and keep them alive until cancelled. Raises UpError when one cannot start."""
        self._sock = trio.socket.from_stdlib_socket(self._plain)
        self.all = {spec.name: Child(spec) for spec in specs}
        try:
            async with trio.open_nursery() as nursery:
                for child in self.all.values():
                    nursery.start_soon(self._start, child)
                while True:
                    try:
                        packet = await self._sock.recv(_PACKET)
                    except ConnectionResetError:
                        packet = b""
                    if packet:
                        self._heard(json.loads(packet), nursery)
                    else:
                        await self._new_zygote(nursery)
        finally:
            self._sock.close()

    async def _start(self, child: Child) -> None:
        child.state = "waiting"
        await trio.sleep(child.delay)
        if not self.stopping:
            child.state, child.since, child.ended = "starting", trio.current_time(), trio.Event()
            await self._send(start_order(child.spec))

    async def _send(self, packet: bytes) -> None:
        try:
            await self._sock.send(packet)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the zygote is gone; `run` sees it too and starts everything again

    def _heard(self, message: dict[str, Any], nursery: trio.Nursery) -> None:
        child = self.all[message["name"]]
        match message["say"]:
            case "started":
                child.pid = message["pid"]
            case "hello":
                child.incarnation = message["incarnation"]
            case "ready":
                child.incarnation = message.get("incarnation", child.incarnation)
                child.ports, child.state, child.pid = message["ports"], "ready", message["pid"]
                _log.debug("process_ready", process=child.name, pid=child.pid)
                self._changed()
            case "ended":
                self._died(child, message["code"], nursery)

    def _died(self, child: Child, code: int, nursery: trio.Nursery) -> None:
        worked = trio.current_time() - child.since if child.state == "ready" else 0.0
        incarnation, child.incarnation = child.incarnation, ""
        child.state, child.pid, child.code, child.ports = "dead", 0, code, {}
        child.ended.set()
        if incarnation:
            self.left(incarnation)
        self._changed()
        if self.stopping:
            return
        child.deaths += 1
        metrics.RESTARTS.labels(child.name.partition("-")[0]).inc()
        child.delay = child.patience.pause(worked, orderly=code == 0)
        _log.error("process_died", process=child.name, code=code, restart_in=child.delay)
        if not self.ready.is_set() and child.deaths >= _HOPELESS:
            raise UpError(
                f"{child.name} ended {child.deaths} times with code {code}: the lines above say why"
            )
        nursery.start_soon(self._start, child)

    def _changed(self) -> None:
        states = [child.state for child in self.all.values()]
        if all(state == "ready" for state in states):
            self.ready.set()
        for kind in {name.partition("-")[0] for name in self.all}:
            ready = sum(
                child.state == "ready" for name, child in self.all.items() if name.startswith(f"{kind}-")
            )
            metrics.CHILDREN.labels(kind).set(ready)
        self.changed()

    # --- the zygote -----------------------------------------------------------------------------------------------------

    async def _new_zygote(self, nursery: trio.Nursery) -> None:
        """The zygote was killed, and its children with it: make another one from a fresh interpreter."""
        self._reap_zygote()
        self._sock.close()
        if not self.stopping:
            _log.error("zygote_died")
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            target = f"{self._target.__module__}:{self._target.__name__}"
            argv = [sys.executable, "-m", "rookery.up.zygote", str(theirs.fileno()), str(os.getpid()), target]
            self._replaced = subprocess.Popen(argv, pass_fds=[theirs.fileno()])  # noqa: ASYNC220  the main thread forks
            self._zygote = self._replaced.pid
            theirs.close()
            self._sock = trio.socket.from_stdlib_socket(ours)
        for child in self.all.values():
            if child.state in ("starting", "ready"):
                self._died(child, -signal.SIGKILL, nursery)
        if self.stopping:
            await trio.sleep_forever()

    def _reap_zygote(self) -> None:
        if self._replaced is not None:
            self._replaced.wait()
        else:
            os.waitpid(self._zygote, 0)
        self._zygote = 0

    def close(self) -> None:
        """End the zygote (its children die with it) and wait for it. Call it last, outside the loop."""
        if self._zygote:
            os.kill(self._zygote, signal.SIGKILL)
            self._reap_zygote()
        self._plain.close()

    # --- stopping ---------------------------------------------------------------------------------------------------------

    async def stop(self, limit: float) -> None:
        """Edges first, then all others; a child that takes longer than `limit` seconds is killed."""
        self.stopping = True
        edges = [child for name, child in self.all.items() if name.startswith("edge-")]
        others = [child for name, child in self.all.items() if not name.startswith("edge-")]
        for group in (edges, others):
            with trio.move_on_after(limit):
                await self._signal(group, signal.SIGTERM)
            if any(child.pid for child in group):
                _log.error("process_killed", processes=[child.name for child in group if child.pid])
                with trio.move_on_after(5.0):
                    await self._signal(group, signal.SIGKILL)

    async def _signal(self, group: list[Child], number: int) -> None:
        running = [child for child in group if child.pid]
        for child in running:
            await self._send(signal_order(child.pid, number))
        for child in running:
            await child.ended.wait()

    async def reload(self) -> None:
        """Pass SIGHUP on to every child."""
        for child in self.all.values():
            if child.pid:
                await self._send(signal_order(child.pid, signal.SIGHUP))

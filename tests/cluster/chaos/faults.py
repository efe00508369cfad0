"""The faults: what is broken, how, and when it is whole again. `docs/faults.md` tells them to people."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import psutil  # type: ignore[import-untyped]
from tests.cluster.chaos.client import Client
from tests.cluster.chaos.loop import Loop, Script
from tests.cluster.chaos.outside import Outside
from tests.cluster.harness import Cluster

#: How long a killed process may take to be replaced, in seconds.
REPLACED: Final = 40.0
#: Messages that wait for a client that was away (F24).
BURST: Final = 150
#: Messages that come at once (F21): many times what a second can take.
FLOOD: Final = 3000
_OURS: Final = ("edge", "router", "roster", "presence", "offline", "account", "muc")
_WORKERS: Final = ("roster", "presence", "offline", "account", "muc")
_ROOMS: Final = ("muc",)


class Absent(Exception):  # noqa: N818  what happened
    """No process of a kind runs at the moment: other faults have ended all of them."""


class Stage:
    """What a fault may touch."""

    def __init__(
        self,
        cluster: Cluster,
        loop: Loop,
        rng: random.Random,
        clients: Sequence[Client],
        say: Callable[[str], None],
        complain: Callable[[str], None],
        outside: Outside | None = None,
    ) -> None:
        self.cluster = cluster
        #: NATS and Postgres on cables, when faults want them.
        self.outside = outside
        self.loop = loop
        self.rng = rng
        self.clients = clients
        self.say = say
        self.complain = complain
        #: After how many bytes sent the coming attempts to log in are cut.
        self.cuts: list[int] = []
        self._position = 0
        #: How many processes the cluster has when it is whole.
        self.processes = len(self.pids(*_OURS))
        self._stopped: set[int] = set()

    # --- processes ---

    def pids(self, *kinds: str) -> list[int]:
        """The processes that host one of these kinds, each once."""
        found: list[int] = []
        for process in self.cluster.ready()["processes"]:
            if process["pid"] not in found and any(kind in process["kinds"] for kind in kinds):
                found.append(process["pid"])
        return found

    def kinds(self, pid: int) -> str:
        """What a process hosts, for the log."""
        for process in self.cluster.ready()["processes"]:
            if process["pid"] == pid:
                return "+".join(process["kinds"])
        return "?"

    def pick(self, *kinds: str) -> int:
        """Some process of these kinds. Raises `Absent`."""
        there = self.pids(*kinds)
        if not there:
            raise Absent("/".join(kinds))
        return self.rng.choice(there)

    def family(self, pid: int) -> list[int]:
        """A server and its own children (Postgres is many processes)."""
        try:
            return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        except psutil.Error:
            return [pid]

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process of the cluster, or one of a server's children."""
        if number is signal.SIGSTOP:
            self._stopped.add(pid)
        elif number is signal.SIGCONT:
            self._stopped.discard(pid)
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def go_on(self) -> None:
        """Nothing stays stopped, cut or full."""
        if self.outside is not None:
            self.outside.let_go()
        for pid in list(self._stopped):
            self.signal(pid, signal.SIGCONT)

    def replaced(self, pid: int, count: int, *kinds: str) -> Script:
        """Wait until another process does what `pid` did."""
        deadline = self.loop.now + REPLACED

        def there() -> bool:
            now = self.pids(*kinds)
            return (pid not in now and len(now) >= count) or self.loop.now > deadline

        yield there
        if self.loop.now > deadline:
            self.complain(f"{'/'.join(kinds)} {pid} was not replaced in {REPLACED} s")

    def within(self, seconds: float, condition: Callable[[], bool]) -> Callable[[], bool]:
        """The condition, or that so much time has passed."""
        deadline = self.loop.now + seconds
        return lambda: condition() or self.loop.now > deadline

    # --- clients ---

    def some(self, share: float) -> list[Client]:
        """Some of the clients that are connected, at least one if there is any."""
        up = [client for client in self.clients if client.up and not client.silent]
        return self.rng.sample(up, min(len(up), max(1, round(share * len(self.clients)))))

    def of_edge(self, port: int) -> list[Client]:
        """The clients that are connected to the edge with this port."""
        return [one for one in self.clients if one.up and one.stream is not None and one.stream.port == port]

    def kill_edge(self, port: int) -> Script:
        """SIGKILL the edge with this port and wait for another."""
        count = len(self.pids("edge"))
        for edge in self.cluster.processes("edge"):
            if edge["ports"].get("c2s") == port:
                self.signal(edge["pid"], signal.SIGKILL)
                yield from self.replaced(edge["pid"], count, "edge")

    def next_position(self) -> int:
        """Handshakes are cut at every byte, one position after the other."""
        self._position = self._position % 620 + 1
        return self._position


class Fault(NamedTuple):
    """One sort of fault."""

    id: str
    name: str
    what: str
    run: Callable[[Stage], Script]
    #: Whether NATS and Postgres are "inside" the cluster (it starts them anew) or "outside" (on cables); "": no matter.
    servers: str = ""


def _kill(*kinds: str, number: signal.Signals = signal.SIGKILL) -> Callable[[Stage], Script]:
    def run(stage: Stage) -> Script:
        count = len(stage.pids(*kinds))
        pid = stage.pick(*kinds)
        stage.say(f"{number.name} {stage.kinds(pid)} {pid}")
        stage.signal(pid, number)
        yield from stage.replaced(pid, count, *kinds)

    return run


def _stop(seconds: float, *kinds: str, family: bool = False) -> Callable[[Stage], Script]:
    def run(stage: Stage) -> Script:
        count = len(stage.pids(*kinds))
        pid = stage.pick(*kinds)
        pids = stage.family(pid) if family else [pid]
        stage.say(f"SIGSTOP {stage.kinds(pid)} {pid} for {seconds:.0f} s")
        for one in pids:
            stage.signal(one, signal.SIGSTOP)
        yield seconds
        for one in pids:
            stage.signal(one, signal.SIGCONT)
        # A holder that was deposed meanwhile ends itself and is replaced.
        yield 2.0
        yield stage.within(REPLACED, lambda: len(stage.pids(*kinds)) >= count)

    return run


def _server_kill(kind: str) -> Callable[[Stage], Script]:
    def run(stage: Stage) -> Script:
        (pid,) = stage.pids(kind)
        stage.say(f"SIGKILL {kind} {pid}")
        stage.signal(pid, signal.SIGKILL)
        yield from stage.replaced(pid, 1, kind)

    return run


def _roll(stage: Stage) -> Script:
    for pid in stage.pids(*_OURS):
        kinds = stage.kinds(pid).split("+")
        if kinds == ["?"]:
            continue
        count = len(stage.pids(kinds[0]))
        stage.say(f"SIGTERM {'+'.join(kinds)} {pid}")
        stage.signal(pid, signal.SIGTERM)
        yield from stage.replaced(pid, count, kinds[0])
        yield 1.0


def _cut(stage: Stage) -> Script:
    chosen = stage.some(0.3)
    stage.say(f"{len(chosen)} connections cut in the middle of a stanza")
    for client in chosen:
        if client.stream is not None and client.up and client.chain is not None:
            data = client.next_message()
            client.stream.cut_in_stanza(data, stage.rng.randrange(len(data)))
        yield stage.rng.uniform(0, 0.05)


def _reset(stage: Stage) -> Script:
    chosen = stage.some(0.3)
    stage.say(f"{len(chosen)} connections reset")
    for client in chosen:
        if client.stream is not None:
            client.stream.close("reset", abort=True)
    yield 0.5


def _handshake(stage: Stage) -> Script:
    chosen = stage.some(0.3)
    stage.cuts += [stage.next_position() for _ in range(4 * len(chosen))]
    if not stage.cuts:
        stage.say("nobody is connected")
        yield 0.5
        return
    first, last = stage.cuts[0], stage.cuts[-1]
    stage.say(f"{len(chosen)} clients log in with cuts at bytes {first} to {last}")
    for client in chosen:
        if client.stream is not None:
            client.stream.close("reset", abort=True)
    yield stage.within(30, lambda: not stage.cuts)
    stage.cuts.clear()


def _silence(stage: Stage) -> Script:
    chosen = stage.some(0.2)
    seconds = stage.rng.uniform(5, 15)
    stage.say(f"{len(chosen)} clients are silent for {seconds:.0f} s")
    for client in chosen:
        client.silence(True)
    yield seconds
    for client in chosen:
        client.silence(False)


def _steal(stage: Stage) -> Script:
    chosen = stage.some(0.2)
    stage.say(f"{len(chosen)} clients resume while their old stream is open")
    for client in chosen:
        client.steal()
    yield stage.within(20, lambda: all(client.up for client in chosen))
    yield 1.0


def _flush(stage: Stage) -> Script:
    chosen = stage.some(0.0)
    if not chosen:
        return
    client = chosen[0]
    peer = stage.clients[client.index ^ 1]
    stage.say(f"client {client.index} leaves, {BURST} messages wait for it, its edge dies while they come")
    client.leave()
    yield 0.3
    for _ in range(BURST):
        peer.talk()
        yield 0.002
    yield stage.within(5, lambda: peer.chain is None or not peer.chain.queue)
    client.come_back()
    yield stage.within(20, lambda: client.up)
    yield stage.rng.uniform(0, 0.15)
    yield from stage.kill_edge(client.stream.port if client.stream is not None else 0)


def _storm(stage: Stage) -> Script:
    chosen = stage.some(0.0)
    if not chosen or chosen[0].stream is None:
        return
    port = chosen[0].stream.port
    everybody = stage.of_edge(port)
    stage.say(f"{len(everybody)} clients lose their connections, then SIGKILL of their edge")
    for client in everybody:
        if client.stream is not None:
            client.stream.close("reset", abort=True)
    yield 0.02
    yield from stage.kill_edge(port)
    yield stage.within(30, lambda: all(client.up for client in everybody))


def _flood(stage: Stage) -> Script:
    chosen = [client for client in stage.clients if client.up and not client.silent]
    stage.say(f"{FLOOD} messages as fast as they can be written, by {len(chosen)} clients")
    left = FLOOD
    while left > 0 and chosen:
        for client in chosen:
            for _ in range(5):
                client.talk()
        left -= 5 * len(chosen)
        yield 0.01
    yield stage.within(30, lambda: all(one.chain is None or len(one.chain.queue) < 50 for one in chosen))


def _midway(stage: Stage) -> Script:
    """A crash between two steps of a message: which two is a matter of milliseconds, and of the dice."""
    chosen = stage.some(0.0)
    if not chosen or chosen[0].stream is None:
        return
    client = chosen[0]
    peer = stage.clients[client.index ^ 1]
    victim = stage.rng.choice(("router", "sender's edge", "recipient's edge"))
    moment = stage.rng.uniform(0.0, 0.06)
    stage.say(f"SIGKILL of a {victim} {moment * 1000:.0f} ms after the first of 40 messages in a row")
    for _ in range(40):
        client.talk()
    yield moment
    if victim == "router":
        yield from _kill("router")(stage)
        return
    stream = client.stream if victim == "sender's edge" else peer.stream
    yield from stage.kill_edge(0 if stream is None else stream.port)


def _room_midway(stage: Stage) -> Script:
    """A crash between the steps of a message to a room: commit, fan-out, the routers' confirmation."""
    chosen = [client for client in stage.some(0.5) if client.inside.rooms]
    victim = stage.rng.choice(("muc", "router", "edge"))
    moment = stage.rng.uniform(0.0, 0.06)
    stage.say(
        f"SIGKILL of a {victim} {moment * 1000:.0f} ms after {len(chosen)} clients spoke in their rooms"
    )
    for client in chosen:
        for _ in range(3):
            client.speak(client.inside.rooms[0])
    yield moment
    yield from _kill(victim)(stage)


INSIDE: Final = "inside"
OUTSIDE: Final = "outside"
FAULTS: Final = (
    Fault("F01", "edge-kill", "SIGKILL of an edge", _kill("edge")),
    Fault("F02", "router-kill", "SIGKILL of a router", _kill("router")),
    Fault("F03", "worker-kill", "SIGKILL of a worker", _kill(*_WORKERS)),
    Fault("F03", "room-kill", "SIGKILL of a process that holds rooms", _kill(*_ROOMS)),
    Fault("F05", "router-stop", "SIGSTOP of a router for 10 s, then SIGCONT", _stop(10, "router")),
    Fault("F05", "worker-stop", "SIGSTOP of a worker for 10 s, then SIGCONT", _stop(10, *_WORKERS)),
    Fault("F05", "edge-stop", "SIGSTOP of an edge for 10 s, then SIGCONT", _stop(10, "edge")),
    Fault("F06", "nats-kill", "SIGKILL of NATS, which is started again", _server_kill("nats"), INSIDE),
    Fault("F07", "nats-stop", "SIGSTOP of NATS for 8 s", _stop(8, "nats"), INSIDE),
    Fault("F11", "postgres-kill", "SIGKILL of Postgres, crash recovery", _server_kill("postgres"), INSIDE),
    Fault(
        "F13",
        "postgres-stop",
        "SIGSTOP of all of Postgres for 10 s",
        _stop(10, "postgres", family=True),
        INSIDE,
    ),
    Fault("F10", "silence", "clients neither read nor write for 5 to 15 s", _silence),
    Fault("F19", "roll", "SIGTERM of every process, one after the other", _roll),
    Fault("F05", "room-stop", "SIGSTOP of a process that holds rooms for 10 s", _stop(10, *_ROOMS)),
    Fault("F20", "room-term", "SIGTERM of a process that holds rooms", _kill(*_ROOMS, number=signal.SIGTERM)),
    Fault("F20", "edge-term", "SIGTERM of an edge", _kill("edge", number=signal.SIGTERM)),
    Fault("F20", "router-term", "SIGTERM of a router", _kill("router", number=signal.SIGTERM)),
    Fault("F18", "storm", "an edge loses all its connections, then SIGKILL", _storm),
    Fault("F21", "flood", "many times what the cluster can take", _flood),
    Fault("F23", "midway", "SIGKILL within milliseconds of a burst: between two steps of a message", _midway),
    Fault("F23", "room-midway", "the same with a burst in a room, and who holds it", _room_midway),
    Fault("F24", "flush-kill", "SIGKILL of an edge while it brings stored messages", _flush),
    Fault("C01", "cut", "client connections end in the middle of a stanza", _cut),
    Fault("C02", "reset", "client connections are reset", _reset),
    Fault("C03", "handshake", "log-ins and resumptions are cut at every byte position", _handshake),
    Fault("C04", "steal", "a stream is resumed while the old one is open", _steal),
)

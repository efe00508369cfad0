"""What breaks between two servers: their processes for it, the network between them, and the other server as a whole."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Final

from tests.cluster.chaos.abroad.sides import Half
from tests.cluster.chaos.faults import FAULTS, INSIDE, OUTSIDE, Fault, Stage
from tests.cluster.chaos.loop import Script

#: Faults of clients alone: they end no stream between servers.
HARMLESS: Final = frozenset(
    {"cut", "reset", "handshake", "steal", "silence", "edge-kill", "edge-stop", "edge-term", "storm"}
)
#: Messages in a row before a kill within milliseconds.
BURST: Final = 40


def _half(run: Callable[[Half], Script]) -> Callable[[Stage], Script]:
    """These faults know which of two servers they are at."""

    def on(stage: Stage) -> Script:
        assert isinstance(stage, Half)
        yield from run(stage)

    return on


def _all(number: signal.Signals) -> Callable[[Stage], Script]:
    """Every process that speaks with other servers, at once."""

    def run(stage: Stage) -> Script:
        pids = stage.pids("s2s")
        stage.say(f"{number.name} of all {len(pids)} processes that have streams with other servers")
        for pid in pids:
            stage.signal(pid, number)
        for pid in pids:
            yield from stage.replaced(pid, len(pids), "s2s")

    return run


def _one(number: signal.Signals) -> Callable[[Stage], Script]:
    def run(stage: Stage) -> Script:
        count = len(stage.pids("s2s"))
        pid = stage.pick("s2s")
        stage.say(f"{number.name} s2s {pid}")
        stage.signal(pid, number)
        yield from stage.replaced(pid, count, "s2s")

    return run


def _midway(stage: Half) -> Script:
    """A crash between two steps: the row, the acceptance, the sending, the acknowledgement."""
    clients = [client for client in stage.clients if client.up and not client.silent]
    moment = stage.rng.uniform(0.0, 0.12)
    stage.say(f"SIGKILL of an s2s process {moment * 1000:.0f} ms after {len(clients)} clients wrote")
    for client in clients:
        for _ in range(max(1, BURST // len(clients))):
            client.talk()
    yield moment
    yield from _one(signal.SIGKILL)(stage)


def _stop(stage: Half) -> Script:
    pid = stage.pick("s2s")
    count = len(stage.pids("s2s"))
    stage.say(f"SIGSTOP s2s {pid} for 10 s")
    stage.signal(pid, signal.SIGSTOP)
    yield 10.0
    stage.signal(pid, signal.SIGCONT)
    yield 2.0
    yield stage.within(40, lambda: len(stage.pids("s2s")) >= count)


def _reset(stage: Half) -> Script:
    stage.say("the connections between the servers are reset")
    for _ in range(3):
        for cable in stage.cables:
            cable.reset()
        yield stage.rng.uniform(0.05, 1.0)


def _hold(stage: Half) -> Script:
    seconds = stage.rng.uniform(2, 40)
    ways = stage.rng.choice(((True, True), (True, False), (False, True)))
    stage.say(f"nothing passes between the servers for {seconds:.0f} s (to: {ways[0]}, from: {ways[1]})")
    stage.hold(*ways)
    yield seconds
    for cable in stage.cables:
        cable.let_go()
    yield 1.0


def _slow(stage: Half) -> Script:
    stage.say("everything takes 0 to 0.5 s between the servers for 8 s")
    for cable in stage.cables:
        cable.delay(0.0, 0.5)
    yield 8.0
    for cable in stage.cables:
        cable.let_go()


def _peer_kill(stage: Half) -> Script:
    if stage.other is None:
        yield from _all(signal.SIGKILL)(stage)
        return
    away = stage.rng.uniform(0.0, 6.0)
    stage.say(f"SIGKILL of the other server, for {away:.1f} s")
    for client in stage.clients:
        if client.up and not client.silent and client.index % 2 == 0:
            for _ in range(5):
                client.talk()
    yield stage.rng.uniform(0.0, 0.1)
    stage.other.kill(stage.loop.now)
    yield away
    stage.other.start()
    yield stage.within(30, stage.other.ready)
    yield 1.0


ABROAD: Final = (
    Fault("S01", "s2s-kill", "SIGKILL of a process with streams to other servers", _one(signal.SIGKILL)),
    Fault("S01", "s2s-midway", "SIGKILL of such a process within milliseconds of a burst", _half(_midway)),
    Fault("S02", "s2s-term", "SIGTERM of a process with streams to other servers", _one(signal.SIGTERM)),
    Fault("S03", "s2s-stop", "SIGSTOP of such a process for 10 s", _half(_stop)),
    Fault("S04", "peer-kill", "SIGKILL of the other server, or of all that it has for federation", _half(_peer_kill)),
    Fault("S05", "link-reset", "connections between the servers are reset, again and again", _half(_reset)),
    Fault("S06", "link-hold", "nothing passes between the servers for 2 to 40 s, one way or both", _half(_hold)),
    Fault("S07", "link-slow", "every byte between the servers takes up to 0.5 s longer", _half(_slow)),
)  # fmt: skip
#: Single faults that a cluster of a federation has.
ALL: Final = (
    *(fault for fault in FAULTS if fault.servers != OUTSIDE and not fault.name.startswith("room")),
    *ABROAD,
)
assert all(fault.servers in ("", INSIDE) for fault in ALL)


def chosen(names: str) -> list[Fault]:
    """By name or id, with commas; "all", "abroad" for those of this file, "-name" for all but that. Raises ValueError."""
    wanted = [name for name in names.split(",") if name]
    known = {fault.name for fault in ALL} | {fault.id for fault in ALL} | {"all", "abroad"}
    if unknown := {name.removeprefix("-") for name in wanted} - known:
        raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    without = {name[1:] for name in wanted if name.startswith("-")}
    named = {name for name in wanted if not name.startswith("-")} or {"all"}
    return [
        fault
        for fault in ALL
        if not without & {fault.name, fault.id}
        and ("all" in named or ("abroad" in named and fault in ABROAD) or named & {fault.name, fault.id})
    ]

"""Faults on top of each other: two processes within a second, one that is killed while another one is stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Final

from tests.cluster.chaos.faults import INSIDE, REPLACED, Fault, Stage
from tests.cluster.chaos.loop import Script

_KINDS: Final = ("edge", "router", "muc")


def _kills(*kinds: str) -> Callable[[Stage], Script]:
    """SIGKILL one process of each kind, in some order, within a second; then all are there again."""

    def run(stage: Stage) -> Script:
        order = stage.rng.sample(list(kinds), len(kinds))
        counts = {kind: len(stage.pids(kind)) for kind in kinds}
        killed: list[tuple[int, str]] = []
        for kind in order:
            pid = stage.pick(kind)
            stage.say(f"SIGKILL {stage.kinds(pid)} {pid}")
            stage.signal(pid, signal.SIGKILL)
            killed.append((pid, kind))
            yield stage.rng.uniform(0.0, 1.0 / len(kinds))
        for pid, kind in killed:
            yield from stage.replaced(pid, counts[kind], kind)

    return run


def _stopped(kind: str, *others: str) -> Callable[[Stage], Script]:
    """SIGSTOP a process for 5 to 15 s, and SIGKILL one of the others meanwhile."""

    def run(stage: Stage) -> Script:
        counts = {one: len(stage.pids(one)) for one in _KINDS}
        stopped = stage.pick(kind)
        seconds = stage.rng.uniform(5.0, 15.0)
        stage.say(f"SIGSTOP {stage.kinds(stopped)} {stopped} for {seconds:.0f} s")
        stage.signal(stopped, signal.SIGSTOP)
        wait = stage.rng.uniform(0.1, seconds - 1.0)
        yield wait
        other = stage.rng.choice(others)
        left = [pid for pid in stage.pids(other) if pid != stopped]
        if left:
            pid = stage.rng.choice(left)
            stage.say(f"SIGKILL {stage.kinds(pid)} {pid} meanwhile")
            stage.signal(pid, signal.SIGKILL)
        yield seconds - wait
        stage.signal(stopped, signal.SIGCONT)
        yield 2.0
        whole = stage.within(
            REPLACED, lambda: all(len(stage.pids(one)) >= count for one, count in counts.items())
        )
        yield whole

    return run


def _power(stage: Stage) -> Script:
    """The machine loses its power: SIGKILL of every process, servers too."""
    counts = {kind: len(stage.pids(kind)) for kind in _KINDS}
    pids = {kind: stage.pids(kind) for kind in (*_KINDS, "nats", "postgres")}
    for kind, those in pids.items():
        stage.say(f"SIGKILL {kind} {' '.join(map(str, those))}")
        for pid in those:
            stage.signal(pid, signal.SIGKILL)
    for kind, count in counts.items():
        for pid in pids[kind]:
            yield from stage.replaced(pid, count, kind)


OVERLAPS: Final = (
    Fault("O01", "edge-router", "SIGKILL of an edge and a router within a second", _kills("edge", "router")),
    Fault("O02", "router-room", "SIGKILL of a router and a holder of rooms", _kills("router", "muc")),
    Fault("O02", "edge-room", "SIGKILL of an edge and a holder of rooms", _kills("edge", "muc")),
    Fault(
        "O03", "three", "SIGKILL of an edge, a router and a holder of rooms", _kills("edge", "router", "muc")
    ),
    Fault("O04", "stop-and-kill", "a router stands still, something dies", _stopped("router", *_KINDS)),
    Fault("O04", "room-and-kill", "a holder of rooms stands still, something dies", _stopped("muc", *_KINDS)),
    Fault("O05", "nats-router", "SIGKILL of NATS and a router", _kills("nats", "router"), INSIDE),
    Fault("O05", "nats-room", "SIGKILL of NATS and a holder of rooms", _kills("nats", "muc"), INSIDE),
    Fault("O06", "postgres-router", "SIGKILL of Postgres and a router", _kills("postgres", "router"), INSIDE),
    Fault(
        "O06", "postgres-room", "SIGKILL of Postgres and a holder of rooms", _kills("postgres", "muc"), INSIDE
    ),
)
#: Only when it is named: no session outlives it.
POWER: Final = Fault("O07", "power", "SIGKILL of everything at once", _power, INSIDE)

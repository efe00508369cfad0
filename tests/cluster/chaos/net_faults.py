"""Faults of what lies between the processes and their servers: they need NATS and Postgres on cables."""

from __future__ import annotations

from typing import Final

from tests.cluster.chaos.faults import OUTSIDE, Fault, Stage
from tests.cluster.chaos.loop import Script
from tests.cluster.chaos.outside import Outside

_HOLDERS: Final = ("router", "roster", "presence", "offline", "account")


def _outside(stage: Stage) -> Outside:
    assert stage.outside is not None
    return stage.outside


def _nats_cut(stage: Stage) -> Script:
    pid = stage.pick("edge", "router")
    up, down = stage.rng.choice(((True, True), (True, False), (False, True)))
    seconds = stage.rng.uniform(5.0, 10.0)
    ways = "both ways" if up and down else "what it sends" if up else "what it gets"
    stage.say(f"{stage.kinds(pid)} {pid} is cut off from NATS, {ways}, for {seconds:.0f} s")
    _outside(stage).nats.hold([pid], up=up, down=down)
    yield seconds
    _outside(stage).nats.let_go()
    yield from _whole(stage)


def _postgres_cut(stage: Stage) -> Script:
    pid = stage.pick(*_HOLDERS)
    seconds = stage.rng.uniform(5.0, 10.0)
    stage.say(f"{stage.kinds(pid)} {pid} is cut off from Postgres for {seconds:.0f} s")
    _outside(stage).postgres.hold([pid])
    yield seconds
    _outside(stage).postgres.let_go()
    yield from _whole(stage)


def _whole(stage: Stage) -> Script:
    """A holder that was deposed ends itself and is replaced."""
    yield 2.0
    wanted = stage.processes
    yield stage.within(40, lambda: len(stage.pids("edge", *_HOLDERS)) >= wanted)


def _postgres_slow(stage: Stage) -> Script:
    stage.say("Postgres answers 0.2 s later for 4 s, then 2 s later for 4 s")
    cable = _outside(stage).postgres
    cable.delay(0.1, 0.1)
    yield 4.0
    cable.delay(1.0, 1.0)
    yield 4.0
    cable.let_go()
    yield 2.0


def _disk_full(stage: Stage) -> Script:
    outside = _outside(stage)
    if not outside.disk:
        stage.complain("a disk of its own for Postgres needs root")
        return
    seconds = stage.rng.uniform(3.0, 8.0)
    stage.say(f"the disk of Postgres is full for {seconds:.0f} s")
    outside.fill()
    yield seconds
    outside.free()
    yield 0.5
    if outside.revive():
        stage.say("Postgres had given up and was started again")
    yield from _whole(stage)


def _mixed(stage: Stage) -> Script:
    outside = _outside(stage)
    stage.say("for 6 s, messages of NATS come twice and in another order, all is up to 30 ms late")
    outside.nats.delay(0.0, 0.03)
    outside.postgres.delay(0.0, 0.03)
    outside.nats.mix(0.1)
    before = outside.nats.changes
    yield 6.0
    outside.let_go()
    stage.say(f"{outside.nats.changes - before} messages were repeated or turned")
    yield 1.0


NET_FAULTS: Final = (
    Fault("F08", "nats-cut", "one process is cut off from NATS, one way or both", _nats_cut, OUTSIDE),
    Fault("F09", "postgres-cut", "one process is cut off from Postgres", _postgres_cut, OUTSIDE),
    Fault("F13", "postgres-slow", "Postgres answers 0.2 s, then 2 s later", _postgres_slow, OUTSIDE),
    Fault("F14", "disk-full", "no room on the disk of Postgres", _disk_full, OUTSIDE),
    Fault("F28", "mixed", "NATS repeats and turns messages, both servers are late", _mixed, OUTSIDE),
)

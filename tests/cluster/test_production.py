"""Processes that nobody's parent watches, as in production: what `rookery status`, /readyz and /metrics tell of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.cluster.harness import end_with_parent
from tests.cluster.managed import Device

from rookery import __version__, _compiled
from rookery.shared.bus.kinds import built
from rookery.shared.bus.messages import Kind

pytestmark = pytest.mark.cluster

#: What clients need beside edges and routers; this cluster, on loopback, has no other servers.
WORKERS = [row.kind.label for row in built() if row.by_default and row.kind != Kind.S2S]

Run = Callable[..., subprocess.Popen[bytes]]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture
def environment(nats_url: str, database_url: str, bus_prefix: str) -> dict[str, str]:
    token, _, address = nats_url.removeprefix("nats://").partition("@")
    return {
        **os.environ,
        "ROOKERY_BUS__URL": f"nats://{address}",
        "ROOKERY_BUS__TOKEN": token,
        "ROOKERY_BUS__PREFIX": bus_prefix,
        "ROOKERY_DATABASE__URL": database_url,
        "ROOKERY_EDGE__HOST": "127.0.0.1",
        "ROOKERY_EDGE__C2S_PORT": str(free_port()),
        "ROOKERY_EDGE__ALLOW_PLAINTEXT": "true",
        "ROOKERY_EDGE__C2S_TLS_PORT": "0",
        "ROOKERY_EDGE__HTTP_PORT": "0",
        "ROOKERY_LOG__FORMAT": "json",
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Iterator[Run]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str, admin_port: int) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{len(started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "rookery", *command],
                env={**environment, "ROOKERY_ADMIN__PORT": str(admin_port)},
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def until(condition: Callable[[], bool], limit: float = 40.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def status(environment: dict[str, str]) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "rookery", "status", "--json"],
        env=environment,
        capture_output=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


def rookery(environment: dict[str, str], *arguments: str, text: str = "") -> str:
    """What a command says. Raises CalledProcessError."""
    return subprocess.run(
        [sys.executable, "-m", "rookery", *arguments],
        env=environment,
        input=text,
        text=True,
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout


def test_what_is_missing_is_told(environment: dict[str, str], run: Run, tmp_path: Path) -> None:
    file = tmp_path / "rookery.toml"
    file.write_text("")
    rookery(environment, "migrate")
    ports = {name: free_port() for name in ("edge", "router", "worker")}
    code, found = status(environment)
    assert code == 1
    assert [line.partition(":")[0] for line in found["missing"]] == ["edge", "router", *WORKERS]
    processes = {
        "edge": run("edge", "--config", str(file), admin_port=ports["edge"]),
        "router": run("router", "--config", str(file), admin_port=ports["router"]),
        "worker": run("worker", *WORKERS, admin_port=ports["worker"]),
    }
    until(lambda: all(get(port, "/readyz")[0] == 200 for port in ports.values()))

    # Everything that is known of a process stands in one line of the status.
    code, found = status(environment)
    assert (code, found["missing"]) == (0, [])
    told = {"+".join(process["kinds"]): process for process in found["processes"]}
    assert sorted(told) == ["edge", "+".join(WORKERS), "router"]
    for name, kinds in (
        ("edge", "edge"),
        ("router", "router"),
        ("worker", "+".join(WORKERS)),
    ):
        process = told[kinds]
        assert process["host"] == socket.gethostname()
        assert process["pid"] == processes[name].pid
        assert process["ports"] == {"admin": ports[name]}
        assert 0 <= process["uptime"] < 120
        assert (process["release"], process["code"]) == (__version__, _compiled.state)

    # Nobody exposes what others count, nor when a series was made.
    _, edge = get(ports["edge"], "/metrics")
    _, router = get(ports["router"], "/metrics")
    assert "rookery_ready 1.0" in edge
    assert f"rookery_compiled {float(_compiled.state == 'compiled')}" in edge
    assert "rookery_route_total" not in edge
    assert "rookery_db_seconds" not in edge
    assert "rookery_c2s_sessions" not in router
    assert "rookery_commit_seconds" in router
    assert "_created" not in edge + router

    # A port that is taken is named, in one line.
    second = run("edge", admin_port=ports["router"])
    assert second.wait(30) == 75

    _reloaded(environment, processes["edge"], file, tmp_path / "0.log")
    trio.run(
        _paced, environment, next(one["incarnation"] for one in found["processes"] if "edge" in one["kinds"])
    )

    # All who hold anything are killed: they cannot say so themselves.
    for name in ("router", "worker"):
        processes[name].kill()
    # An edge is no worse than others without rooms, nodes and files: people still log in and talk.
    kinds = ["router", "roster", "presence", "offline", "account"]
    lacking = {"failing": kinds, "missing": dict.fromkeys(kinds, 256)}
    # The edge notices one death after the other.
    until(lambda: json.loads(get(ports["edge"], "/readyz")[1]) == lacking, 15)
    assert get(ports["edge"], "/readyz")[0] == 503
    code, found = status(environment)
    assert code == 1
    assert [line.partition(":")[0] for line in found["missing"]] == ["router", *WORKERS]


def _reloaded(environment: dict[str, str], edge: subprocess.Popen[bytes], file: Path, log: Path) -> None:
    """What is changed in the file counts, what needs a restart is told, by command and by SIGHUP, at every process that read the file."""
    file.write_text("[limits]\nstanzas_per_second = 77\n[s2s]\nstanzas_per_second = 1234\n")
    told = json.loads(rookery(environment, "reload", "--json"))
    assert len(told) == 3
    changed = {name: one for name, one in told.items() if one["live"]}
    assert sorted(name.rstrip("0123456789abcdef") for name in changed) == ["edg", "router"]
    for one in changed.values():
        assert (one["live"], one["errors"]) == (["limits.stanzas_per_second"], [])
        assert one["restart"] == ["s2s.stanzas_per_second"]
    file.write_text("[limits]\nstanzas_per_second = 'many'\n")
    edge.send_signal(signal.SIGHUP)
    until(lambda: '"event":"config_wrong"' in log.read_text(), 10)
    file.write_text("[limits]\nstanzas_per_second = 88\n")
    edge.send_signal(signal.SIGHUP)
    until(lambda: log.read_text().count('"event":"config_reloaded"') == 2, 10)
    assert edge.poll() is None


async def _paced(environment: dict[str, str], edge: str) -> None:
    """An edge ends connections at the pace that is asked for, says how far it is, and lets clients in again."""
    rookery(environment, "domain", "add", "localhost")
    names = ("alice", "bob", "carol")
    for name in names:
        rookery(environment, "user", "add", f"{name}@localhost", text=f"secret-of-{name}\n")
    port = int(environment["ROOKERY_EDGE__C2S_PORT"])
    devices = [Device(name, f"secret-of-{name}", f"d{number}") for name in names for number in range(9)]
    for device in devices:
        await device.login(port)
    call = lambda *options: trio.to_thread.run_sync(lambda: rookery(environment, "drain", edge, *options))  # noqa: E731
    assert "does not drain, 27 connections" in await call("--status")
    await call("--rate", "1")
    first = await call("--status")
    assert first.startswith(f"{edge} drains, ")
    assert first.rstrip().endswith("1 a second")
    with pytest.raises(OSError):
        await Device("alice", "secret-of-alice", "late").login(port)
    left = int((await call("--cancel")).split()[-2])
    assert 0 < left < 27, "at one a second some have gone and some have not"
    assert await call("--status") == f"{edge} does not drain, {left} connections\n"
    await Device("alice", "secret-of-alice", "late").login(port)
    await devices[0].resume(port)


def test_a_taken_admin_port_is_named(run: Run, tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        assert run("router", admin_port=port).wait(30) == 75
    lines = [json.loads(line) for line in (tmp_path / "0.log").read_text().splitlines()]
    stops = [line for line in lines if line["event"] == "process_stops"]
    assert [line["reason"] for line in stops] == [
        f"admin.port {port} on 127.0.0.1: in use by another process: give this process another, or 0 for a free one"
    ]
    assert "exception" not in stops[0]

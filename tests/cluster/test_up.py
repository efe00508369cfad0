"""`rookery up`: what it promises about its children, its files and its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from tests.cluster.harness import Cluster

from rookery import _compiled
from rookery.shared.bus.kinds import built

pytestmark = pytest.mark.cluster


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def is_ready(cluster: Cluster) -> bool:
    return get(cluster.ready()["admin_port"], "/readyz")[0] == 200


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(edges=2, routers=1, workers=1) as running:
        yield running


def test_ready_file_says_what_runs(cluster: Cluster) -> None:
    ready = cluster.ready()
    assert ready["domains"][:2] == ["localhost", "other.localhost"]
    assert "BEGIN CERTIFICATE" in Path(ready["ca_file"]).read_text()
    kinds = sorted("+".join(process["kinds"]) for process in ready["processes"])
    assert kinds == sorted(
        [
            "edge",
            "edge",
            "nats",
            "postgres",
            "router",
            "+".join(row.kind.label for row in built() if row.by_default),
        ]
    )
    for process in ready["processes"]:
        assert psutil.pid_exists(process["pid"])
        for port in process["ports"].values():
            socket.create_connection(("127.0.0.1", port), 2).close()
    for edge in cluster.processes("edge"):
        assert set(edge["ports"]) == {"c2s", "c2s_tls", "http", "admin"}


def test_health_and_metrics_of_one_and_of_all(cluster: Cluster) -> None:
    for process in cluster.ready()["processes"]:
        if "admin" in process["ports"]:
            for path in ("/livez", "/readyz"):
                assert get(process["ports"]["admin"], path)[0] == 200
    port = cluster.ready()["admin_port"]
    assert get(port, "/livez") == (200, '{"failing": []}')
    assert get(port, "/readyz") == (200, '{"failing": {}}')
    metrics = get(port, "/metrics")[1]
    assert 'rookery_lease_held{process="router-1",kind="router"} 256.0' in metrics
    assert 'rookery_ready{process="edge-2"} 1.0' in metrics


def test_metrics_of_all_say_what_is_true_of_the_parent(cluster: Cluster) -> None:
    cluster.until(lambda: is_ready(cluster), "to be ready")
    _, text = get(cluster.ready()["admin_port"], "/metrics")
    assert 'rookery_ready{process="up"} 1.0' in text
    assert f'rookery_compiled{{process="up"}} {float(_compiled.state == "compiled")}' in text
    assert 'rookery_processes{process="up",kind="edge"} 2.0' in text
    for name in ("rookery_route_total", "rookery_c2s_sessions", "rookery_db_seconds_count"):
        assert f'{name}{{process="up"' not in text
    assert "_created" not in text
    assert "message path: " in cluster.log()


def test_no_secret_on_a_command_line_or_in_a_readable_file(cluster: Cluster) -> None:
    running = json.loads((cluster.data / "cluster.json").read_text())
    secrets = [
        running["nats_url"].split("@")[0].rpartition("/")[2],
        running["database_url"].split("@")[0].rpartition(":")[2],
    ]
    assert all(len(secret) > 16 for secret in secrets)
    for process in psutil.Process(cluster.pid).children(recursive=True):
        line = " ".join(process.cmdline())
        assert not any(secret in line for secret in secrets)
    assert not any(secret in cluster.log() for secret in secrets)
    for path in cluster.data.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o077:
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), path
            assert b"PRIVATE KEY" not in content, path


@pytest.mark.parametrize("kind", ["edge", "router", "roster", "nats", "postgres"])
def test_a_killed_process_is_replaced(cluster: Cluster, kind: str) -> None:
    before = cluster.processes(kind)
    victim = before[0]["pid"]
    cluster.kill(victim)
    cluster.until(lambda: victim not in cluster.pids(kind), "the dead one to be struck from the file", 5)
    cluster.until(lambda: len(cluster.pids(kind)) == len(before), f"a new {kind}", 20)
    cluster.until(lambda: is_ready(cluster), "readiness", 20)
    if kind in ("nats", "postgres"):
        assert cluster.processes(kind)[0]["ports"] == before[0]["ports"]


def test_all_are_replaced_when_the_zygote_is_killed(cluster: Cluster) -> None:
    before = {kind: set(cluster.pids(kind)) for kind in ("edge", "router", "roster")}
    parent = psutil.Process(before["edge"].pop()).parent()
    assert parent is not None
    assert parent.ppid() == cluster.pid
    parent.kill()
    for kind, pids in before.items():
        cluster.until(lambda kind=kind, pids=pids: not pids & set(cluster.pids(kind)), f"no old {kind}", 10)
    cluster.until(lambda: len(cluster.pids("edge")) == 2 and is_ready(cluster), "all to be back", 30)


def test_a_domain_added_while_it_runs_gets_a_certificate(cluster: Cluster) -> None:
    cluster.cli("domain", "add", "added.localhost")
    cluster.until((cluster.data / "tls/domains/added.localhost/fullchain.pem").exists, "a certificate", 5)
    cluster.until(lambda: "added.localhost" in cluster.ready()["domains"], "the domain in the file", 5)
    cluster.cli("domain", "del", "added.localhost")


def test_a_second_cluster_on_the_same_data_is_refused(cluster: Cluster) -> None:
    done = up("--data", str(cluster.data))
    assert done.returncode == 1
    assert (
        done.stderr
        == f"rookery: a cluster runs on {cluster.data} already: see `rookery status`, or choose another --data\n"
    )


# --- clusters of their own --------------------------------------------------------------------------------------------


def up(*options: str) -> subprocess.CompletedProcess[str]:
    ports = ["--c2s-port", "0", "--c2s-tls-port", "0", "--http-port", "0"]
    command = [sys.executable, "-m", "rookery", "up", *ports, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        done = up("--ephemeral", "--admin-port", str(port))
    assert done.returncode == 1
    assert (
        done.stderr
        == f"rookery: port {port} on 127.0.0.1 is in use: choose another with --admin-port, or 0 for a free one\n"
    )


def test_plaintext_is_refused_beyond_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOKERY_EDGE__HOST", "0.0.0.0")
    done = up("--ephemeral", "--allow-plaintext")
    assert done.returncode == 2
    assert "only works on loopback" in done.stderr


def test_edges_share_a_fixed_port() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with Cluster(edges=2, routers=1, workers=1, options=["--c2s-port", str(port)]) as cluster:
        assert [edge["ports"]["c2s"] for edge in cluster.processes("edge")] == [port, port]


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="rookery-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def start(home: Path, *options: str) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    ready = home / "ready.json"
    command = [
        sys.executable,
        "-m",
        "rookery",
        "up",
        "--ready-file",
        str(ready),
        "--c2s-port",
        "0",
        "--c2s-tls-port",
        "0",
    ]
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--http-port", "0", *options], stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert process.poll() is None, (home / "log").read_text()
        assert time.monotonic() < deadline, (home / "log").read_text()
        time.sleep(0.02)
    return process, json.loads(ready.read_text())


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_in_order_and_keeps_the_data(home: Path, number: signal.Signals) -> None:
    data = ["--data", str(home / "data")]
    process, _ = start(home, *data)
    subprocess.run(
        [sys.executable, "-m", "rookery", "user", "add", *data, "alice@localhost", "--password", "x"],
        check=True,
    )
    children = family(process)
    process.send_signal(number)
    assert process.wait(30) == 0
    _, alive = psutil.wait_procs(children, 5)
    assert alive == []
    assert not (home / "ready.json").exists()
    assert not (home / "data/cluster.json").exists()
    log = (home / "log").read_text()
    assert "Traceback" not in log
    assert log.endswith("rookery: stopped\n")
    process, _ = start(home, *data)
    listed = subprocess.run(
        [sys.executable, "-m", "rookery", "user", "list", *data], check=True, capture_output=True, text=True
    )
    process.send_signal(number)
    assert listed.stdout == "alice@localhost\n"
    assert process.wait(30) == 0


def test_no_orphan_when_the_parent_is_killed_and_the_data_starts_again(home: Path) -> None:
    data = ["--data", str(home / "data")]
    process, _ = start(home, *data)
    children = family(process)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, 10)
    assert alive == []
    (home / "ready.json").unlink()
    process, _ = start(home, *data)
    process.terminate()
    assert process.wait(30) == 0


def test_ephemeral_leaves_nothing(home: Path) -> None:
    process, ready = start(home, "--ephemeral")
    kept = Path(ready["ca_file"]).parent.parent
    assert kept.is_dir()
    process.terminate()
    assert process.wait(30) == 0
    assert not kept.exists()


def test_a_second_signal_ends_it_at_once(home: Path) -> None:
    process, ready = start(home, "--ephemeral")
    children = family(process)
    edge = next(found["pid"] for found in ready["processes"] if found["kinds"] == ["edge"])
    os.kill(edge, signal.SIGSTOP)  # it will not drain
    process.terminate()
    time.sleep(0.3)
    began = time.monotonic()
    process.terminate()
    assert process.wait(10) == 0
    assert time.monotonic() - began < 4
    assert psutil.wait_procs(children, 5)[1] == []

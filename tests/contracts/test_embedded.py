"""Embedded NATS and Postgres: they start, keep to loopback and their secrets, restart, and die with their parent."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import trio
from tests.conftest import scratch_directory

from rookery.embedded import EmbeddedError, binaries, cluster, start_nats, start_postgres
from rookery.embedded.binaries import RunAs, obstacle
from rookery.shared import config
from rookery.shared.db.api import Connection, DatabaseUnavailable
from rookery.shared.db.bridge import open_database

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that other accounts may pass, which pytest's own tmp_path is not."""
    path = scratch_directory()
    path.mkdir(mode=0o755)
    yield path
    shutil.rmtree(path)


def ask(url: str, query: str) -> object:
    async def work(conn: Connection) -> object:
        return await conn.fetchval(query)

    async def main() -> object:
        async with open_database(config.Database(url=url)) as db:
            return await db.run(0, work)

    return trio.run(main)


def greet(port: int, *lines: str) -> bytes:
    """Speak a few lines of NATS; returns what the server said until PONG or the end."""
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall("".join(f"{line}\r\n" for line in lines).encode())
        said = b""
        while b"PONG" not in said:
            more = sock.recv(4096)
            if not more:
                break
            said += more
    return said


def listening(pid: int) -> set[str]:
    sockets = psutil.Process(pid).net_connections("tcp")
    return {one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN}


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def gone(*pids: int, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_nats_wants_its_token_on_loopback_and_nothing_more() -> None:
    nats = start_nats()
    try:
        assert b"PONG" in greet(nats.port, f'CONNECT {{"auth_token":"{nats.token}"}}', "PING")
        assert b"Authorization Violation" in greet(nats.port, 'CONNECT {"auth_token":"wrong"}', "PING")
        info = json.loads(
            greet(nats.port, f'CONNECT {{"auth_token":"{nats.token}"}}', "PING").split(b"\r\n")[0][5:]
        )
        assert info["max_payload"] == 1_048_576
        assert "jetstream" not in info
        assert listening(nats.pid) == {"127.0.0.1"}
        assert nats.token not in repr(nats) + nats.address
        assert nats.token not in " ".join(psutil.Process(nats.pid).cmdline())
        assert os.getpgid(nats.pid) == nats.pid, "Ctrl-C must not reach it before its parent"
    finally:
        nats.stop()
    assert gone(nats.pid)
    nats.stop()


def test_nats_comes_back_where_its_clients_look_for_it(home: Path) -> None:
    nats = start_nats(home / "nats")
    try:
        assert (home / "nats" / "nats.conf").stat().st_mode & 0o777 == 0o600
        with pytest.raises(EmbeddedError, match="another process runs NATS"):
            start_nats(home / "nats")
        os.kill(nats.pid, signal.SIGKILL)
        assert nats.wait(5) == -signal.SIGKILL
        nats.stop()
        again = start_nats(home / "nats", port=nats.port, token=nats.token)
        try:
            assert again.url == nats.url
            assert b"PONG" in greet(again.port, f'CONNECT {{"auth_token":"{nats.token}"}}', "PING")
        finally:
            again.stop()
    finally:
        nats.stop()


def test_a_port_that_is_taken_is_told_in_one_line(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for start in (start_nats, start_postgres):
            with pytest.raises(EmbeddedError) as caught:
                start(home / start.__name__, port=port)
            assert "\n" not in str(caught.value)
            assert "in use" in str(caught.value)


def test_postgres_wants_its_password_and_keeps_its_data(home: Path) -> None:
    server = start_postgres(home / "pg")
    try:
        assert listening(server.pid) == {"127.0.0.1"}
        assert server.password not in repr(server) + server.address
        assert server.password not in " ".join(psutil.Process(server.pid).cmdline())
        assert server.password not in (home / "pg" / "postgres.log").read_text()
        assert (home / "pg" / "postgres.password").stat().st_mode & 0o777 == 0o600
        assert server.data.stat().st_mode & 0o777 == 0o700
        if AS_ROOT:
            assert psutil.Process(server.pid).uids().real != 0
        tcp = f"postgresql://rookery:{server.password}@127.0.0.1:{server.port}/rookery"
        assert ask(tcp, "SHOW fsync") == "on"
        for url in (server.url, tcp):
            with pytest.raises(DatabaseUnavailable, match="password"):
                ask(url.replace(server.password, "wrong"), "SELECT 1")
        ask(server.url, "CREATE TABLE kept AS SELECT 42 AS n")
        with pytest.raises(EmbeddedError, match="another process runs Postgres"):
            start_postgres(home / "pg")
    finally:
        server.stop()
    again = start_postgres(home / "pg", port=server.port)
    try:
        assert again.url == server.url
        assert ask(again.url, "SELECT n FROM kept") == 42
        assert ask(again.url, "SHOW server_encoding") == "UTF8"
    finally:
        again.stop()
    assert gone(server.pid, again.pid)


def test_an_ephemeral_postgres_leaves_nothing_behind() -> None:
    server = start_postgres()
    scratch = server.data.parent
    try:
        assert ask(server.url, "SHOW fsync") == "off"
        assert scratch.exists()
    finally:
        server.stop()
    assert not scratch.exists()


def test_a_killed_postgres_starts_again_although_its_pid_file_names_somebody_else(home: Path) -> None:
    server = start_postgres(home / "pg")
    children = [child.pid for child in psutil.Process(server.pid).children()]
    ask(server.url, "CREATE TABLE kept AS SELECT 42 AS n")
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().split("\n")
    victim = subprocess.Popen(["sleep", "60"], user=server.data.stat().st_uid if AS_ROOT else None)
    try:
        # A number that another process of the same account has by now.
        pid_file.write_text("\n".join([str(victim.pid), *lines[1:]]))
        again = start_postgres(home / "pg")
        try:
            assert ask(again.url, "SELECT n FROM kept") == 42
            assert victim.poll() is None
        finally:
            again.stop()
    finally:
        victim.kill()
        victim.wait()
    assert gone(*children)


def test_a_long_path_has_no_socket_but_works(home: Path) -> None:
    server = start_postgres(home / ("long-" * 20))
    try:
        assert "host=" not in server.url
        assert ask(server.url, "SELECT 1") == 1
    finally:
        server.stop()


def test_a_data_directory_of_a_postgres_that_is_not_here_is_told(home: Path) -> None:
    (home / "pg" / "data").mkdir(parents=True)
    (home / "pg" / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedError, match="needs Postgres 9"):
        start_postgres(home / "pg")


_PARENT = """
import json, sys, time
from pathlib import Path
from rookery.embedded import start_nats, start_postgres
home = Path(sys.argv[1])
nats, postgres = start_nats(home / "nats"), start_postgres(home / "pg")
print(json.dumps([nats.pid, postgres.pid]), flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_both_end_when_their_parent_is_killed_and_start_again(home: Path) -> None:
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", _PARENT, str(home)], stdout=subprocess.PIPE) as parent:
            try:
                assert parent.stdout is not None
                pids = json.loads(parent.stdout.readline())
                pids += [child.pid for child in psutil.Process(pids[1]).children()]
                assert len(pids) > 3
            finally:
                parent.kill()
        # Not waited for: the second turn must cope with servers that are still on their way out.
    assert gone(*pids)


@pytest.mark.slow
def test_many_first_starts_at_once_share_one_template(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom rookery.embedded import cluster, start_postgres\n"
        "cluster.cache_directory = lambda: Path(sys.argv[1])\nserver = start_postgres()\nserver.stop()\n"
    )
    starts = [
        subprocess.Popen([sys.executable, "-c", script, str(home / "cache")], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for start in starts:
        _, errors = start.communicate(timeout=60)
        assert start.returncode == 0, errors.decode()
    assert [
        path.name for path in (home / "cache").iterdir() if path.is_dir() and path.name.startswith("cluster-")
    ]
    assert not list((home / "cache").glob("draft-*"))


def test_without_a_cache_it_starts_all_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setattr(cluster, "cache_directory", lambda: home / "file" / "cache")
    server = start_postgres()
    try:
        assert ask(server.url, "SELECT 1") == 1
    finally:
        server.stop()


def test_only_the_main_thread_may_start_children() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="main thread"):
            await trio.to_thread.run_sync(start_nats)

    trio.run(main)


def test_obstacle_finds_the_folder_that_an_account_may_not_pass(home: Path) -> None:
    stranger = RunAs("stranger", 64_123, 64_123)
    (home / "a" / "b").mkdir(parents=True)
    assert obstacle(home / "a" / "b" / "data", stranger) is None
    (home / "a").chmod(0o700)
    assert obstacle(home / "a" / "b" / "data", stranger) == home / "a"


@pytest.mark.skipif(not AS_ROOT, reason="only root drops privileges")
def test_root_refuses_a_place_that_the_account_cannot_enter_and_changes_no_mode(home: Path) -> None:
    (home / "closed").mkdir(mode=0o700)
    with pytest.raises(EmbeddedError, match="cannot enter") as caught:
        start_postgres(home / "closed" / "pg")
    assert "\n" not in str(caught.value)
    assert (home / "closed").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(not AS_ROOT, reason="only root drops privileges")
def test_binaries_that_only_root_can_reach_are_copied(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = next(binaries.installations())
    monkeypatch.setattr(binaries, "cache_directory", lambda: home / "cache")
    real = obstacle
    monkeypatch.setattr(
        binaries, "obstacle", lambda path, user: path if wheel.bin in path.parents else real(path, user)
    )
    server = start_postgres()
    try:
        assert psutil.Process(server.pid).exe().startswith(str(home / "cache"))
        assert ask(server.url, "SELECT 1") == 1
    finally:
        server.stop()


def python_of_everybody() -> str | None:
    """A Python that other accounts may run: this one, or the system's when it has the same version."""
    nobody = RunAs("nobody", 65534, 65534)
    for path in (sys.executable, "/usr/bin/python3"):
        real = Path(path).resolve()
        if real.exists() and obstacle(real, nobody) is None and (path == sys.executable or _version(path)):
            return path
    return None


def _version(path: str) -> bool:
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return answer.stdout.split()[1].rpartition(".")[0] == f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.skipif(not AS_ROOT, reason="the whole suite runs as an ordinary user then")
def test_an_ordinary_user_without_a_home_can_start_both() -> None:
    python = python_of_everybody()
    if python is None:
        pytest.skip("no Python here that another account may run")
    script = (
        "import sys, sysconfig\n"
        "sysconfig.get_path = lambda name: sys.argv[1]\n"
        "from rookery.embedded import start_nats, start_postgres\n"
        "nats, postgres = start_nats(), start_postgres()\npostgres.stop()\nnats.stop()\n"
    )
    done = subprocess.run(
        [python, "-c", script, sysconfig.get_path("scripts")],
        user="nobody",
        group="nogroup",
        extra_groups=[],
        cwd="/",
        env={
            "HOME": "/nonexistent",
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        },
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()

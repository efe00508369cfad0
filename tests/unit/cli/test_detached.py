"""`rookery up --detach` and `rookery down`: what starts is waited for, what runs is ended, and nobody else is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

from rookery.cli import cli
from rookery.up import detached
from rookery.up.plan import UpError
from rookery.up.state import CLUSTER, Running, write_running

#: A process that looks like `rookery up`: it holds the lock until SIGTERM.
PRETENDER = textwrap.dedent(
    """
    import fcntl, os, signal, sys
    file = open(sys.argv[1], "wb")
    fcntl.flock(file, fcntl.LOCK_EX)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    print("locked", flush=True)
    signal.pause()
    """
)


def running(pid: int) -> Running:
    return Running(pid, "postgresql://x/y", "nats://x", "rookery", 1, ("localhost",))


def test_what_runs_is_ended(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRETENDER, str(tmp_path / "up.lock")], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        write_running(tmp_path, running(child.pid))
        shown = CliRunner().invoke(cli, ["down", "--data", str(tmp_path)])
        assert shown.output == f"process {child.pid} has ended\n"
        assert child.wait(5) == -signal.SIGTERM


def test_a_number_that_is_another_process_by_now_is_left_alone(tmp_path: Path) -> None:
    write_running(tmp_path, running(os.getpid()))
    shown = CliRunner().invoke(cli, ["down", "--data", str(tmp_path)])
    assert (shown.exit_code, shown.output) == (0, f"nothing runs on {tmp_path}\n")


def test_nothing_runs_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert detached.stop(tmp_path / "nowhere", 1.0) is None


def test_who_does_not_end_is_told(tmp_path: Path) -> None:
    deaf = PRETENDER.replace("SIG_DFL", "SIG_IGN")
    with subprocess.Popen(
        [sys.executable, "-c", deaf, str(tmp_path / "up.lock")], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        write_running(tmp_path, running(child.pid))
        with pytest.raises(UpError, match="has not ended"):
            detached.stop(tmp_path, 0.2)
        child.kill()


def test_one_that_does_not_start_is_told_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(UpError, match="is not a domain"):
        detached.start(tmp_path, ["--domain", "a b"])


def test_data_that_is_removed_at_the_end_cannot_be_ended_later() -> None:
    shown = CliRunner().invoke(cli, ["up", "--detach", "--ephemeral"])
    assert shown.exit_code == 2
    assert "--ephemeral removes it" in shown.output


def test_a_file_that_is_no_state_is_nothing(tmp_path: Path) -> None:
    (tmp_path / CLUSTER).write_text(json.dumps({"pid": "x"}))
    assert detached.stop(tmp_path, 1.0) is None

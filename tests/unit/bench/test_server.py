"""What the server's processes use: whose a child is, what a window costs; CPU of a child that we burn ourselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rookery.bench import server
from rookery.bench.result import ServerProcess

STAT = "7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 3 4 150 50 25 75 20 0 1 0 100 1000 10\n"


def test_stat_with_parentheses_in_the_name() -> None:
    stat = server.parse_stat(STAT)
    ticks = os.sysconf("SC_CLK_TCK")
    assert (stat.name, stat.ppid) == ("a) b (c)", 3)
    assert (stat.own_s * ticks, stat.children_s * ticks) == (200, 100)


def test_busy_is_all_but_idle_and_waiting() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    busy = server.parse_busy("cpu  100 20 30 9999 888 1 2 3 50 50\ncpu0 1 1 1 1 1 1 1 1\n")
    assert busy * ticks == pytest.approx(156)
    with pytest.raises(ValueError, match="no line cpu"):
        server.parse_busy("intr 5\n")


def test_each_process_belongs_to_its_nearest_root() -> None:
    #       1 - 10* - 11 - 12* - 13
    #         - 20 - 21*
    parents = {1: 0, 10: 1, 11: 10, 12: 11, 13: 12, 20: 1, 21: 20}
    assert server.owners([10, 12, 21], parents) == {10: 10, 11: 10, 12: 12, 13: 12, 21: 21}


def test_a_circle_of_parents_ends() -> None:
    assert server.owners([1], {2: 3, 3: 2}) == {1: 1}


def test_a_window_is_the_difference_of_two_readings() -> None:
    before = [ServerProcess(1, "a", (), 10.0, 1000), ServerProcess(2, "b", ("edge",), 1.0, 50)]
    after = [ServerProcess(1, "a", (), 11.5, 3000), ServerProcess(2, "b", ("edge",), 1.5, 250)]
    used = server.window(before, after, stanzas=1000, connections=100, idle=before)
    assert [process.cpu_s for process in used.processes] == [1.5, 0.5]
    assert (used.cpu_s, used.pss_kib, used.pss_kib_before) == (2.0, 3250, 1050)
    assert used.cpu_us_per_stanza == 2000
    assert used.pss_kib_per_connection == 22


def test_nothing_delivered_has_no_cost_per_stanza() -> None:
    used = server.window([], [ServerProcess(1, "a", (), 1.0, 5)], stanzas=0)
    assert used.cpu_us_per_stanza is None
    assert used.pss_kib_per_connection is None


def test_ready_file(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    path.write_text(
        '{"processes":[{"pid":5,"kinds":["edge"],"ports":{"c2s":1}},{"pid":6,"name":"nats"}],"domains":["a"]}'
    )
    assert server.read_ready_file(path) == (server.Root(5, "edge", ("edge",)), server.Root(6, "nats"))


@pytest.mark.parametrize("text", ["", "{}", '{"processes":[{"pid":"x"}]}'])
def test_no_ready_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ready.json"
    path.write_text(text)
    with pytest.raises(server.ServerError, match=r"ready\.json is no ready file"):
        server.read_ready_file(path)
    with pytest.raises(server.ServerError, match="No such file"):
        server.read_ready_file(tmp_path / "other")


def test_no_process() -> None:
    with pytest.raises(server.ServerError, match="--server-pids"):
        server.Probe([])
    with pytest.raises(server.ServerError, match="does not run"):
        server.Probe([server.Root(2**22 + 1)])


BURN = "import time\nwhile time.process_time() < {0}: pass\n"


def test_cpu_of_a_process_and_of_its_children() -> None:
    """A child burns 0.1 s, has a child that burns 0.2 s and ends; then it waits for us."""
    script = (
        f"import subprocess, sys\n{BURN.format(0.1)}"
        f"subprocess.run([sys.executable, '-c', {BURN.format(0.2)!r}], check=True)\n"
        "print('done', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"
        probe = server.Probe([server.Root(child.pid, "burner")])
        (process,) = probe.processes()
        assert process.name == "burner"
        assert process.cpu_s >= 0.29
        assert process.pss_kib > 500
        assert probe.cpu_s() >= process.cpu_s
        child.communicate()
    assert probe.cpu_s() >= process.cpu_s, "what an ended process had used is not forgotten"
    assert f"the server's process {child.pid} (burner) ended" in probe.notes


def test_a_server_that_nobody_buries_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    probe = server.Probe([server.Root(process.pid, "it")])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    probe.processes()
    assert f"the server's process {process.pid} (it) ended" in probe.notes
    process.wait()

"""What a client that people use does when its edge goes: slixmpp resumes on another one, and every message comes once, in order."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster.harness import Cluster

from rookery.embedded.child import free_port

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(options=["--c2s-port", str(free_port())]) as running:
        yield running


class Talk:
    """The talking process, as the test sees it."""

    def __init__(self, cluster: Cluster) -> None:
        ready = cluster.ready()
        people = [(f"{name}@localhost", password) for name, password in cluster.add_users(2)]
        port = cluster.processes("edge")[0]["ports"]["c2s"]
        job = json.dumps({"ca": ready["ca_file"], "people": people, "port": port})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.clients.slixmpp_resume", job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.last: list[dict[str, Any]] = []

    def look(self, seconds: float) -> list[dict[str, Any]]:
        """The next report."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        assert ready, self.last
        line = self._process.stdout.readline()
        assert line, self.last
        self.last = json.loads(line)
        return self.last

    def until_more(self, messages: int, limit: float = 40.0) -> None:
        """Wait until both got so many more messages."""
        before = [one["got"] for one in self.look(10)]
        end = time.monotonic() + limit
        while any(one["got"] < had + messages for one, had in zip(self.look(10), before, strict=True)):
            assert time.monotonic() < end, self.last

    def finish(self) -> list[dict[str, Any]]:
        """What both saw in the end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.stdout is not None
        lines = self._process.stdout.read().splitlines()
        assert self._process.wait(20) == 0
        found: list[dict[str, Any]] = json.loads(lines[-1])
        return found

    def stop(self) -> None:
        """Leave nothing behind."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.mark.timeout(240)
def test_slixmpp_resumes_wherever_it_gets(cluster: Cluster) -> None:
    talk = Talk(cluster)
    try:
        talk.until_more(20)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in cluster.pids("edge"):
                cluster.send_signal(pid, number)
                cluster.wait_replaced("edge", pid)
                talk.until_more(40)
        one, other = talk.finish()
    finally:
        talk.stop()
    assert one["got"] == [str(number) for number in range(other["sent"])]
    assert other["got"] == [str(number) for number in range(one["sent"])]
    for each in (one, other):
        assert each["session_start"] == 1
        # (a connection that its edge did not live to answer is one more that ends)
        assert 2 <= each["session_resumed"] <= each["disconnected"]

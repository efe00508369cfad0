"""The units of `packaging/systemd/`, done as systemd does them: environment, arguments, notification, reload, stop. There is no systemd here.

What is replaced is where things lie (`/usr/bin/rookery`, `/etc/rookery`); sandboxing and the user are systemd's own (`systemd-analyze verify` reads them).
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from tests.cluster.harness import end_with_parent
from tests.cluster.test_production import free_port

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
UNITS = Path(__file__).parents[2] / "packaging/systemd"


class Unit:
    """One unit of a template, as `systemctl start` runs it."""

    def __init__(self, name: str, root: Path) -> None:
        template, _, rest = name.partition("@")
        self.instance = rest
        parser = configparser.ConfigParser(
            strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",)
        )
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string((UNITS / f"{template}{'@' if rest else ''}.service").read_text("utf-8"))
        self.service = dict(parser["Service"])
        self.root = root
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._address = str(root / f"notify-{name}")
        self.told.bind(self._address)
        self.process: subprocess.Popen[bytes] | None = None

    def _words(self, line: str, **specifiers: str) -> list[str]:
        """A command line of systemd.service(5): words, then specifiers, then variables."""
        found = []
        for word in shlex.split(line):
            text = re.sub(r"%(.)", lambda one: {"%": "%", "i": self.instance}[one[1]], word)
            text = re.sub(r"\$MAINPID", specifiers.get("pid", "?"), text).replace("$$", "$")
            text = text.replace("/usr/bin/rookery", str(self.root / "rookery"))
            found.append(text.replace("/etc/rookery", str(self.root)))
        return found

    @property
    def environment(self) -> dict[str, str]:
        # systemd gives a service next to nothing of its own environment (systemd.exec(5)).
        made = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8"}
        file = self.service.get("EnvironmentFile", "")
        path = Path(file.lstrip("-").replace("%i", self.instance).replace("/etc/rookery", str(self.root)))
        if file and path.exists():
            made |= dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
        else:
            assert not file or file.startswith("-")
        if self.service["Type"] == "notify":
            made["NOTIFY_SOCKET"] = self._address
        return made

    def start(self) -> subprocess.Popen[bytes]:
        with (self.root / f"log-{self.instance}").open("ab") as log:
            self.process = subprocess.Popen(self._words(self.service["ExecStart"]), env=self.environment, cwd="/", stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=end_with_parent)  # fmt: skip
        return self.process

    def wait_for(self, line: str, seconds: float = 60.0) -> list[str]:
        """All lines of the datagram that has this one."""
        self.told.settimeout(seconds)
        try:
            while line not in (lines := self.told.recv(4096).decode().splitlines()):
                pass
        except TimeoutError:
            raise AssertionError(f"{line} did not come: {self.log()[-3000:]}") from None
        return lines

    def log(self) -> str:
        return (self.root / f"log-{self.instance}").read_text()

    def reload(self) -> None:
        assert self.process is not None
        subprocess.run(self._words(self.service["ExecReload"], pid=str(self.process.pid)), check=True)

    def stop(self) -> int:
        """SIGTERM (KillSignal is not set); the exit code. Raises TimeoutExpired after TimeoutStopSec."""
        assert self.process is not None
        assert "KillSignal" not in self.service
        self.process.terminate()
        return self.process.wait(float(self.service["TimeoutStopSec"]))


@pytest.fixture
def root(tmp_path: Path, empty_database_url: str, nats_url: str, bus_prefix: str) -> Path:
    """`/etc/rookery`, with a `rookery` beside it."""
    token, _, address = nats_url.removeprefix("nats://").partition("@")
    (tmp_path / "rookery").write_text(f'#!/bin/sh\nexec {sys.executable} -m rookery "$@"\n')
    (tmp_path / "rookery").chmod(0o755)
    (tmp_path / "rookery.toml").write_text(
        f"""
[bus]
url = "nats://{address}"
token = "{token}"
prefix = "{bus_prefix}"
[database]
url = "{empty_database_url}"
[edge]
host = ["127.0.0.1"]
c2s_port = 0
c2s_tls_port = 0
http_port = 0
[log]
format = "json"
level = "info"
"""
    )
    return tmp_path


def test_units_are_started_told_of_reloaded_and_stopped(root: Path) -> None:
    schema = Unit("rookery-migrate", root)
    assert schema.service["Type"] == "oneshot"
    assert schema.start().wait(60) == 0, schema.log()
    port = free_port()
    (root / "router-2.env").write_text(f"ROOKERY_ADMIN__PORT={port}\n")
    first, second = Unit("rookery@router", root), Unit("rookery@router-2", root)
    worker = Unit("rookery-worker@account-3", root)
    units = (first, second, worker)
    try:
        for unit in units:
            assert unit.service["Type"] == "notify"
            unit.start()
        for unit in units:
            assert any("admin port" in line for line in unit.wait_for("READY=1"))
        # It is the main process itself that was told of: nothing stands between it and systemd's signals.
        for unit, kind in ((second, "router"), (worker, "account")):
            assert unit.process is not None
            line = Path(f"/proc/{unit.process.pid}/cmdline").read_bytes().split(b"\0")
            assert b"rookery" in line
            assert kind.encode() in line
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            assert answer.status == 200
        config = root / "rookery.toml"
        config.write_text(config.read_text().replace('level = "info"', 'level = "debug"'))
        second.reload()
        until = time.monotonic() + 20
        # The file was read again, and what can change in a process that runs has changed.
        while not all(f'"event":"{name}"' in second.log() for name in ("config_reloaded", "log_level")):
            assert time.monotonic() < until, second.log()[-2000:]
            time.sleep(0.1)
        for unit in reversed(units):
            assert unit.stop() == 0, unit.log()[-3000:]
            lines = unit.wait_for("STOPPING=1", 1)
            extended = next(line for line in lines if line.startswith("EXTEND_TIMEOUT_USEC="))
            assert 30e6 <= int(extended.partition("=")[2]) <= float(unit.service["TimeoutStopSec"]) * 1e6
    finally:
        for unit in units:
            unit.told.close()
            if unit.process is not None and unit.process.poll() is None:
                unit.process.kill()
                unit.process.wait()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_reads_every_line_of_the_units(tmp_path: Path) -> None:
    for file in UNITS.glob("*.service"):
        name = file.name.replace("@.", "@edge-2." if "worker" not in file.name else "@muc-2.")
        (tmp_path / name).write_text(file.read_text("utf-8").replace("/usr/bin/rookery", "/bin/true"))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False,
                              env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:/lib/systemd/system"})  # fmt: skip
        ours = [line for line in done.stderr.splitlines() if "rookery" in line]
        assert ours == [], name

"""Where lines go: a file, syslog, the journal; and that a line is never lost silently."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from rookery.shared.observe import log, sinks
from rookery.shared.observe.sinks import Datagrams, File, journal, sink, syslog


@pytest.fixture(autouse=True)
def _back() -> Iterator[None]:
    yield
    log.configure()
    log.quick.level = 51


def test_lines_are_appended_to_a_file_and_a_reload_makes_it_anew(tmp_path: Path) -> None:
    path = tmp_path / "rookery.log"
    log.configure(to=str(path), kind="edge")
    structlog.get_logger().info("first", number=1)
    path.rename(tmp_path / "rookery.log.1")
    structlog.get_logger().error("second")
    log.reopen()
    structlog.get_logger().warning("third")
    old = [json.loads(line) for line in (tmp_path / "rookery.log.1").read_text().splitlines()]
    assert [(line["event"], line["level"], line["kind"]) for line in old] == [
        ("first", "info", "edge"),
        ("second", "error", "edge"),
    ]
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["third"]


def test_lines_about_clients_go_there_too(tmp_path: Path) -> None:
    log.configure(to=str(tmp_path / "log"))
    assert log.quick("client_login", {"account": "a@x"})
    assert json.loads((tmp_path / "log").read_text())["event"] == "client_login"


@pytest.mark.parametrize("name", ["syslog", "journald"])
def test_syslog_and_the_journal_get_severities(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "SYSLOG", str(tmp_path / "socket"))
    monkeypatch.setattr(sinks, "JOURNAL", str(tmp_path / "socket"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "socket"))
        log.configure(to=name, level="debug")
        for level in ("debug", "info", "warning", "error", "critical"):
            getattr(structlog.get_logger(), level)("something", level_is=level)
        got = [daemon.recv(65_536).decode() for _ in range(5)]
    severities = [7, 6, 4, 3, 2]
    if name == "syslog":
        assert [line.partition(">")[0] for line in got] == [f"<{24 + one}" for one in severities]
        assert got[0].partition(">")[2].startswith(f"rookery[{os.getpid()}]: {{")
        assert json.loads(got[3].partition(": ")[2])["event"] == "something"
    else:
        fields = [dict(line.split("=", 1) for line in text.splitlines()) for text in got]
        assert [int(one["PRIORITY"]) for one in fields] == severities
        assert {one["SYSLOG_IDENTIFIER"] for one in fields} == {"rookery"}
        assert json.loads(fields[4]["MESSAGE"])["level"] == "critical"


def test_a_text_with_line_breaks_has_its_length_in_the_journal() -> None:
    assert (
        journal("a\nb", "info")
        == b"PRIORITY=6\nSYSLOG_IDENTIFIER=rookery\nMESSAGE\n\x03" + bytes(7) + b"a\nb\n"
    )


@pytest.mark.parametrize("shape", [syslog, journal])
def test_what_a_daemon_does_not_take_goes_to_standard_error(
    shape: Callable[[str, str], bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "socket")
    one = Datagrams(path, shape)
    one.write("nobody is there", "info")
    assert capsys.readouterr().err == "nobody is there\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(path)
        one.write("now", "info")  # it is looked for again
        assert b"now" in daemon.recv(1000)
    one.write("gone", "error")
    assert capsys.readouterr().err == "gone\n"


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        sink(str(tmp_path / "none/log"))


def test_a_full_disk_does_not_lose_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = File("/dev/full")
    one.write("line", "info")
    assert capsys.readouterr().err == "line\n"

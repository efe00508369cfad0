"""What a supervisor is told, and that nothing goes wrong where there is none."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rookery.notifying import notify, ready, stopping


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_nobody_who_listens_is_no_trouble(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify("READY=1")


@pytest.mark.parametrize("abstract", [False, True])
def test_lines_are_one_datagram(abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"@rookery-test-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name[1:] if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        assert ready("serving")
        assert sock.recv(1000) == b"READY=1\nSTATUS=serving"
        assert stopping(30.0)
        assert sock.recv(1000).splitlines()[-1] == b"EXTEND_TIMEOUT_USEC=40000000"

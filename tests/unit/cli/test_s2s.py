"""What `rookery s2s show` says of a remote domain."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from rookery.cli import s2s

KNOWN = {
    "remote": "b.example",
    "local": "a.example",
    "waiting": 0,
    "bytes": 0,
    "oldest": None,
    "expires": None,
    "worked": 1.0,
    "failed": None,
    "trouble": "",
}


@pytest.mark.parametrize("mute", [False, True])
def test_show_tells_who_cannot_acknowledge(monkeypatch: pytest.MonkeyPatch, mute: bool) -> None:
    monkeypatch.setattr(s2s, "_read", lambda name, target: [{**KNOWN, "mute": mute}])
    done = CliRunner().invoke(s2s.show, ["b.example"])
    assert done.exit_code == 0, done.output
    assert "b.example  from a.example  0 waiting" in done.output
    assert ("cannot acknowledge" in done.output) is mute

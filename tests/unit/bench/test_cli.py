"""The commands: what is refused before anything runs, and what they write."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rookery.bench.cli import bench


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "chat", "--closed-loop", "--rate", "5"], "choose one"),
        (["run", "chat", "--slo", "fast"], "'fast' is no rule"),
        (["run", "chat", "--search", "chat.p98<1s"], "no figure 'chat.p98'"),
        (["run", "chat", "--json", "/nowhere/x.json"], "there is no folder /nowhere"),
        (["run", "chat", "--html", "/"], "is a directory"),
        (["run", "chat", "--target", "example.org:5222"], "--i-may-load-this-server"),
        (["run", "chat", "--server-pids", "1;2"], "with commas between"),
        (["run", "ping", "--slo", "chat.p99<1s"], "ping has no chat: it has ping, connection"),
        (["run", "idle", "--slo", "idle.p99<1s"], "idle has no idle: it has connection"),
        (["run", "mixed", "--rate", "5", "--slo", "pages.p99<1s"], "did you mean page?"),
        (["run", "idle", "--slo", "lost==0"], "idle numbers no messages, so none can be lost"),
        (["run", "chat", "--slo", "server.cpu_us<60"], "--server-pids or --ready-file"),
        (["run", "chat", "--slo", "search.rate>1"], "only a --search finds a rate"),
        (["run", "chat", "--search", "login.p99<1s"], "chat has no login"),
        (["peers", "ping", "--slo", "chat.p99<1s"], "No such option"),
        (["peers", "ping", "--search", "chat.p99<1s"], "ping has no chat"),
        (["run", "chta"], "did you mean chat?"),
        (["run", "--profile", "mamm"], "did you mean mam?"),
        (["run"], "name a scenario or a profile"),
        (["peers", "--json", "/nowhere/x.json"], "there is no folder /nowhere"),
        (["peers", "--target", "127.0.0.1:5222"], "No such option"),
        (["users", "--user", "alice"], "such as user%06d"),
    ],
)
def test_wrong_usage_is_told(words: list[str], told: str) -> None:
    done = CliRunner().invoke(bench, words)
    assert done.exit_code == 2
    assert told in done.output
    assert "Traceback" not in done.output


def test_users_for_the_import_of_a_server() -> None:
    done = CliRunner().invoke(bench, ["users", "--users", "2", "--user", "u%d", "--domain", "example.net"])
    assert done.stdout == "jid,password\nu0@example.net,secret000000\nu1@example.net,secret000001\n"


def test_defaults_are_those_of_the_command() -> None:
    said = {name: CliRunner().invoke(bench, [name, "--help"]).output for name in ("run", "peers")}
    assert "How many.  [default: 100]" in said["run"]
    assert "How many.  [default: 1000]" in said["peers"]


def test_existing_files_may_be_written_again(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text("{}")
    done = CliRunner().invoke(bench, ["run", "chat", "--json", str(file), "--target", "example.org:5222"])
    assert "cannot write" not in done.output

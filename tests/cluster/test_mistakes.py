"""What a person or a machine can do wrong before a cluster runs: one line that names it, once, with the remedy."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import run_sql

pytestmark = pytest.mark.cluster


@pytest.fixture
def home() -> Iterator[Path]:
    # Not below pytest's folder, which nobody else may enter: Postgres is another user when the tests run as root.
    with tempfile.TemporaryDirectory(prefix="rookery-") as path:
        Path(path).chmod(0o711)
        yield Path(path)


def command(*arguments: str) -> tuple[int, str]:
    """Exit code and what stands on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "rookery", *arguments], capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done.returncode, done.stderr


def up(home: Path, *options: str) -> tuple[int, str]:
    ports = ["--c2s-port", "0", "--c2s-tls-port", "0", "--http-port", "0"]
    return command("up", *ports, "--data", str(home / "data"), *options)


REFUSED = "postgresql://rookery:hunter2@127.0.0.1:1/chat"


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (["--nats-url", "http://foo"], 78, "--nats-url: must begin with nats://"),
        (["--nats-url", "nats://foo:port"], 78, "--nats-url: must be nats://HOST:PORT"),
        (["--database-url", "mysql://foo"], 78, "--database-url: must begin with postgresql://"),
        (["--nats-url", "nats://127.0.0.1:1"], 69, "NATS cannot be reached: 127.0.0.1:1: "),
        (
            ["--database-url", REFUSED],
            69,
            "Postgres at 127.0.0.1:1, database chat: connection refused: start it",
        ),
    ],
)
def test_a_server_that_cannot_be_used_is_one_line(
    home: Path, options: list[str], code: int, line: str
) -> None:
    found, text = up(home, *options)
    assert (found, text.count("\n")) == (code, 1), text
    assert line in text
    assert "hunter2" not in text


def test_every_command_says_where_the_database_refused() -> None:
    for arguments in (["user", "list"], ["domain", "list"], ["migrate"], ["migrate", "--status"]):
        code, text = command(*arguments, "--database-url", REFUSED)
        assert (code, text.count("\n")) == (69, 1), text
        assert "127.0.0.1:1, database chat: connection refused" in text
        assert "hunter2" not in text
        assert command(*arguments, "--database-url", "http://foo")[0] == 78


def test_a_newer_schema_is_told_once(home: Path, database_url: str) -> None:
    run_sql(
        database_url,
        "INSERT INTO migration (number, name, checksum, contract) VALUES (9999, 'later', 'x', true)",
    )
    code, text = up(home, "--database-url", database_url)
    lines = [line for line in text.splitlines() if not line.startswith("{")]
    assert (code, lines) == (
        1,
        [
            "rookery: the database is too new: migration 9999_later removed what this version needs; upgrade it"
        ],
    )


def test_data_of_another_postgres_is_told_once(home: Path) -> None:
    (home / "data/postgres/data").mkdir(parents=True)
    (home / "data").chmod(0o711)
    (home / "data/postgres/data/PG_VERSION").write_text("12\n")
    code, text = up(home)
    assert (code, text.count("\n")) == (1, 1), text
    assert "needs Postgres 12" in text
    assert "choose another --data" in text

"""A backup is read back whole, elsewhere and over something else; what does not fit is refused before anything is changed."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result
from tests.conftest import run_sql

from rookery.cli import cli
from rookery.cli.backup_work import _value
from rookery.shared import config


def rookery(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args))


def ask(url: str, statement: str) -> object:
    return _value(config.Database(url=url), statement)


def test_there_and_back(database_url: str, empty_database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    run_sql(
        database_url,
        "INSERT INTO domain (name) VALUES ('example.org')",
        "INSERT INTO account (localpart, domain) VALUES ('alice', 'example.org')",
        "INSERT INTO member (incarnation, kinds, version, schema, expires) VALUES ('m', '{router}', 1, 99, now() + interval '1 hour')",
        "INSERT INTO fence VALUES ('m', true)",
        "INSERT INTO lease VALUES ('router', 3, 'm', 7)",
    )
    done = rookery("backup", str(file), "--database-url", database_url)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "schema" in done.stdout
    assert file.stat().st_mode & 0o777 == 0o600

    refused = rookery("restore", str(file), "--database-url", database_url)
    assert "1 processes of the cluster run" in str(refused.exception)
    done = rookery("restore", str(file), "--database-url", empty_database_url)
    assert done.exit_code == 0, (done.output, done.exception)
    assert ask(empty_database_url, "SELECT localpart FROM account") == "alice"
    assert ask(empty_database_url, "SELECT count(*) FROM member") == 0
    assert (
        ask(empty_database_url, "SELECT epoch FROM lease WHERE incarnation IS NULL AND partition = 3")
        == 7 + 4096
    )

    run_sql(empty_database_url, "INSERT INTO account (localpart, domain) VALUES ('later', 'example.org')")
    refused = rookery("restore", str(file), "--database-url", empty_database_url)
    assert "not empty" in str(refused.exception)
    assert rookery("restore", str(file), "--replace", "--database-url", empty_database_url).exit_code == 0
    assert ask(empty_database_url, "SELECT count(*) FROM account") == 1


def test_what_does_not_fit_is_refused(database_url: str, empty_database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    refused = rookery("backup", str(file), "--database-url", empty_database_url)
    assert "no database of Rookery" in str(refused.exception)
    assert list(tmp_path.iterdir()) == []
    file.write_bytes(b"PGDMP and more")
    refused = rookery("restore", str(file), "--replace", "--database-url", database_url)
    assert "is no backup of Rookery" in str(refused.exception)
    assert ask(database_url, "SELECT count(*) FROM installation") == 1
    run_sql(empty_database_url, "CREATE TABLE theirs (x int)")
    assert rookery("backup", str(tmp_path / "b"), "--database-url", database_url).exit_code == 0
    refused = rookery("restore", str(tmp_path / "b"), "--replace", "--database-url", empty_database_url)
    assert "belongs to something else" in str(refused.exception)
    refused = rookery("backup", str(file), "--data", str(tmp_path / "nothing"))
    assert "there is no data" in str(refused.exception)

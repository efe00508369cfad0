"""What the command line says of errors that an operator can mend, and where it looks for files."""

from __future__ import annotations

import os
import pwd

import asyncpg
import pytest

from rookery import cli


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (asyncpg.UndefinedTableError('relation "domain" does not exist'), "run `rookery migrate`"),
        (asyncpg.UndefinedColumnError('column "policy" does not exist'), "run `rookery migrate`"),
        (asyncpg.InsufficientPrivilegeError("permission denied for schema public"), "owner of the database"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_database_that_does_not_fit_is_one_line(
    error: Exception, remedy: str, wrapped: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli._told(ExceptionGroup("of a nursery", [error]) if wrapped else error) == cli.EX_FAILED
    said = capsys.readouterr().err
    assert str(error) in said
    assert remedy in said
    assert said.count("\n") == 1


def test_a_fault_of_ours_stays_a_traceback() -> None:
    with pytest.raises(asyncpg.PostgresSyntaxError):
        cli._told(asyncpg.PostgresSyntaxError("syntax error"))


def test_a_home_that_is_closed_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """`runuser -u rookery` keeps HOME=/root: asyncpg and `rookery doctor` stopped at files there that they may not see."""
    monkeypatch.setenv("HOME", "/closed")
    monkeypatch.setattr(os, "access", lambda path, mode: path != "/closed")
    cli._find_home()
    assert os.environ["HOME"] == pwd.getpwuid(os.geteuid()).pw_dir
    monkeypatch.setenv("HOME", "/open")
    cli._find_home()
    assert os.environ["HOME"] == "/open"

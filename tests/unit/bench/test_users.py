"""Accounts by pattern and file, and how driver processes share them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rookery.bench.plan import PlanError, make
from rookery.bench.users import accounts, share


def test_patterns() -> None:
    made = accounts(make({"scenario": "chat", "users": 2, "first_user": 7, "domain": "a.example"}))
    assert [(one.index, one.bare, one.password) for one in made] == [
        (0, "user000007@a.example", "secret000007"),
        (1, "user000008@a.example", "secret000008"),
    ]


def test_one_password_for_all() -> None:
    made = accounts(make({"scenario": "chat", "users": 2, "password": "x"}))
    assert [one.password for one in made] == ["x", "x"]


def test_passwords_are_not_shown() -> None:
    assert "secret" not in repr(accounts(make({"scenario": "chat", "users": 2})))


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("jid,password\nalice@b.example,one\nbob,two\n")
    plan = make({"scenario": "chat", "users": 2, "users_file": str(path), "domain": "c.example"})
    assert [(one.bare, one.password) for one in accounts(plan)] == [
        ("alice@b.example", "one"),
        ("bob@c.example", "two"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("jid,password\na,1\n", "has 1 users"),
        ("jid,password\na,1\nb\n", "row 3"),
        ("name,secret\na,1\nb,2\n", "row 2"),
        ("jid,password\na@,1\nb,2\n", "row 2"),
    ],
)
def test_mistakes_of_a_file(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "users.csv"
    path.write_text(text)
    with pytest.raises(PlanError, match=told):
        accounts(make({"scenario": "chat", "users": 2, "users_file": str(path)}))


@settings(deadline=None)
@given(st.integers(1, 16).flatmap(lambda n: st.tuples(st.just(n), st.integers(2 * n, 500))))
def test_processes_share_whole_pairs_and_everybody(case: tuple[int, int]) -> None:
    processes, total = case
    shares = [share(total, processes, number) for number in range(processes)]
    assert [index for part in shares for index in part] == list(range(total))
    assert all(part.start % 2 == 0 and len(part) >= 2 for part in shares)
    assert max(map(len, shares)) - min(map(len, shares)) <= 3


def test_users_of_two_servers_take_turns() -> None:
    plan = make(
        {"scenario": "chat", "users": 4, "domain": "a.example"},
        {"second_target": "127.0.0.1:1", "second_domain": "b.example"},
    )
    assert [account.bare for account in accounts(plan)] == [
        "user000000@a.example",
        "user000001@b.example",
        "user000002@a.example",
        "user000003@b.example",
    ]

"""Plans: layers, bounds, mistakes with their remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rookery.bench.plan import MARK_BYTES, PlanError, make, names, profile, told_by
from rookery.bench.scenarios import find, scenarios


def test_later_layers_win() -> None:
    plan = make({"scenario": "chat", "users": 10, "rate": 5.0}, {"users": 20})
    assert (plan.users, plan.rate, plan.closed_loop) == (20, 5.0, False)


def test_target_splits_into_host_and_port() -> None:
    plan = make({"scenario": "chat", "target": "[::1]:5222"})
    assert (plan.host, plan.port, plan.loopback) == ("::1", 5222, True)
    assert not make({"scenario": "chat", "target": "xmpp.example.org:5222"}).loopback


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"scenario": "chat", "user_count": 3}, "unknown key user_count"),
        ({"scenario": "chat", "target": "localhost"}, "HOST:PORT"),
        ({"scenario": "chat", "target": "localhost:0"}, "HOST:PORT"),
        ({"scenario": "chat", "body": MARK_BYTES - 1}, "body is 33"),
        ({"scenario": "chat", "rate": -1.0}, "rate is -1"),
        ({"scenario": "chat", "users": "many"}, "not a plan"),
        ({"scenario": "chat", "transport": "smoke"}, "not a plan"),
        ({"scenario": "chat", "user": "alice"}, "user%06d"),
        ({"scenario": "chat", "password": "%s%s"}, "not a pattern"),
        ({"scenario": "chat", "users": 4, "processes": 3}, "at least 6 users"),
        ({}, "not a plan"),
    ],
)
def test_mistakes_are_told(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(PlanError, match=told):
        make(keys)


def test_what_is_done_once_has_no_warm_up() -> None:
    assert make({"scenario": "chat", "count": 5}).warmup == 0
    assert make({"scenario": "login", "storm": True}).warmup == 0
    assert make({"scenario": "chat"}).warmup > 0


@pytest.mark.parametrize("name", names())
def test_profiles_can_be_run(name: str) -> None:
    plan = make(profile(name))
    find(plan.scenario).check(plan)


def test_a_profile_is_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("scenario = 'ping'\n")
    assert make(profile(str(path))).scenario == "ping"
    path.write_text("scenario = ")
    with pytest.raises(PlanError, match=r"mine\.toml"):
        profile(str(path))
    with pytest.raises(PlanError, match="chat-saturated"):
        profile("no-such")


def test_every_scenario_says_what_it_is() -> None:
    assert {"chat", "idle", "login", "mam", "mixed", "ping", "presence", "resume"} <= set(scenarios())
    assert all(kind.summary.endswith(".") and kind.operation for kind in scenarios().values())


def test_scenarios_that_there_are_not_are_refused_clearly() -> None:
    with pytest.raises(PlanError, match="no scenario 'caht'"):
        find("caht")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"scenario": "chat", "storm": True}, "chat is no storm"),
        ({"scenario": "idle", "rate": 5.0}, "idle has no rate"),
        ({"scenario": "idle", "search": ["errors==0"]}, "idle has no rate"),
        ({"scenario": "mixed", "users": 100}, "give a --rate"),
        ({"scenario": "presence", "users": 10}, "20 contacts need"),
    ],
)
def test_what_a_scenario_cannot_do(keys: dict[str, Any], told: str) -> None:
    plan = make(keys)
    with pytest.raises(PlanError, match=told):
        find(plan.scenario).check(plan)


def test_a_near_key_is_proposed() -> None:
    with pytest.raises(PlanError, match="unknown key rates: did you mean rate"):
        make({"scenario": "chat", "rates": 3})


def test_profiles_say_what_they_are() -> None:
    assert all(told_by(name).endswith(".") for name in names())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"second_target": "127.0.0.1:1"}, "has both"),
        ({"second_domain": "b.example"}, "has both"),
        ({"second_target": "here", "second_domain": "b.example"}, "second_target 'here' is not HOST:PORT"),
        (
            {"second_target": "127.0.0.1:1", "second_domain": "localhost"},
            "users of two servers have two domains",
        ),
    ],
)
def test_a_second_server(given: dict[str, str], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        make({"scenario": "chat"}, given)


def test_every_target_counts_as_a_machine() -> None:
    second = {"second_target": "192.0.2.1:5222", "second_domain": "b.example"}
    assert make({"scenario": "chat"}).loopback
    assert make({"scenario": "chat"}, second).foreign == "192.0.2.1"
    assert make({"scenario": "s2s", "s2s_target": "[2001:db8::1]:5269"}).foreign == "2001:db8::1"

"""The runbook of each alert (`docs/alerts.md`) names metrics, settings, commands, log lines and checks that exist, and says what helps."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from rookery.cli import cli
from rookery.shared.observe import metrics
from rookery.shared.reference import SETTINGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/alerts.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
RULES = yaml.safe_load((ROOT / "k8s/components/monitoring/rules.yaml").read_text("utf-8"))["spec"]["groups"][
    0
]["rules"]
METRICS = {
    row[0]: row[1]
    for row in re.findall(r"^\| `(\w+)` \| \w+ \| ([^|]*) \|", metrics.document(), re.MULTILINE)
}
EVENTS = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/logs.md").read_text("utf-8"), re.MULTILINE))
KEYS = {one.key for one in SETTINGS}
#: Words of Postgres, NATS and Kubernetes; answers of our own pages, and values of labels.
FOREIGN = {
    "max_connections",
    "max_wal_size",
    "checkpoint_timeout",
    "wal_compression",
    "GOMEMLIMIT",
    "max_pending",
}
OURS = {
    "/readyz",
    "MISSING",
    "missing",
    "draining",
    "owner",
    "auth",
    "data",
    "collision",
    "expired",
    "unsendable",
    "--cancel",
}
#: Checks of /readyz (`src/rookery/wiring.py`).
CHECKS = {"started", "nats", "database", "partitions", "listeners"}


def options(command: click.Command) -> set[str]:
    return {
        name
        for one in command.params
        if isinstance(one, click.Option)
        for name in (*one.opts, *one.secondary_opts)
    }


def wrong(said: str) -> str:
    """Why there is no such thing; "" when there is."""
    words = shlex.split(said)
    if words[0] == "kubectl":
        return "" if words[1] in ("get", "describe", "rollout") else "unknown verb"
    if words[0] == "rookery" and len(words) > 1:
        command: click.Command = cli
        rest = words[1:]
        while isinstance(command, click.Group) and rest:
            found = command.get_command(click.Context(command), rest.pop(0))
            if found is None:
                return "no such command"
            command = found
        unknown = {word for word in rest if word.startswith("-")} - options(command)
        return f"no such option: {unknown}" if unknown else ""
    if said.startswith("rookery_"):
        return "" if said in METRICS else "no such metric"
    if re.fullmatch(r"[a-z0-9]+\.[a-z_]+", said):
        return "" if said in KEYS else "no such setting"
    return "" if said in FOREIGN | OURS | CHECKS | EVENTS else "neither a log line, nor a check"


@pytest.mark.parametrize("name", [rule["alert"] for rule in RULES])
def test_what_a_runbook_names_exists(name: str) -> None:
    text = SECTIONS[name]
    for said in re.findall(r"`([^`]+)`", text):
        assert not wrong(said), f"{said}: {wrong(said)}"
    # It says what it means for people, and names something to look at or to do.
    assert len(text.split()) > 25
    assert re.search(r"`|the last roll-out", text)


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    assert set(SECTIONS) == {rule["alert"] for rule in RULES}


def test_the_checks_of_readiness_are_those_of_the_code() -> None:
    source = (ROOT / "src/rookery/wiring.py").read_text("utf-8")
    assert set(re.findall(r'checks\["(\w+)"\]', source)) == CHECKS
    section = SECTIONS["RookeryProcessNotReady"]
    assert all(f"`{name}`" in section for name in CHECKS)


def test_the_test_finds_what_does_not_exist() -> None:
    for said in (
        "rookery frobnicate",
        "rookery drain --never",
        "rookery_nothing_total",
        "limits.nothing",
        "no_such_line",
    ):
        assert wrong(said)


def test_an_alert_on_a_kind_sees_kinds_that_nobody_runs_any_more() -> None:
    """A gauge of a process that is gone is absent, not 0: only what was there lately can be missed."""
    rule = next(rule for rule in RULES if rule["alert"] == "RookeryKindWithoutHolder")
    assert "max_over_time" in rule["expr"]
    assert "unless" in rule["expr"]

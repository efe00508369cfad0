"""The metrics table and what is exposed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rookery.shared.observe import metrics
from rookery.shared.observe.bounded import OTHER, Bounded


def test_names_follow_the_conventions() -> None:
    for name, type_, labels, text in metrics.TABLE:
        assert name == name.lower()
        assert name.endswith("_total") == (type_ == "counter"), name
        assert not name.startswith(metrics.PREFIX)
        assert text.endswith("."), name
        assert not {"le", "process", "instance", "job"} & set(labels), name
    assert len({row.name for row in metrics.TABLE}) == len(metrics.TABLE)


def test_every_metric_of_the_table_is_exposed() -> None:
    body, _ = metrics.exposition()
    types = {family.name: family.type for family in text_string_to_metric_families(body.decode())}
    for row in metrics.TABLE:
        assert types[metrics.PREFIX + row.name.removesuffix("_total")] == row.type


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_sampled_values_are_read_when_asked(accept: str) -> None:
    counts = [1.0]
    metrics.BUS_ITEMS.sample(lambda: counts[0], "test")
    counts[0] = 42.0
    body, content_type = metrics.exposition(accept)
    assert b'rookery_bus_items_total{direction="test"} 42.0' in body
    assert ("openmetrics" in content_type) == bool(accept)


def test_document_has_every_metric() -> None:
    text = metrics.document()
    assert all(f"`{metrics.PREFIX}{row.name}`" in text for row in metrics.TABLE)


def test_a_process_exposes_what_its_kinds_count() -> None:
    """In an interpreter of its own: what is taken out of the registry stays out."""
    script = (
        "from rookery.shared.observe import metrics\n"
        "metrics.only('edge')\n"
        "print(metrics.exposition()[0].decode())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names = {family.name for family in text_string_to_metric_families(done.stdout)}
    assert {"rookery_c2s_sessions", "rookery_ready", "rookery_bus_items"} <= names
    assert not names & {"rookery_route", "rookery_processes", "rookery_db_seconds", "rookery_registrations"}
    assert "_created" not in done.stdout


def test_labels_for_domains_are_bounded() -> None:
    bounded = Bounded(2)
    assert [bounded.label(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]

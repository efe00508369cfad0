"""The metrics table and what is exposed."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rookery.shared.observe import metrics


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

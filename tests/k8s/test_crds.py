"""Objects of other operators (Prometheus', KEDA, cert-manager, CloudNativePG) are what those operators understand."""

from __future__ import annotations

import json

import pytest
from tests.k8s import crds


def test_operators_know_every_field_of_their_objects() -> None:
    """`crds/README.md` says where their schemas are from; fields that are used for the first time need them made anew."""
    found = crds.of_others()
    assert {one["kind"] for one in found} >= {
        "ServiceMonitor",
        "PrometheusRule",
        "ScaledObject",
        "Certificate",
        "Cluster",
    }
    assert [wrong for one in found for wrong in crds.wrongs(one)] == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Cluster", ("spec", "instance"), 3),
        ("Cluster", ("spec", "instances"), "three"),
        ("ScaledObject", ("spec", "triggers", 0, "metricsType"), "AverageValue"),
        ("Certificate", ("spec", "dnsName"), ["example.org"]),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "expresion"), "up"),
        ("ServiceMonitor", ("spec", "endpoints", 0, "interval"), "often"),
    ],
)
def test_what_an_operator_does_not_know_is_found(
    kind: str, path: tuple[str | int, ...], value: object
) -> None:
    one = json.loads(json.dumps(next(one for one in crds.of_others() if one["kind"] == kind)))
    place = one
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert list(crds.wrongs(one))

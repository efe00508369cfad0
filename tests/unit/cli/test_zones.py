"""Doctor warns of kinds that one zone can take away."""

from __future__ import annotations

from rookery.cli.zones import one_zone_only
from rookery.shared.bus.messages import Beat, Kind
from rookery.shared.cluster.about import About


def beat(name: str, zone: str, *kinds: Kind) -> Beat:
    return Beat(name, tuple(map(int, kinds)), 0, "up", 3, About("host", zone=zone).pack())


def test_one_zone_alone_is_no_matter() -> None:
    assert one_zone_only([]) == []
    assert one_zone_only([beat("a", "east", Kind.EDGE), beat("b", "east", Kind.ROUTER)]) == []
    assert one_zone_only([beat("a", "east", Kind.EDGE), beat("b", "", Kind.EDGE)]) == []


def test_a_kind_in_one_of_several_zones_is_named() -> None:
    found = one_zone_only(
        [
            beat("a", "east", Kind.EDGE),
            beat("b", "west", Kind.EDGE),
            beat("c", "west", Kind.ROUTER),
            beat("d", "west", Kind.ROUTER),
        ]
    )
    assert len(found) == 1
    assert found[0].startswith("router: ")
    assert "west, the cluster has east, west" in found[0]

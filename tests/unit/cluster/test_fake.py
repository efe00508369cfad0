"""The fake cluster that the unit tests of kinds use."""

from __future__ import annotations

from rookery.shared.bus.messages import Accepted, Acked, Kind
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.fake import FakeCluster


def test_node_is_a_node_and_routes_both_ways() -> None:
    cluster = FakeCluster(clock=lambda: 0.0)
    edge, router = cluster.node("edge1", Kind.EDGE), cluster.node("router1", Kind.ROUTER)
    as_node: Node = router
    assert as_node.edges() == ["edge1"]
    edge.bus.post(Kind.ROUTER, 3, Acked("a@x/r", 1, 2))
    router.bus.post_to("edge1", Accepted(((b"s", 1),)))
    cluster.network.settle()
    assert router.received == [("edge1", Kind.ROUTER, 3, 1, Acked("a@x/r", 1, 2))]
    assert edge.received == [("router1", Kind.EDGE, 0, 0, Accepted(((b"s", 1),)))]


def test_moved_partition_gets_kept_items_first() -> None:
    cluster = FakeCluster(clock=lambda: 0.0)
    edge, first = cluster.node("edge1", Kind.EDGE), cluster.node("router1", Kind.ROUTER)
    second = cluster.node("router2", Kind.ROUTER)
    edge.bus.post(Kind.ROUTER, 3, Acked("a@x/r", 1, 1))
    cluster.network.settle()
    edge.on_holder.append(lambda kind, p: edge.bus.post(kind, p, Acked("a@x/r", 1, 1)) if p == 3 else None)
    cluster.lose("router1")
    edge.bus.post(Kind.ROUTER, 3, Acked("a@x/r", 1, 2))
    cluster.move(Kind.ROUTER, "router2")
    cluster.network.settle()
    assert [item[4] for item in second.received] == [Acked("a@x/r", 1, 1), Acked("a@x/r", 1, 2)]
    assert len(first.received) == 1

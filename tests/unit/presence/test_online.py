"""What a presence worker remembers of available resources, and asks a new router about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.bus.messages import Broadcast, Kind, StillThere
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.presence.online import CHUNK, Online
from rookery.workers.presence.rules import Subscriptions
from rookery.workers.presence.service import PresenceService

BARE = "bob@example.org"
steps = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abcdef"), st.booleans()))


@given(steps, st.integers(1, 8))
def test_it_is_bounded_and_counts_right(told: list[tuple[int, str, bool]], limit: int) -> None:
    online, model = Online(limit), set()
    for partition, full, available in told:
        online.heard(partition, full, available)
        (model.add if available else model.discard)((partition, full))
        known = {(p, one) for p in range(4) for asked in online.questions(p) for one in asked}
        assert known <= model
        assert len(known) == len(online) <= limit
    if len({(p, full) for p, full, _ in told}) <= limit:
        assert known_of(online) == model
    for partition in range(4):
        online.forget(partition)
    assert len(online) == 0


def known_of(online: Online) -> set[tuple[int, str]]:
    return {(p, one) for p in range(4) for asked in online.questions(p) for one in asked}


def test_questions_come_in_portions() -> None:
    online = Online()
    for n in range(CHUNK + 1):
        online.heard(1, str(n), True)
    assert [len(asked) for asked in online.questions(1)] == [CHUNK, 1]
    assert list(online.questions(2)) == []


async def test_a_new_router_is_asked_about_those_that_are_available() -> None:
    cluster = FakeCluster(partitions=4)
    cluster.node("router1", Kind.ROUTER)
    router = cluster.node("router2", Kind.ROUTER)
    worker = cluster.node("presence1", Kind.PRESENCE)
    service = PresenceService(worker)
    partition = worker.partition(BARE)
    service.cache.put(BARE, partition, Subscriptions(True, {}, {}, frozenset()), 1e12)
    for resource, type in (("stays", ""), ("goes", ""), ("goes", "unavailable")):
        full = f"{BARE}/{resource}"
        stanza = Stanza.build("presence", type=type, from_=full)
        service.receive("router1", partition, 1, Broadcast(BARE, full, stanza, False))
    cluster.move(Kind.ROUTER, "router2")
    cluster.network.settle()
    assert [one[4] for one in router.received] == [StillThere((f"{BARE}/stays",))]
    service.forget(partition)
    assert len(service.online) == 0

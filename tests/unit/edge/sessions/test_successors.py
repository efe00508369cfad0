"""A router that gave our link up, or that is new, is told everything once more: mirrors, ends, what is un-accepted."""

from __future__ import annotations

from typing import cast

from tests.unit.edge.sessions.management.test_manager import BOB, managed, mirrored, of
from tests.unit.edge.sessions.world import ALICE, FULL, QUERY, World, stanza

from rookery.edge.client.connection import Connection
from rookery.shared.bus.messages import (
    Accepted,
    Acked,
    Bound,
    Deliver,
    End,
    Frontier,
    Item,
    Kind,
    Mirror,
    MirrorRequest,
    Noted,
    Route,
    Submit,
    Unbind,
)
from rookery.shared.xmpp.stanza import Stanza


def asks(world: World, partition: int, epoch: int = 5, router: str = "router1") -> list[Item]:
    """A router asks for a mirror; what it is told."""
    world.sessions.receive(router, MirrorRequest(partition, epoch, router))
    return world.arrived(router)


def reset(world: World, peer: str = "router1") -> list[Item]:
    world.sessions.successors.on_reset(peer)
    return world.arrived()


def mirrors(items: list[Item]) -> list[tuple[int, list[str], bool]]:
    return [
        (item.partition, [one.full for one in item.sessions], item.last)
        for item in items
        if isinstance(item, Mirror)
    ]


def test_a_router_that_gave_our_link_up_gets_its_mirrors_again() -> None:
    world = World()
    session, _ = world.bind()
    other = (session.partition + 1) % 256
    first = [*asks(world, session.partition), *asks(world, other)]
    assert mirrors(first) == [(session.partition, [FULL], True), (other, [], True)]
    again = reset(world)
    # The answers may have been lost on the way: whoever gathers waits for them.
    assert sorted(mirrors(again)) == sorted(mirrors(first))
    assert sorted(mirrors(reset(world))) == sorted(mirrors(first))


def test_what_changed_meanwhile_is_told() -> None:
    world = World()
    session, _ = world.bind()
    asks(world, session.partition)
    world.deliver(session, 1)
    second, _ = world.bind(f"{ALICE}/tablet", 5 << 32 | 2)
    world.arrived()
    told = {one.full: one for one in mirrored(reset(world))}
    assert told.keys() == {session.full, second.full}
    assert [n for n, _, _ in told[FULL].inflight] == [1]


def test_partitions_that_it_never_asked_for_are_not_told() -> None:
    world = World()
    world.bind()
    assert mirrors(reset(world)) == []
    asks(world, 3)
    assert mirrors(reset(world, "somebody-else")) == []


def test_a_router_that_delivered_and_never_asked_is_told_as_well() -> None:
    """It held the partition when the first stream was bound there."""
    world = World()
    session, _ = world.bind()
    world.deliver(session, 1)
    ((partition, names, last),) = mirrors(reset(world))
    assert (partition, names, last) == (session.partition, [FULL], True)


def test_a_deposed_router_gets_no_mirror_again() -> None:
    world = World()
    session, _ = world.bind()
    asks(world, session.partition, 5, "router1")
    world.cluster.node("router2", Kind.ROUTER)
    world.cluster.move(Kind.ROUTER, "router2")
    asks(world, session.partition, 6, "router2")
    assert mirrors(reset(world, "router1")) == []
    world.sessions.successors.on_reset("router2")
    assert mirrors(world.arrived("router2")) == [(session.partition, [FULL], True)]
    # nor when it asks late
    assert asks(world, session.partition, 5, "router1") == []


def test_the_mirror_is_asked_for_under_the_epoch_of_its_question() -> None:
    world = World()
    session, line = world.bind()
    asks(world, session.partition, 5)
    reset(world)
    world.deliver(session, 1, source="router1")
    assert len(line.sent) == 1
    assert not world.sessions.outdated(session.partition, 5 << 32)
    assert world.sessions.outdated(session.partition, 4 << 32)


def test_the_closed_ones_are_told_too_with_their_ends_behind_them() -> None:
    world = World()
    session, _ = world.bind()
    asks(world, session.partition)
    world.sessions.close(session, "eof")
    world.arrived()
    again = reset(world)
    assert [type(item) for item in again] == [Mirror, Unbind, Unbind]  # for the mirror; what was on the way
    assert mirrors(again) == [(session.partition, [FULL], True)]
    world.sessions.receive("router1", Accepted([(session.stream, 0)]))
    assert mirrors(reset(world)) == [(session.partition, [], True)]


def test_mirrors_come_before_what_is_sent_again() -> None:
    world = World()
    session, _ = world.bind()
    asks(world, session.partition)
    session.take(stanza("message", BOB))
    world.arrived()
    assert [type(item) for item in reset(world)] == [Mirror, Route]


def test_what_left_lately_is_told_before_the_sessions() -> None:
    world = World()
    session, _ = world.bind()
    asks(world, session.partition)
    message = Stanza.build("message", to=FULL, from_="bob@example.org/r")
    world.sessions.receive("router1", Deliver(session.sid, session.grant, 1, b"origin", 9, message))
    session.progress(0, drained=True)
    late, given, last = (item for item in reset(world) if isinstance(item, Mirror))
    assert [(stream, n) for stream, n, _ in late.late] == [(b"origin", 9)]
    assert list(given.given) == [(b"origin", 9)]
    assert (late.sessions, late.last, given.last, last.last) == ((), False, False, True)


def test_a_frontier_that_may_be_lost_is_told_again() -> None:
    world = World()
    session, _ = managed(world)
    session.take(stanza("message", BOB))
    (route,) = of(world.arrived(), Route)
    assert isinstance(route, Route)
    world.sessions.receive("router1", Accepted([(b"stream", route.origin.n)]))
    world.sessions.tick(world.clock.now + 1)
    told = Frontier(FULL, session.grant, 1, (), 1)
    assert of(world.arrived(), Frontier) == [told]
    assert of(reset(world), Frontier) == [told]
    world.sessions.receive("router1", Noted(session.sid, session.grant, 1))
    assert of(reset(world), Frontier) == []


def test_a_sleeping_stream_is_told_whole_again() -> None:
    world = World()
    session, _ = managed(world)
    asks(world, session.partition)
    world.deliver(session, 1)
    world.deliver(session, 2, Stanza.build("presence", to=FULL))
    world.sessions.close(session, "eof", resumable=True)
    world.arrived()
    for _ in range(2):
        (told,) = mirrored(reset(world))
        assert told.managed[0].asleep
        assert [n for n, _ in told.stanzas] == [1, 2]
    world.sessions.receive("router1", End(session.sid, session.grant, "reset", ""))
    assert mirrored(reset(world)) == []


def test_acknowledgements_are_not_forgotten_over_a_reset() -> None:
    world = World()
    session, _ = world.bind()
    asks(world, session.partition)
    world.deliver(session, 1)
    session.progress(0, drained=True)
    (told,) = mirrored(reset(world))
    assert (told.n, told.acked) == (1, 1)
    world.sessions.send_acks()
    assert world.arrived() == [Acked(FULL, session.grant, 1)]


def test_a_binding_that_is_being_asked_for_is_not_told() -> None:
    world = World()
    sid, stream = world.sessions.reserve(), bytes(16)
    partition = world.sessions.partition(ALICE)
    assert mirrors(asks(world, partition, 1)) == [(partition, [], True)]
    line = cast("Connection", object())
    world.sessions.begin(line, sid, stream, Bound(FULL, 1 << 32 | 1))
    assert mirrors(reset(world)) == [(partition, [FULL], True)]


def test_what_a_router_has_handed_to_a_worker_is_the_routers_business() -> None:
    world = World()
    session, _ = world.bind()
    session.take(stanza("iq", "", "get", "q", QUERY))
    session.take(stanza("presence", "carol@example.org", "subscribe"))
    world.arrived()
    for kind in (Kind.ROSTER, Kind.ACCOUNT, Kind.S2S):
        world.sessions.successors.on_holder(kind, session.partition)
    assert world.arrived() == []
    world.sessions.successors.on_holder(Kind.ROUTER, session.partition)
    assert [type(item) for item in world.arrived()] == [Submit, Submit]


def asked_of_bob(world: World, epoch: int = 1) -> int:
    """A request to a resource of bob is under way to the router that is attached under `epoch`; returns its partition."""
    session, _ = world.bind()
    partition = world.sessions.partition("bob@example.org")
    asks(world, partition, epoch)
    session.take(stanza("iq", "bob@example.org/r", "get", "q", QUERY))
    world.arrived()
    return partition


def routes(items: list[Item]) -> int:
    return sum(isinstance(item, Route) for item in items)


def test_a_request_to_a_resource_is_sent_again_to_the_router_that_knows_whether_it_had_it() -> None:
    world = World()
    partition = asked_of_bob(world)
    assert routes(reset(world)) == 1
    # It was given up, and is back under the epoch that it had.
    world.sessions.successors.on_holder(Kind.ROUTER, partition)
    assert routes(world.arrived()) == 1


def test_a_request_to_a_resource_is_not_sent_to_another_router() -> None:
    world = World()
    partition = asked_of_bob(world)
    world.cluster.node("router2", Kind.ROUTER)
    asks(world, partition, 2, "router2")
    world.cluster.lose("router1")
    world.cluster.move(Kind.ROUTER, "router2")
    assert routes(world.arrived("router2")) == 0


def test_a_request_to_a_resource_is_not_sent_to_a_router_that_never_asked() -> None:
    world = World()
    asked_of_bob(world)
    world.cluster.node("router2", Kind.ROUTER)
    world.cluster.lose("router1")
    world.cluster.move(Kind.ROUTER, "router2")
    assert routes(world.arrived("router2")) == 0


def test_a_claim_deposes_the_router_before_its_successor_asks() -> None:
    world = World()
    session, _ = world.bind()
    partition = session.partition
    asks(world, partition, 5, "router1")
    world.sessions.successors.on_claimed(Kind.ROUTER, partition, 6, "router2")
    assert not world.sessions.attachments.allows(partition, "router1")
    assert world.sessions.attachments.allows(partition, "router2")
    world.sessions.successors.on_claimed(Kind.ROUTER, partition, 4, "router3")
    assert not world.sessions.attachments.allows(partition, "router3"), "an old claim"
    world.sessions.successors.on_claimed(Kind.ROSTER, partition, 9, "roster1")
    assert world.sessions.attachments.epoch(partition) == 6


def test_what_is_sent_once_at_most_is_not_sent_to_who_has_claimed() -> None:
    """The successor has not what the former one may have had: it is no same holder."""
    world = World()
    session, _ = world.bind()
    partition = session.partition
    asks(world, partition, 5, "router1")
    world.sessions.successors.on_claimed(Kind.ROUTER, partition, 6, "router2")
    assert partition in world.sessions.successors._moved


def test_an_edge_that_ends_leaves_to_another_what_may_have_no_row_yet() -> None:
    world = World()
    heir = world.cluster.node("edge2", Kind.EDGE)
    world.sessions.late.add(1, b"s", 4, stanza("message", to=FULL))
    world.sessions.late.add_iq(9, b"q", 5)
    world.sessions.successors.bequeath()
    world.cluster.network.settle()
    left = [item for *_, item in heir.received if isinstance(item, Mirror)]
    assert sorted(uid[:2] for item in left for uid in item.late) == [(b"s", 4)]
    assert [(item.partition, item.iqs) for item in left if item.iqs] == [(9, ((b"q", 5),))]
    assert not any(item.last or item.sessions for item in left)
    # Who inherits tells it like its own.
    for item in left:
        world.sessions.receive("edge2", item)
    told = [one for one in asks(world, world.sessions.partition(ALICE)) if isinstance(one, Mirror)]
    assert [uid[:2] for one in told for uid in one.late] == [(b"s", 4)] * 2

"""Edges that were given up and are back, through a whole router."""

from __future__ import annotations

from tests.unit.router.rig import Client, Rig, bodies, chat, rig
from tests.unit.router.sessions.test_resume import BOB, managed, resumed

from rookery.shared.bus.messages import Kind


async def give_up(it: Rig, edge: str = "edge1") -> None:
    """The router has not heard the edge for too long; what is on the link is gone."""
    node = it.router.core.node
    node.edges = lambda: [name for name in it.edges if name != edge]  # type: ignore[method-assign]
    it.cluster.nodes[node.incarnation].bus.forget(edge)
    for callback in node.on_lost:
        callback(edge)
    await it.settle()


async def hear(it: Rig, edge: str = "edge1") -> None:
    """The edge beats again."""
    node = it.router.core.node
    node.edges = lambda: list(it.edges)  # type: ignore[method-assign]
    for callback in node.on_found:
        callback(edge, frozenset({Kind.EDGE}))
    await it.settle()


async def pair(it: Rig) -> tuple[Client, Client]:
    """Alice at an edge that stays, Bob with stream management at one that will be given up."""
    it.edge("edge2")
    alice, bob = await it.online("alice", edge="edge2"), await managed(it, "bob")
    bob.news()
    return alice, bob


async def test_a_session_that_slept_goes_on_with_what_it_missed() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        await give_up(it)
        alice.route(chat(BOB, "meanwhile"))
        await it.settle()
        assert bob.news() == []
        await hear(it)
        assert bodies(bob.news()) == ["meanwhile"]
        assert bob.ends == []
        alice.route(chat(BOB, "live"))
        await it.settle()
        assert bodies(bob.news()) == ["live"]
        assert len(it.router.hibernation) == 0


async def test_an_edge_that_is_back_at_once_is_no_loss() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        for callback in it.router.core.node.on_lost:
            callback("edge1")
        alice.route(chat(BOB))
        await it.settle()
        assert bodies(bob.news()) == ["hi"]


async def test_a_session_that_could_not_sleep_is_ended_there_too() -> None:
    async with rig() as it:
        it.edge("edge2")
        alice, bob = await it.online("alice", edge="edge2"), await it.online("bob")
        await give_up(it)
        assert alice.ends == []
        await hear(it)
        assert [end.condition for end in bob.ends] == ["reset"]


async def test_a_session_that_went_on_elsewhere_is_not_taken_back() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        await give_up(it)
        again = await resumed(it, BOB, 0, edge="edge2")
        await hear(it)
        assert [end.grant for end in bob.ends] == [bob.grant]
        alice.route(chat(BOB))
        await it.settle()
        assert bodies(again.news()) == ["hi"]
        assert bob.news() == []

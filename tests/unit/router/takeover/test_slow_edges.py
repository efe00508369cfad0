"""An edge that beats, but answers late, keeps its sessions when their router is taken over."""

from __future__ import annotations

import pytest
import trio
from tests.unit.router.rig import PARTITIONS, bodies, chat, rig

from rookery.router.takeover.mirrors import LIMIT, SLOW
from rookery.shared.bus.messages import MirrorRequest

BOB = "bob@example.org"


@pytest.mark.parametrize("seconds", [SLOW - 1, SLOW + 1, LIMIT - 1])
async def test_a_late_answer_is_waited_for(seconds: float, autojump_clock: object) -> None:
    async with rig() as it:
        alice, bob = await it.online("alice", edge="edge2"), await it.online("bob")
        it.edge().answers_mirrors = False
        it.nursery.start_soon(it.start_router, "router2")
        await it.settle()
        alice.route(chat(BOB, "meanwhile"))
        await trio.sleep(seconds)
        edge = it.edge()
        edge.answers_mirrors = True
        for number in range(PARTITIONS):
            edge._take("router2", number, MirrorRequest(number, 2, "router2"))
        with trio.fail_after(0.5):
            while it.router.core.node.incarnation != "router2":
                await it.settle()
                await trio.sleep(0.1)
        await it.settle()
        assert bob.ends == []
        assert it.router.core.count.sessions == 2
        alice.route(chat(BOB, "live"))
        await it.settle()
        assert bodies(bob.news())[-1:] == ["live"]


async def test_an_edge_that_is_lost_meanwhile_is_not_waited_for(autojump_clock: object) -> None:
    async with rig() as it:
        await it.online("bob")
        it.edge("edge2").answers_mirrors = False
        it.nursery.start_soon(it.start_router, "router2")
        await it.settle()
        await trio.sleep(SLOW + 1)
        assert it.router.core.node.incarnation != "router2"
        it.edges.pop("edge2")
        it.cluster.lose("edge2")
        with trio.fail_after(0.5):
            while it.router.core.node.incarnation != "router2":
                await it.settle()
                await trio.sleep(0.1)
        assert it.router.core.count.sessions == 1

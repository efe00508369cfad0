"""What a client says of itself goes to its router, and to that router's successor (XEP-0352)."""

from __future__ import annotations

from tests.unit.edge.sessions.world import FULL, World

from rookery.shared.bus.messages import ClientState, Kind

GRANT = 1 << 32 | 1


def said(world: World) -> list[ClientState]:
    return [item for item in world.arrived() if isinstance(item, ClientState)]


def test_a_change_is_told_and_a_repetition_is_not() -> None:
    world = World()
    session, _ = world.bind()
    for active in (False, False, True, True, False):
        session.client_state(active)
    assert said(world) == [ClientState(FULL, GRANT, active) for active in (False, True, False)]


def test_a_new_holder_and_a_new_link_are_told_again() -> None:
    world = World()
    session, _ = world.bind()
    world.bind(FULL + "2", GRANT + 1)
    session.client_state(True)
    session.client_state(False)
    assert len(said(world)) == 2
    world.sessions.successors.on_holder(Kind.ROUTER, session.partition)
    assert said(world) == [ClientState(FULL, GRANT, False)]
    world.sessions.successors.on_reset("router1")
    assert said(world) == [ClientState(FULL, GRANT, False)]
    world.sessions.successors.on_holder(Kind.ROUTER, session.partition + 1)
    assert said(world) == []

"""What the holder of a component sees: connections of any process, links over them, and their ends."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from rookery.shared.bus.messages import ComponentAcked, ComponentGone, ComponentHere, ToComponent
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.component.lines import SILENT_SECONDS, Lines
from rookery.workers.s2s.streams.api import Link, Trouble

IRC = "irc.example"


class Owner:
    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def on_open(self, link: Link) -> None:
        self.told.append(("open", link.remote))

    def on_pair(self, local: str, trouble: Trouble | None) -> None:
        self.told.append(("pair", local))

    def on_acked(self, link: Link, count: int) -> None:
        self.told.append(("acked", count))

    def on_drained(self, link: Link) -> None:
        self.told.append(("drained", None))

    def on_closed(self, link: Link, trouble: Trouble) -> None:
        self.told.append(("closed", trouble.condition))


class World:
    def __init__(self) -> None:
        self.sent: list[tuple[str, ToComponent]] = []
        self.arrived: list[str] = []
        self.lines = Lines("me", lambda process, item: self.sent.append((process, item)), self.arrived.append)
        self.owner = Owner()

    def here(self, process: str, number: int = 1) -> None:
        self.lines.here(ComponentHere(IRC, process, number))


def chat(n: int) -> Stanza:
    return Stanza.build("message", from_="ann@here/x", to=f"bot@{IRC}", id=str(n))


async def test_without_a_connection_a_link_does_not_open(nursery: trio.Nursery) -> None:
    world = World()
    nursery.start_soon(world.lines.run)
    world.lines.open(IRC, "here", world.owner)
    assert world.owner.told == []
    await wait_all_tasks_blocked()
    assert world.owner.told == [("closed", "service-unavailable")]


async def test_a_link_sends_hears_and_survives_the_end_of_a_connection(nursery: trio.Nursery) -> None:
    world = World()
    nursery.start_soon(world.lines.run)
    world.here("p1")
    link = world.lines.open(IRC, "here", world.owner)
    await wait_all_tasks_blocked()
    assert world.arrived == [IRC]
    link.authenticate("there")
    await wait_all_tasks_blocked()
    for n in range(3):
        link.send(chat(n))
    world.here("p2")
    world.lines.acked(ComponentAcked(IRC, "p1", 1, 999, 3))  # of a link that is over
    world.lines.acked(ComponentAcked(IRC, "p1", 1, world.sent[0][1].link, 1))
    world.lines.gone(ComponentGone(IRC, "p1", 1))
    assert [(process, item.n, item.stanza.id) for process, item in world.sent] == [
        ("p1", 1, "0"), ("p1", 2, "1"), ("p1", 3, "2"), ("p2", 1, "1"), ("p2", 2, "2"),
    ]  # fmt: skip
    world.lines.acked(ComponentAcked(IRC, "p2", 1, world.sent[0][1].link, 2))
    world.lines.lost("p2")
    await wait_all_tasks_blocked()
    assert world.owner.told == [
        ("open", IRC), ("pair", "there"), ("acked", 1), ("acked", 3), ("closed", "service-unavailable"),
    ]  # fmt: skip
    assert world.lines.connections == 0


async def test_a_connection_that_nobody_speaks_of_is_gone(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    world = World()
    nursery.start_soon(world.lines.run)
    world.here("p1")
    world.lines.open(IRC, "here", world.owner)
    await trio.sleep(SILENT_SECONDS - 1)
    world.here("p1")
    await trio.sleep(SILENT_SECONDS - 1)
    assert world.lines.connections == 1
    await trio.sleep(3)
    assert world.lines.connections == 0
    assert world.owner.told == [("open", IRC), ("closed", "service-unavailable")]

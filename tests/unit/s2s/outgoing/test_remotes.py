"""Half of all domains are dead: those that are not get their messages as if the dead ones were not there."""

from __future__ import annotations

import trio

from rookery.shared.bus.messages import NOBODY
from rookery.shared.store.holding import Held
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.outgoing.remotes import SWEEP, Remotes
from rookery.workers.s2s.queue.entries import Entry
from rookery.workers.s2s.streams import troubles
from rookery.workers.s2s.streams.api import Link, Owner

HERE = "here.example"
#: How long a domain that accepts and says nothing holds up an attempt, as `s2s.negotiate_seconds`.
SILENT_SECONDS = 30.0
PARTITION = 1


class _Queues:
    """Rows are of no interest here."""

    def _nothing(self, *_: object) -> None:
        return

    acked = read = spoiled = mute = outcome = _nothing


class _Link:
    """A stream that takes what it is sent."""

    def __init__(self, remote: str) -> None:
        self.remote = remote
        self.open = self.managed = True
        self.waiting = self.unconfirmed = 0

    def authenticate(self, local: str) -> None:
        raise AssertionError("there is one pair")

    def send(self, stanza: Stanza, n: int = 0) -> None:
        return

    def mark(self) -> None:
        return

    def close(self) -> None:
        return


class _World:
    """Opens streams: `dead` ones never answer. `opened` says when each healthy domain was reached, `attempts` how often each was tried."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.opened: dict[str, float] = {}
        self.attempts: dict[str, int] = {}

    def open(self, remote: str, local: str, owner: Owner) -> Link:
        self.attempts[remote] = self.attempts.get(remote, 0) + 1
        link = _Link(remote)
        self.nursery.start_soon(self._answer, link, owner)
        return link

    async def _answer(self, link: _Link, owner: Owner) -> None:
        if link.remote.startswith("dead"):
            await trio.sleep(SILENT_SECONDS)
            owner.on_closed(link, troubles.SILENT)
        else:
            await trio.sleep(0.05)
            self.opened[link.remote] = trio.current_time()
            owner.on_open(link)


def _send(remotes: Remotes, name: str) -> None:
    remote = remotes.get(name, PARTITION)
    remote.pair(HERE).push(Entry(Stanza.build("message", to=name, from_=HERE), NOBODY, 0, 0.0, 0.0))
    remote.pump()


async def test_new_domains_are_reached_while_many_others_say_nothing(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        world = _World(nursery)
        remotes = Remotes(_Queues(), longest_pause=900.0)
        remotes.opener = world
        remotes.hold(Held(PARTITION, 1))
        nursery.start_soon(remotes.run)
        for number in range(500):
            _send(remotes, f"dead{number}.example")
        await trio.sleep(8.0)
        begun = trio.current_time()
        for number in range(20):
            _send(remotes, f"healthy{number}.example")
        await trio.sleep(1.0)
        assert len(world.opened) == 20
        assert max(world.opened.values()) - begun < 0.2
        await trio.sleep(300.0)
        dead = [count for name, count in world.attempts.items() if name.startswith("dead")]
        assert len(dead) == 500
        assert max(dead) <= 8, "pauses double"
        nursery.cancel_scope.cancel()


async def test_names_that_users_make_up_are_not_remembered_for_ever(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        remotes = Remotes(_Queues(), longest_pause=60.0)
        remotes.opener = _World(nursery)
        remotes.hold(Held(PARTITION, 1))
        nursery.start_soon(remotes.run)
        _send(remotes, "healthy.example")
        waits = remotes.get("waits.example", PARTITION)
        waits.hush()
        waits.pair(HERE).push(
            Entry(Stanza.build("message", to="waits.example", from_=HERE), NOBODY, 0, 0.0, 0.0)
        )
        await trio.sleep(1.0)
        for number in range(3 * SWEEP):
            # What was for it has gone back to its sender.
            remotes.get(f"made-up{number}.example", PARTITION)
        assert sum(1 for _ in remotes) <= 2 * SWEEP
        assert remotes.find("healthy.example") is not None
        assert remotes.find("waits.example") is waits
        nursery.cancel_scope.cancel()

"""The client of the fault runner, without a server."""

from __future__ import annotations

import random
from typing import Any, cast

from tests.cluster.chaos.client import Client
from tests.cluster.chaos.ledger import Ledger
from tests.cluster.chaos.loop import Loop
from tests.cluster.chaos.stream import Stream


class _World:
    """What a client needs of a run."""

    managed = True

    def __init__(self) -> None:
        self.loop = Loop()
        self.rng = random.Random(1)
        self.ledger = Ledger()


class _Wire:
    """A stream that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


def test_nothing_is_queued_before_the_session_counts_so_that_presence_is_sent() -> None:
    world, wire = _World(), _Wire()
    client = Client(cast("Any", world), 0, "a", "secret", "b")
    client.stream = cast("Stream", wire)
    client.bound("a@example.org/r")
    client.talk()
    client.ask()
    assert client.chain is not None
    assert list(client.chain.queue) == []
    client.chain.previd = "sm"
    client.ready()
    client.talk()
    assert [data.split()[0] for data in wire.written] == [b"<presence/>", b"<message"]
    client.up = False
    client.talk()
    assert len(client.chain.queue) == 3, "what a client says while it is away waits for the resumption"
    world.loop.close()

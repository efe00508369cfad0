"""An edge's sessions against the real bus core, with two processes that may hold the partitions of the routers."""

from __future__ import annotations

import secrets
from typing import cast

from rookery.edge.client.connection import Connection
from rookery.edge.sessions.session import Session
from rookery.edge.sessions.table import Sessions
from rookery.shared.bus.messages import (
    Bound,
    Deliver,
    Item,
    Kind,
)
from rookery.shared.cluster.addresses import Addresses
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.net.reactor import Reactor
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

ALICE = "alice@example.org"
FULL = f"{ALICE}/phone"
QUERY = Element("jabber:iq:roster", "query")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Line:
    """The part of a connection that a session uses."""

    xmlns = ""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.errors: list[str] = []
        self.is_full = False
        self.slow = False

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return sum(map(len, self.sent))

    def fail(self, error: StreamError) -> None:
        self.errors.append(error.condition)

    def full(self) -> None:
        self.is_full = True

    def roomy(self) -> None:
        self.is_full = False


class World:
    """An edge's sessions, and two processes that may hold the routers' partitions."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.cluster = FakeCluster(clock=self.clock, partitions=32)
        self.edge = self.cluster.node("edge1", Kind.EDGE)
        self.router = self.cluster.node("router1", Kind.ROUTER)
        self.reactor = Reactor()
        self.reactor.clock = self.clock
        self.reactor.at = lambda timed, when: None  # type: ignore[method-assign]
        self.reactor.now = self.clock.now
        addresses = Addresses(self.edge.partition)
        addresses.learn({"example.org": "accounts", "other.example": "accounts", "rooms.example": "rooms"})
        self.sessions = Sessions(self.edge, self.reactor, addresses)
        self.edge.serve(cast("Kind.EDGE", self))  # type: ignore[arg-type, valid-type]
        self.edge.on_holder.append(self.sessions.successors.on_holder)
        self.edge.on_reset.append(self.sessions.successors.on_reset)
        self.counter = 0

    kind = Kind.EDGE

    def receive(self, source: str, partition: int, epoch: int, item: Item) -> None:
        self.sessions.receive(source, item)

    def bind(self, full: str = FULL, grant: int = 1 << 32 | 1) -> tuple[Session, Line]:
        line = Line()
        sid, stream = self.sessions.reserve(), secrets.token_bytes(16)
        session = self.sessions.begin(cast("Connection", line), sid, stream, Bound(full, grant))
        self.sessions.replay_early(session)
        return session, line

    def arrived(self, router: str = "router1") -> list[Item]:
        """What has come to a router since the last look."""
        self.cluster.network.settle()
        node = self.cluster.nodes[router]
        items = [item for _, _, _, _, item in node.received]
        node.received.clear()
        return cast("list[Item]", items)

    def deliver(
        self, session: Session, n: int, stanza: Stanza | None = None, source: str = "router1"
    ) -> None:
        message = stanza or Stanza.build("message", to=session.full, from_="bob@example.org/r")
        self.sessions.receive(source, Deliver(session.sid, session.grant, n, b"origin", n, message))


def stanza(kind: str, to: str = "", type: str = "", id: str = "", *children: Element) -> Stanza:
    return Stanza.build(kind, *children, type=type, to=to, id=id)

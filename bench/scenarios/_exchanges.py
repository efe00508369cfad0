"""Who talks with whom across servers: a user of the server and a correspondent at a remote domain, and the numbered messages between them."""

from __future__ import annotations

from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.flow import Flow
from rookery.bench.driver.scan import MARK_FORMAT
from rookery.bench.remotes.domains import Domain
from rookery.bench.remotes.outgoing import Outgoing
from rookery.shared.xmpp.xml import escape_attr

#: What goes around the mark: the end of the id (leg and number), leg, number, time.
_BODY: Final = b"%x.%d'><body>" + MARK_FORMAT + b"%b"


class Correspondent:
    """A remote domain with its stream to the server; the stream is opened again when it ends."""

    __slots__ = ("domain", "stream")

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.stream: Outgoing | None = None

    @property
    def open(self) -> bool:
        """Whether it can send."""
        return self.stream is not None and self.stream.open

    def write(self, data: bytes) -> None:
        """Send stanzas."""
        assert self.stream is not None
        self.stream.write(data)


class Leg(Flow):
    """The messages of one direction of an exchange. Their ids begin with the `run`, so that an error of an earlier one is known."""

    __slots__ = ("exchange", "head", "index", "inward", "latencies")

    def __init__(
        self, exchange: Exchange, index: int, run: bytes, *, inward: bool, latencies: list[int]
    ) -> None:
        super().__init__()
        self.exchange = exchange
        self.index = index
        #: To the server's user; else to the remote domain.
        self.inward = inward
        self.latencies = latencies
        here, there = exchange.user.session.jid, exchange.address
        to = escape_attr(exchange.here if inward else there).encode()
        from_ = b" from='%b'" % escape_attr(there).encode() if inward else exchange.user.xmlns
        assert here
        self.head = b"<message%b to='%b' type='chat' id='%b." % (from_, to, run)

    def send(self, intended: int, tail: bytes) -> None:
        """Send the next one; the sender is open."""
        number = self.sent
        self.sent = number + 1
        data = self.head + _BODY % (self.index, number, self.index, number, intended, tail)
        exchange = self.exchange
        if self.inward:
            exchange.there.write(data)
        else:
            exchange.user.write(data)


class Exchange:
    """A user and a correspondent. `first` is the leg that begins, `back` the one that answers it (round trips)."""

    __slots__ = ("address", "back", "first", "here", "there", "user", "way")

    def __init__(self, way: str, user: Client, there: Correspondent, *, full: bool) -> None:
        self.way = way
        self.user = user
        self.there = there
        session = user.session
        self.here = session.jid if full else session.account.bare
        self.address = f"u{session.account.index}@{there.domain.name}"
        if full:
            self.address += "/bench"
        self.first: Leg
        self.back: Leg | None = None

    @property
    def sender(self) -> Client | Correspondent:
        """Who begins."""
        return self.there if self.first.inward else self.user

    @property
    def sent(self) -> int:
        """How many began."""
        return self.first.sent

    @property
    def settled(self) -> int:
        """Grows with each arrival."""
        return self.first.settled + (0 if self.back is None else self.back.settled)

    @property
    def outstanding(self) -> int:
        """Messages on the way, or lost."""
        return self.first.outstanding + (0 if self.back is None else self.back.outstanding)

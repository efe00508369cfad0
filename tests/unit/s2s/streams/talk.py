"""Both machines of a stream, joined in memory through the parser: what one writes the other reads."""

from __future__ import annotations

from collections.abc import Iterable

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.events import Event, StreamLimits
from rookery.shared.xmpp.stream import StreamParser
from rookery.workers.s2s.streams import initiating, receiving
from rookery.workers.s2s.streams.dialback import Key, Pair, make_key
from rookery.workers.s2s.streams.effects import Effect, Ended, Restart, Send, StartTls
from rookery.workers.s2s.streams.names import Names
from rookery.workers.s2s.streams.proof import Proof

A, B = "a.example", "b.example"
SECRET = b"a secret"
LIMITS = StreamLimits(10_000, 100, 16, 64)


def proof(*domains: str) -> Proof:
    """A certificate that holds."""
    return Proof(Names(dns=frozenset(domains)), "")


def outbound(
    *,
    weak: bool = False,
    bidi: bool = False,
    lookup: Key | None = None,
    direct: bool = False,
    name: str = "",
) -> initiating.Initiating:
    """a.example opens a stream to b.example."""
    terms = initiating.Terms(
        Pair(A, B),
        weak,
        bidi,
        lambda pair, id: make_key(SECRET, pair, id),
        lambda domain: domain == A,
        lookup,
        lambda: name,
    )
    return initiating.Initiating(terms, direct=direct)


def inbound(*, believes: bool = False, allowed: bool = True, pairs: int = 4) -> receiving.Receiving:
    """b.example (and rooms.b.example) is opened a stream to."""
    terms = receiving.Terms(
        hosted=lambda domain: domain in (B, f"rooms.{B}"),
        allowed=lambda remote, local: allowed,
        believes=lambda remote: believes,
        secrets=lambda: [b"newer", SECRET],
        token=lambda: "id1",
        pairs=pairs,
    )
    return receiving.Receiving(terms, direct=False)


class Side:
    """A machine with its parser and what it did."""

    def __init__(self, machine: initiating.Initiating | receiving.Receiving) -> None:
        self.machine = machine
        self.parser = StreamParser(LIMITS, content_ns=ns.SERVER)
        self.written = b""
        self.done: list[Effect] = []
        self.tls = False

    def do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.written += effect.data
            elif isinstance(effect, StartTls | Restart):
                self.parser = StreamParser(LIMITS, content_ns=ns.SERVER)
                self.tls = self.tls or isinstance(effect, StartTls)
            else:
                self.done.append(effect)

    def feed(self, data: bytes) -> None:
        for event in self.parser.feed(data):
            self.hear(event)

    def hear(self, event: Event) -> None:
        self.do(self.machine.handle(event))

    def take(self) -> bytes:
        written, self.written = self.written, b""
        return written

    @property
    def ended(self) -> Ended | None:
        return next((effect for effect in self.done if isinstance(effect, Ended)), None)


class Talk:
    """Runs both until nobody has more to say; TLS begins when both want it."""

    def __init__(
        self, one: initiating.Initiating, other: receiving.Receiving, ours: Proof, theirs: Proof
    ) -> None:
        self.one, self.other = Side(one), Side(other)
        self._proofs = ours, theirs
        self._secured = False
        self.one.do(one.begin())

    def run(self) -> None:
        while True:
            if self.one.tls and self.other.tls and not self._secured:
                self._secured = True
                self.other.do(self.other.machine.secured(self._proofs[0]))
                self.one.do(self.one.machine.secured(self._proofs[1]))
            there, back = self.one.take(), self.other.take()
            if not there and not back:
                return
            self.other.feed(there)
            self.one.feed(back)


def header(from_: str = A, to: str = B, more: str = " version='1.0'") -> bytes:
    """A stream header as another server writes it."""
    addresses = "".join(f" {key}='{value}'" for key, value in (("from", from_), ("to", to)) if value)
    return (
        f"<stream:stream xmlns='jabber:server' xmlns:stream='{ns.STREAM}' xmlns:db='jabber:server:dialback'{addresses}{more}>"
    ).encode()

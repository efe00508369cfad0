"""A fuzzer of streams between servers: `python -m tests.fuzz.s2s --count 1000000 --seed 1`.

Elements of a negotiation, of dialback and of stream management in any order, spoiled and cut, go through the parser into a machine of either
direction. For every input it checks: nothing but effects comes out, what is written is well-formed, a stream ends at most once and is silent
after it, and no domain is let in, nor believed to let us in, without certificate or the word that was asked for.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from random import Random
from typing import Final
from xml.parsers import expat

from tests.fuzz.corpus import cut, spoil

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.events import StreamLimits
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import StreamParser
from rookery.workers.s2s.streams import initiating, receiving
from rookery.workers.s2s.streams.dialback import Key, Pair, make_key
from rookery.workers.s2s.streams.effects import Effect, Ended, Paired, Restart, Send, StartTls, Verify, Vouch
from rookery.workers.s2s.streams.names import Names
from rookery.workers.s2s.streams.proof import NOTHING, Proof

LIMITS: Final = StreamLimits(4000, 40, 8, 16, names=40)
SECRET: Final = b"secret"
A, B = "a.example", "b.example"
_HEADER: Final = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'{}>"
_DOMAINS: Final = (A, B, "c.example", "rooms.b.example", "x@a.example", "", "é.example", "a" * 70)
ELEMENTS: Final = (
    b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
    b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>Yy5leGFtcGxl</auth>",
    b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
    b"<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
    b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>"
    b"<dialback xmlns='urn:xmpp:features:dialback'/><bidi xmlns='urn:xmpp:features:bidi'/></stream:features>",
    b"<stream:features><dialback xmlns='urn:xmpp:features:dialback'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>",
    b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    b"<enable xmlns='urn:xmpp:sm:3'/>",
    b"<enabled xmlns='urn:xmpp:sm:3'/>",
    b"<failed xmlns='urn:xmpp:sm:3'/>",
    b"<resume xmlns='urn:xmpp:sm:3' previd='x' h='1'/>",
    b"<r xmlns='urn:xmpp:sm:3'/>",
    b"<a xmlns='urn:xmpp:sm:3' h='0'/>",
    b"<a xmlns='urn:xmpp:sm:3' h='4294967295'/>",
    b"<bidi xmlns='urn:xmpp:bidi'/>",
    b"<message from='x@a.example' to='y@b.example'><body>hi</body></message>",
    b"<iq from='b.example' to='a.example' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    b"</stream:stream>",
    b"<numbers xmlns='urn:rookery:numbers:0' of='name'/>",
    b"<numbers xmlns='urn:rookery:numbers:0'/>",
    b"<n xmlns='urn:rookery:numbers:0' v='7'/>",
    b"<n xmlns='urn:rookery:numbers:0' v='9223372036854775808'/>",
    b"<stream:features><numbers xmlns='urn:rookery:numbers:0'/></stream:features>",
)


_IN: Final = _HEADER.format(f" from='{A}' to='{B}' version='1.0'").encode()
_OUT: Final = _HEADER.format(f" from='{B}' to='{A}' version='1.0' id='id'").encode()
_STANZA: Final = ELEMENTS[21]
_BACK: Final = b"<message from='x@b.example' to='y@a.example'><body>hi</body></message>"
_KEY: Final = b"<db:result from='a.example' to='b.example'>k</db:result>"
_VALID: Final = b"<db:result from='b.example' to='a.example' type='valid'/>"
#: How honest servers go about it; the fuzzer leaves the way now and then.
IN_SCRIPTS: Final = (
    (_IN, ELEMENTS[0], _IN, ELEMENTS[3], _IN, ELEMENTS[13], _STANZA, ELEMENTS[17], _STANZA),
    (_IN, ELEMENTS[0], _IN, _KEY, _STANZA, _KEY, _STANZA),
)
OUT_SCRIPTS: Final = (
    (
        _OUT,
        ELEMENTS[9],
        ELEMENTS[1],
        _OUT,
        ELEMENTS[10],
        ELEMENTS[7],
        _OUT,
        ELEMENTS[11],
        ELEMENTS[14],
        _BACK,
    ),
    (_OUT, ELEMENTS[9], ELEMENTS[1], _OUT, ELEMENTS[11], _VALID, ELEMENTS[14], _BACK, _VALID),
)


class FuzzError(AssertionError):
    """An input broke a rule."""


@dataclass
class Tally:
    """What came out."""

    inputs: int = 0
    effects: int = 0
    ended: int = 0
    proved: int = 0
    stanzas: int = 0


def dialback(random: Random) -> bytes:
    """Some element of dialback, honest or not."""
    name, from_, to = random.choice(("result", "verify")), random.choice(_DOMAINS), random.choice(_DOMAINS)
    more = random.choice(("", " id='1'", " id='id'"))
    if random.randrange(2):
        type = random.choice(("valid", "invalid", "error", "", "x"))
        return f"<db:{name} from='{from_}' to='{to}'{more} type='{type}'/>".encode()
    key = random.choice(("", "k", "k" * 2000, make_key(SECRET, Pair(B, from_), "id")))
    return f"<db:{name} from='{from_}' to='{to}'{more}>{key}</db:{name}>".encode()


def header(random: Random) -> bytes:
    """Some stream header."""
    parts = []
    for key, values in (
        ("from", _DOMAINS),
        ("to", _DOMAINS),
        ("version", ("1.0", "1.0", "1.0", "0.9", "")),
        ("id", ("id", "", "i" * 1200)),
    ):
        likely = {"from": random.choice((A, B)), "to": random.choice((A, B)), "version": "1.0", "id": "id"}[
            key
        ]
        parts.append(f" {key}='{likely if random.randrange(4) else random.choice(values)}'")
    return _HEADER.format("".join(parts)).encode()


def proof(random: Random) -> Proof:
    """Some certificate."""
    names = Names(dns=frozenset(random.sample((A, B, "c.example"), random.randrange(3))))
    return random.choice((NOTHING, Proof(names, ""), Proof(names, "expired")))


class Run:
    """One machine and what is known of it."""

    def __init__(self, random: Random, tally: Tally) -> None:
        self.random = random
        self.tally = tally
        self.out = random.randrange(2) == 0
        self.machine = self._machine()
        self.proof = NOTHING
        self.parser = StreamParser(LIMITS, content_ns=ns.SERVER)
        self.ended = False
        self.words: set[Key] = set()
        #: Domains that vouch for the certificate, and those whose answers are still to come.
        self.vouching: set[str] = set()
        self.asked: list[str] = []
        self.shown = b""
        self.secure = False
        if isinstance(self.machine, initiating.Initiating):
            self.do(self.machine.begin())

    def _machine(self) -> initiating.Initiating | receiving.Receiving:
        random = self.random
        self.believes = random.randrange(2) == 0
        if not self.out:
            return receiving.Receiving(
                receiving.Terms(
                    hosted=lambda domain: domain in (B, "rooms.b.example"),
                    allowed=lambda remote, local: remote != "d.example",
                    believes=lambda remote: self.believes,
                    secrets=lambda: [SECRET],
                    token=lambda: "id",
                    pairs=3,
                    posh=random.randrange(2) == 0,
                ),
                direct=False,
            )
        lookup = Key(Pair(B, A), "id", "k") if random.randrange(4) == 0 else None
        terms = initiating.Terms(
            Pair(A, B),
            self.believes,
            True,
            lambda pair, id: make_key(SECRET, pair, id),
            lambda domain: domain == A,
            lookup,
            random.choice((str, lambda: "name")),
        )
        return initiating.Initiating(terms, direct=False)

    def feed(self, data: bytes) -> None:
        """Bytes of the other side."""
        while self.asked and self.random.randrange(2):
            self._vouched(self.asked.pop(0))
        for event in self.parser.feed(data):
            machine = self.machine
            if isinstance(event, Stanza) and len(machine.pairs):
                try:
                    admitted = machine.pairs.admit(event)
                except StreamError as error:
                    self.do(machine.fail(error))
                    continue
                self.tally.stanzas += 1
                machine.inbound.received += 1
                machine.told.take()
                sender = admitted.from_.partition("/")[0].rpartition("@")[2]
                self._justified(sender)
            else:
                self.do(machine.handle(event))

    def do(self, effects: list[Effect]) -> None:
        """Check and obey."""
        if effects and self.ended:
            raise FuzzError(f"after its end: {effects}")
        for effect in effects:
            self.tally.effects += 1
            if isinstance(effect, Send):
                self.shown += effect.data
            elif isinstance(effect, StartTls):
                self._restart()
                self.proof = proof(self.random)
                self.secure = True
                self.do(self.machine.secured(self.proof))
            elif isinstance(effect, Restart):
                self._restart()
            elif isinstance(effect, Ended):
                if self.ended:
                    raise FuzzError("ended twice")
                self.ended = True
                self.tally.ended += 1
            elif isinstance(effect, Verify):
                self._verify(effect.key)
            elif isinstance(effect, Vouch):
                if not self.secure or self.proof == NOTHING or effect.domain in self.asked:
                    raise FuzzError(f"asks {effect.domain} about nothing")
                self.asked.append(effect.domain)
            elif isinstance(effect, Paired) and not self.out:
                self._justified(effect.pair.sender)
                self.tally.proved += 1

    def _verify(self, key: Key) -> None:
        if not self.believes or not self.secure:
            raise FuzzError(f"asks about {key}")
        machine = self.machine
        assert isinstance(machine, receiving.Receiving)
        valid = self.random.choice((True, False, None))
        if valid:
            self.words.add(key)
        self.do(machine.verified(key, valid))

    def _vouched(self, domain: str) -> None:
        machine = self.machine
        assert isinstance(machine, receiving.Receiving)
        good = self.random.randrange(2) == 0
        if good:
            self.vouching.add(domain)
        self.do(machine.vouched(domain, good))

    def _restart(self) -> None:
        self.parser = StreamParser(LIMITS, content_ns=ns.SERVER)

    def _justified(self, remote: str) -> None:
        """A domain is let in only by its certificate, or by the word of its own server."""
        if self.out:
            machine = self.machine
            assert isinstance(machine, initiating.Initiating)
            good = remote == B and machine.bidi and (self.believes or self.proof.covers(B))
        else:
            good = self.proof.covers(remote) or remote in self.vouching
            good = good or any(key.pair.sender == remote for key in self.words)
        if not good:
            raise FuzzError(f"{remote} is let in")

    def finish(self) -> None:
        """What was written is well-formed: each document by itself."""
        for document in self.shown.split(b"<?xml version='1.0'?>")[1:]:
            parser = expat.ParserCreate("UTF-8")
            parser.Parse(document, False)
        if self.out and isinstance(self.machine, initiating.Initiating):
            machine = self.machine
            asked = b"<db:result" in self.shown or b"<auth " in self.shown
            if machine.proved and not (asked and self.secure and (self.believes or self.proof.covers(B))):
                raise FuzzError("it believes that it is believed")


def one(seed: int, number: int, tally: Tally) -> None:
    """Make input `number` of `seed` and check it."""
    random = Random(f"{seed}/{number}")
    run = Run(random, tally)
    script = list(random.choice(OUT_SCRIPTS if run.out else IN_SCRIPTS))
    honest = random.choice((0, 50, 90, 97))
    for _ in range(random.randrange(1, 16)):
        if script and random.randrange(100) < honest:
            data = script.pop(0)
        else:
            data = random.choice((random.choice(ELEMENTS), dialback(random), header(random)))
        if random.randrange(100) >= honest and random.randrange(4) == 0:
            data = spoil(random, data)
        for piece in cut(random, data):
            run.feed(piece)
    run.finish()


def run(count: int, seed: int, *, first: int = 0) -> Tally:
    """Run inputs `first` to `first + count` of `seed`. Raises FuzzError."""
    tally = Tally()
    for number in range(first, first + count):
        try:
            one(seed, number, tally)
        except Exception as exc:
            raise FuzzError(f"--seed {seed} --first {number} --count 1: {exc!r}") from exc
        tally.inputs += 1
    return tally


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    try:
        tally = run(options.count, options.seed, first=options.first)
    except FuzzError as exc:
        print(exc, file=sys.stderr)
        return 1
    print(tally, f"in {time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

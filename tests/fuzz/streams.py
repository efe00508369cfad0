"""A fuzzer of the stream parsers: `python -m tests.fuzz.streams --count 1000000 --seed 1`.

For every input it checks: nothing but events comes out, a StreamError is the last, limits hold, the arrival in pieces does not matter, each
stanza written for another client reads back the same there and by an independent parser (plain expat; lxml too when it is
installed). It ends with status 1 at the first input that fails, slow inputs or growing memory, and says how to repeat it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

from tests.fuzz.corpus import FIRST_LEVEL, FRAMES, HEADERS, compose, cut, spoil

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event, FrameParser, StreamClosed, StreamLimits, StreamParser
from rookery.shared.xmpp.xml import Element

try:
    from lxml import etree  # type: ignore[import-untyped]
except ImportError:
    etree = None

LIMITS = (
    StreamLimits(262_144, 4096, 64, 256),
    StreamLimits(10_000, 32, 8, 16, names=20),
    StreamLimits(300, 6, 3, 2, names=5),
)
#: A victim's limits: what we send is longer than what we got, because it is escaped.
VICTIM = StreamLimits(4_000_000, 10_000, 100, 10_000)
WRAPPER = b"<w xmlns='jabber:client'>%b</w>"
#: Seconds that one input may take and bytes that the process may grow.
SLOW = 1.0
HANG = 10
GROWTH = 16 * 1024 * 1024


class FuzzError(AssertionError):
    """An input broke a rule."""


@dataclass
class Tally:
    """What came out."""

    inputs: int = 0
    stanzas: int = 0
    elements: int = 0
    errors: int = 0
    closed: int = 0
    slowest: float = 0.0
    grown: int = 0


def resident() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def outline(node: ET.Element) -> object:
    """A tree as plain values."""
    return (
        node.tag,
        sorted(node.attrib.items()),
        node.text or "",
        [(outline(child), child.tail or "") for child in node],
    )


def comparable(events: list[Event]) -> list[object]:
    """Events without the condition of the error: where two rules are broken at once, arrival decides which one is seen."""
    return ["error" if isinstance(event, StreamError) else event for event in events]


def check_stanza(stanza: Stanza) -> None:
    """What a victim reads is what we understood."""
    sent = stanza.encode()
    victim = StreamParser(VICTIM)
    victim.feed(HEADERS[0])
    if victim.feed(sent) != [stanza]:
        raise FuzzError(f"a client reads {sent!r} otherwise")
    if FrameParser(VICTIM).feed_message(stanza.encode(ns.CLIENT)) != [stanza]:
        raise FuzzError(f"a WebSocket client reads {sent!r} otherwise")
    check_document(WRAPPER % sent, 1)


def check_document(document: bytes, children: int) -> None:
    """Independent parsers accept it and see the same tree."""
    try:
        tree = ET.fromstring(document)
    except ET.ParseError as exc:
        raise FuzzError(f"not well-formed for others: {document!r}: {exc}") from exc
    if len(tree) != children or "}stream" in "".join(
        node.tag[32:] for node in tree.iter() if "etherx" in node.tag
    ):
        raise FuzzError(f"structure got out: {document!r}")
    if etree is not None:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
        try:
            other = etree.fromstring(document, parser)
        except etree.XMLSyntaxError as exc:
            if "is not a valid URI" in str(exc):
                # We check characters of a namespace name, libxml2 its grammar too.
                return
            raise FuzzError(f"lxml refuses {document!r}: {exc}") from exc
        if outline(other) != outline(tree):
            raise FuzzError(f"lxml reads {document!r} otherwise")


def check_events(events: list[Event], tally: Tally) -> None:
    """The rules for one list of events."""
    for i, event in enumerate(events):
        if isinstance(event, StreamError | StreamClosed) and i + 1 != len(events):
            raise FuzzError("events after the end")
        if isinstance(event, Stanza):
            tally.stanzas += 1
            check_stanza(event)
        elif isinstance(event, Element):
            tally.elements += 1
            check_document(WRAPPER % event.encode(), 1)
        elif isinstance(event, StreamError):
            tally.errors += 1
        elif isinstance(event, StreamClosed):
            tally.closed += 1


def run_stream(limits: StreamLimits, chunks: list[bytes], *, sleepy: bool) -> list[Event]:
    """Feed a TCP stream."""
    parser = StreamParser(limits)
    events = []
    for chunk in chunks:
        events += parser.feed(chunk)
        if sleepy:
            parser.hibernate()
    parser.close()
    return events


def one(seed: int, number: int, tally: Tally) -> None:
    """Make input `number` of `seed` and check it."""
    random = Random(f"{seed}/{number}")
    limits = random.choice(LIMITS)
    if random.randrange(4) == 0:
        frames = FrameParser(limits)
        events: list[Event] = []
        for _ in range(random.randrange(1, 4)):
            events += frames.feed_message(compose(random, FRAMES, 2))
        frames.close()
    else:
        header = random.choice(HEADERS)
        if random.randrange(5) == 0:
            header = spoil(random, header)
        data = header + compose(random, FIRST_LEVEL, 5)
        if random.randrange(200) == 0:
            data += data[len(header) :] * random.randrange(1, 400)
        chunks = cut(random, data)
        events = run_stream(limits, chunks, sleepy=False)
        if number % 3 == 0:
            again = run_stream(limits, cut(random, data), sleepy=True)
            if comparable(again) != comparable(events):
                raise FuzzError(f"pieces matter: {events} and {again}")
    check_events(events, tally)


def run(count: int, seed: int, *, first: int = 0, progress: int = 0, guard: bool = False) -> Tally:
    """Run inputs `first` to `first + count` of `seed`; `guard` ends one that hangs (SIGALRM). Raises FuzzError."""
    tally = Tally()
    base = 0
    warm = max(count // 10, 1)
    for number in range(first, first + count):
        before = time.perf_counter()
        if guard:
            signal.alarm(HANG)
        try:
            one(seed, number, tally)
        except Exception as exc:
            raise FuzzError(f"--seed {seed} --first {number} --count 1: {exc!r}") from exc
        took = time.perf_counter() - before
        tally.slowest = max(tally.slowest, took)
        if took > SLOW:
            raise FuzzError(f"--seed {seed} --first {number} --count 1: took {took:.2f} s")
        tally.inputs += 1
        if tally.inputs == warm:
            base = resident()
        if progress and tally.inputs % progress == 0:
            print(tally, file=sys.stderr)
    tally.grown = resident() - base
    if tally.grown > GROWTH:
        raise FuzzError(f"grew by {tally.grown} bytes")
    return tally


def hung(_signal: int, _frame: object) -> None:
    """SIGALRM: an input never ends."""
    raise FuzzError("it hangs")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    signal.signal(signal.SIGALRM, hung)
    try:
        tally = run(options.count, options.seed, first=options.first, progress=100_000, guard=True)
    except FuzzError as exc:
        print(exc, file=sys.stderr)
        return 1
    print(
        tally,
        f"in {time.perf_counter() - started:.0f} s, lxml {'compared' if etree is not None else 'absent'}",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

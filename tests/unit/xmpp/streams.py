"""Helpers for tests of stream parsers: headers, limits, and what a list of events says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event, StreamLimits, StreamParser

LIMITS = StreamLimits(bytes=262_144, elements=4096, depth=64, attributes=256)
HEADER = (
    b"<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)
MESSAGE = b"<message to='bob@example.org'><body>hi</body></message>"


def opened(
    limits: StreamLimits = LIMITS, header: bytes = HEADER, content_ns: str = ns.CLIENT
) -> StreamParser:
    """A parser that stands directly inside its stream."""
    parser = StreamParser(limits, content_ns=content_ns)
    (event,) = parser.feed(header)
    assert not isinstance(event, StreamError), event
    return parser


def feed_all(parser: StreamParser, chunks: Iterable[bytes]) -> list[Event]:
    """All events of all chunks."""
    return [event for chunk in chunks for event in parser.feed(chunk)]


def plain(events: Sequence[Event]) -> list[object]:
    """Events in a form that compares: a stream error is its condition."""
    return [event.condition if isinstance(event, StreamError) else event for event in events]


def told(events: Sequence[Event]) -> list[str]:
    """Events in a few words: kind or element name, or the condition of the error."""
    words = []
    for event in events:
        if isinstance(event, StreamError):
            words.append(event.condition)
        elif isinstance(event, Stanza):
            words.append(event.kind)
        else:
            words.append(getattr(event, "name", type(event).__name__))
    return words

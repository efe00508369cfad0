"""What stream parsers are told and what they tell: limits and events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What one first-level element may cost: bytes, elements (itself included), depth (itself is 1), attributes of any one element.

    `names` bounds the distinct names that a parser keeps; the parser is replaced at a stanza boundary beyond it.
    """

    bytes: int
    elements: int
    depth: int
    attributes: int
    names: int = 1024


class StreamOpened(NamedTuple):
    """A stream header (RFC 6120 section 4.7) or `<open/>` (RFC 7395): raw attributes, "" when absent.

    `content_ns` is the default namespace that the header declares, "" when none.
    """

    to: str
    from_: str
    lang: str
    version: str
    id: str
    content_ns: str


class StreamClosed(NamedTuple):
    """The peer closed its side of the stream (RFC 6120 section 4.4) or sent `<close/>` (RFC 7395 section 3.6)."""


Event = StreamOpened | StreamClosed | Stanza | Element | StreamError

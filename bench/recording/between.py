"""What two servers say to one another on one connection, heard in between: messages of people become events, the rest passes unheard. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rookery.bench.driver.scan import split
from rookery.bench.recording.listener import KINDS, LIMIT
from rookery.bench.recording.tape import Event, Renamer
from rookery.bench.remotes import grammar
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.jid import bare_of

#: Bytes of a stream before TLS, of either side.
PLAIN_LIMIT: Final = 20_000


class Plain:
    """What the two say before TLS. `from_` and `to` are the domains of the first header; `ready` when TLS is agreed on."""

    def __init__(self) -> None:
        self._up = self._down = self._kept = b""
        self.from_ = self.to = ""
        self.ready = False

    @property
    def long(self) -> bool:
        """Whether too much was said for what comes before TLS."""
        return len(self._up) > PLAIN_LIMIT or len(self._down) > PLAIN_LIMIT

    def from_client(self, data: bytes) -> None:
        """Bytes of the server that has connected."""
        self._up += data
        start = self._up.find(b"<stream:stream")
        end = self._up.find(b">", start)
        if start >= 0 and end >= 0 and not self.to:
            opening = self._up[start : end + 1]
            self.from_ = grammar.attribute(opening, "from")
            self.to = grammar.attribute(opening, "to")

    def from_server(self, data: bytes) -> bytes:
        """Bytes of the other; returns what is passed on: the word that begins TLS is kept back until `ready` was heeded."""
        self._down += data
        self._kept += data
        start = self._kept.find(b"<proceed")
        self.ready = start >= 0 and b">" in self._kept[start:]
        end = start if start >= 0 else self._kept.rfind(b">") + 1
        passed, self._kept = self._kept[:end], self._kept[end:]
        return passed


class Between:
    """One direction of a stream after TLS. `passed` counts stanzas that were no message to a person."""

    def __init__(self, renamer: Renamer) -> None:
        self._renamer = renamer
        self._rest = b""
        self._deaf = False
        self.passed = 0

    def hear(self, data: bytes, at: int) -> Iterator[Event]:
        """Hear messages; `at` is the time of the event."""
        if self._deaf:
            return
        whole, self._rest = split(self._rest + data)
        self._deaf = len(self._rest) > LIMIT
        for element in whole:
            event = self._event(element, at) if element.startswith(b"<message") else None
            if event is not None:
                yield event
            else:
                self.passed += element.startswith((b"<message", b"<iq", b"<presence"))

    def _event(self, data: bytes, at: int) -> Event | None:
        try:
            message = grammar.parse(data)
        except grammar.StreamLostError:
            return None
        body = message.find_text(ns.SERVER, "body")
        from_, to = bare_of(message.get("from") or ""), bare_of(message.get("to") or "")
        if not body or "@" not in from_ or "@" not in to or message.get("type", "normal") not in KINDS:
            return None
        person = self._renamer.person
        return Event(at, person(from_), person(to), len(body.encode()), self._renamer.body(body))

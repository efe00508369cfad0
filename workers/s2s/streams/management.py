"""Acknowledgements on a stream between servers (XEP-0198, without resumption), in both directions. A pure machine.

Without XEP-0198 on the other side a ping behind what was sent takes the place of `<r/>`: a server answers it after what came before.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from rookery.shared.xeps.stream_management import NS, advance, answer, failed, parse_number, too_high
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.xml import Element
from rookery.workers.s2s.streams.effects import Acked, Effect, Mark, Send

_ENABLE: Final = f"<enable xmlns='{NS}'/>".encode()
_ENABLED: Final = f"<enabled xmlns='{NS}'/>".encode()
_REQUEST: Final = f"<r xmlns='{NS}'/>".encode()


class Mode(Enum):
    """Whether what we send is acknowledged."""

    OFF = "by pings"
    ASKED = "not yet known"
    ON = "by XEP-0198"


class Outbound:
    """What we sent, and how much of it the other side has handled."""

    __slots__ = ("_marked", "acked", "mode", "sent")

    def __init__(self) -> None:
        self.mode = Mode.OFF
        self.sent = 0
        self.acked = 0
        self._marked = False

    def enable(self) -> list[Effect]:
        """The other side offers it: ask, before the first stanza."""
        self.mode = Mode.ASKED
        return [Send(_ENABLE)]

    def start(self) -> None:
        """The other side has enabled it: what we send is counted from here."""
        self.mode = Mode.ON

    def decided(self, *, on: bool) -> list[Effect]:
        """The answer to our request; a mark that waited for it is set now."""
        if self.mode is not Mode.ASKED:
            return []
        self.mode = Mode.ON if on else Mode.OFF
        marked, self._marked = self._marked, False
        return self.mark() if marked else []

    def mark(self) -> list[Effect]:
        """Ask how far the other side is."""
        if self.mode is Mode.ASKED:
            self._marked = True
            return []
        return [Send(_REQUEST)] if self.mode is Mode.ON else [Mark()]

    def answered(self, element: Element) -> list[Effect]:
        """`<a h/>`. Raises StreamError when it says more than was sent, or nothing."""
        if self.mode is not Mode.ON:
            raise StreamError("unsupported-stanza-type", "stream management is not enabled")
        try:
            h = parse_number(element.get("h"))
        except ValueError:
            raise StreamError("bad-format", "h is a number") from None
        total = advance(self.acked, self.sent, h)
        if total is None:
            raise too_high(h, self.sent)
        return self.reached(total)

    def reached(self, count: int) -> list[Effect]:
        """So many are handled: `<a/>`, or the answer to a ping."""
        if count <= self.acked or count > self.sent:
            return []
        self.acked = count
        return [Acked(count)]


class Inbound:
    """What came in, and how much of it is accepted here."""

    __slots__ = ("_asked", "_base", "handled", "on", "received")

    def __init__(self) -> None:
        self.on = False
        self.received = 0
        self.handled = 0
        self._base = 0
        self._asked = 0

    def start(self) -> None:
        """Stanzas are counted from here."""
        self.on = True
        self._base = self.received

    def enable(self) -> list[Effect]:
        """`<enable/>`; a second one is refused."""
        if self.on:
            return [Send(failed("unexpected-request").encode())]
        self.start()
        return [Send(_ENABLED)]

    def request(self) -> list[Effect]:
        """`<r/>`: answered at once with what is accepted, and again when the rest is."""
        if not self.on:
            raise StreamError("unsupported-stanza-type", "stream management is not enabled")
        self._asked = self.received
        return [self._answer()]

    def accepted(self, n: int) -> list[Effect]:
        """The first `n` that came are accepted."""
        if n <= self.handled:
            return []
        waited = self.handled < self._asked
        self.handled = n
        return [self._answer()] if self.on and waited and n >= self._asked else []

    def _answer(self) -> Send:
        return Send(answer(max(0, self.handled - self._base)).encode())

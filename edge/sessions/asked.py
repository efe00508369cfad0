"""Requests that a client was given and has not answered: whoever asked is told when it leaves, and waits no longer. A pure machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rookery.shared.bus.messages import Origin, Route, answering
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

#: So many are remembered; of older ones the asker's own deadline remains.
MANY: Final = 256


class Asked:
    """Open requests to one session, by who asks and the id, each with the uid of the request."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], tuple[bytes, int]] = {}

    def add(self, sender: str, id: str, stream: bytes, n: int) -> None:
        """A request with this uid was given to the client."""
        if len(self._open) >= MANY:
            del self._open[next(iter(self._open))]
        self._open[sender, id] = (stream, n)

    def answered(self, sender: str, id: str) -> None:
        """The client has answered."""
        self._open.pop((sender, id), None)

    def refusals(self, full: str) -> Iterator[Route]:
        """The client is gone: an error for each that is open, under the uid of its answer (RFC 6121 section 8.5.3.2.3)."""
        for (sender, id), (stream, n) in self._open.items():
            request = Stanza("iq", "get", full, sender, id, "", (), (), b"")
            yield Route(answering(Origin(stream, n, "")), request.error(StanzaError("service-unavailable")))

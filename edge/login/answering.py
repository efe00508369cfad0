"""The one iq that a stream may have open before its session: its answer, and what failed ones lead to. A pure machine."""

from __future__ import annotations

from rookery.edge.login.effects import Effect, Send
from rookery.edge.login.stream import Stream
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element


class Answering:
    """Remembers an iq until it is answered."""

    __slots__ = ("_iq", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._iq: Stanza | None = None

    def begin(self, iq: Stanza) -> None:
        """This one is to be answered."""
        self._iq = iq

    def answer(self, error: StanzaError | None, *payload: Element) -> list[Effect]:
        """Answer it, with an error if there is one; nothing is written when no iq waits."""
        iq = self._iq
        self._iq = None
        stream = self._stream
        stream.asking = False
        if iq is None:
            return []
        if error is None:
            return [Send(stream.framing.stanza(Stanza.build("iq", *payload, type="result", id=iq.id)))]
        return [Send(stream.framing.stanza(iq.replace(from_="", to="").error(error))), *stream.tried()]

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

    @property
    def id(self) -> str:
        """That of the iq that waits, "" for none."""
        return self._iq.id if self._iq is not None else ""

    def answer(self, error: StanzaError | None, *payload: Element, from_: str = "") -> list[Effect]:
        """Answer it, with an error if there is one; nothing is written when no iq waits."""
        iq = self._iq
        self._iq = None
        stream = self._stream
        stream.asking = False
        if iq is None:
            return []
        if error is None:
            result = Stanza.build("iq", *payload, type="result", id=iq.id, from_=from_)
            return [Send(stream.framing.stanza(result))]
        return [Send(stream.framing.stanza(iq.replace(from_="", to="").error(error))), *stream.tried()]

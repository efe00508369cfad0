"""Streams that the server under test opens to remote domains: those that take what comes, and those that are out of order."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from rookery.bench.driver.scan import REQUEST, split
from rookery.bench.remotes import grammar
from rookery.bench.remotes.domains import Domain
from rookery.bench.remotes.grammar import StreamLostError
from rookery.bench.remotes.ground import Ground
from rookery.bench.remotes.wire import Wire
from rookery.shared.xmpp.xml import Element

_STANZAS: Final = (b"<message", b"<presence", b"<iq")
_SECOND: Final = 1_000_000_000
#: A slow reader reads once in this time, and a flapping one ends its stream after that.
_SLOW_NS: Final = _SECOND // 5
_FLAP_NS: Final = 2 * _SECOND
_UNKNOWN: Final = (
    b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    + grammar.CLOSE
)


class Incoming:
    """One accepted connection. `names` are the domains that the server has proved itself to; `tail` an unfinished stanza."""

    __slots__ = (
        "_domain",
        "_gone",
        "_ground",
        "_id",
        "_managed",
        "_opened",
        "_taker",
        "handled",
        "names",
        "ready",
        "tail",
        "wire",
    )

    def __init__(
        self, ground: Ground, taker: Callable[[Incoming, bytes], None], gone: Callable[[Incoming], None]
    ) -> None:
        self._ground = ground
        #: Gets what comes once the server has proved itself, and hears of the end.
        self._taker = taker
        self._gone = gone
        self._domain: Domain | None = None
        self._id = ""
        self._managed = False
        self._opened = ""
        #: Stanzas since acknowledgements were enabled.
        self.handled = 0
        self.names: set[str] = set()
        self.ready = False
        self.tail = b""
        self.wire = Wire(ground.loop, self._on_data, self._on_gone)

    def close(self) -> None:
        """End the stream properly: everything that came is acknowledged before."""
        if self.wire.open:
            if self._managed:
                self.wire.write(grammar.handled(self.handled))
            self.wire.write(grammar.CLOSE)
            self.wire.close()
        self._gone(self)

    def _on_gone(self, _condition: str) -> None:
        self._gone(self)

    def _on_data(self, data: bytes) -> None:
        if self.ready:
            self._taker(self, data)
            if self._domain is not None and self._domain.manner == "slow" and self.wire.open:
                self._ground.pause(self.wire, _SLOW_NS)
        else:
            self._begin(data)

    def _begin(self, data: bytes) -> None:
        whole, self.tail = split(self.tail + data)
        for position, element in enumerate(whole):
            if self.ready:
                rest = b"".join(whole[position:]) + self.tail
                self.tail = b""
                self._taker(self, rest)
                return
            self.element(element)
            if not self.wire.open:
                return

    def element(self, element: bytes) -> None:
        """What is no message: the beginning, further domains, acknowledgements, iq and presence."""
        if element.startswith(b"<?xml"):
            return
        if element.startswith(b"<stream:stream"):
            self._header(element)
        elif element.startswith(b"</stream"):
            self.close()
        elif element.startswith(b"<stream:error"):
            self.wire.close()
            self._on_gone("")
        elif element.startswith(_STANZAS):
            self.handled += 1
            if element.startswith(b"<iq") and REQUEST.search(element):
                self.wire.write(grammar.pong(element))
        elif element.startswith(b"<r"):
            if b"urn:xmpp:sm:" in element:
                self.wire.write(grammar.handled(self.handled))
        else:
            try:
                self._negotiate(grammar.parse(element))
            except StreamLostError:
                self.close()

    def _header(self, head: bytes) -> None:
        to, from_ = grammar.attribute(head, "to"), grammar.attribute(head, "from")
        domain = self._ground.find(to)
        self._id, self._opened = secrets.token_hex(8), from_
        opening = grammar.opening(to, from_, self._id)
        if domain is None:
            self.wire.write(opening + _UNKNOWN)
            self.wire.close()
            self._on_gone("")
            return
        if self._domain is None:
            self._domain = domain
            self._ground.came(domain)
        if domain.manner == "silent":
            return
        features = grammar.features(
            secure=self.wire.secure,
            proved=bool(self.names),
            external=not domain.dialback,
            managed=self._ground.managed,
        )
        if domain.manner == "tarpit":
            self._ground.drip(self.wire, opening + features)
        else:
            self.wire.write(opening + features)
            self.ready = bool(self.names)

    def _negotiate(self, element: Element) -> None:
        name, domain = element.name, self._domain
        if domain is None:
            raise StreamLostError("no-header")
        if name == "starttls":
            self.wire.write(grammar.PROCEED)
            if domain.manner == "tls":
                self.wire.deafen()
                return
            self.tail = b""
            self.wire.start_tls(self._ground.context(domain), lambda: None)
        elif name == "auth":
            self.wire.write(grammar.SUCCESS)
            self._proved(domain.name, by_key=False)
        elif name == "enable":
            self._managed = True
            self.handled = 0
            self.wire.write(grammar.ENABLED)
        elif element.ns == grammar.DIALBACK and name == "verify" and element.get("type") is None:
            # The server asks about a key that one of our domains has shown: from the server to that domain.
            there, here, id = element.get("from") or "", element.get("to") or "", element.get("id") or ""
            good = grammar.key(self._ground.secret, here, there, id) == element.text.strip()
            self.wire.write(grammar.answer("verify", element, valid=good))
        elif element.ns == grammar.DIALBACK and name == "result" and element.get("type") is None:
            self._claim(element)

    def _claim(self, element: Element) -> None:
        """The server shows its key for one of our domains: ask it, on another connection, whether that is its own."""
        domain = self._ground.find(element.get("to") or "")
        if domain is None:
            raise StreamLostError("host-unknown")

        def word(valid: bool) -> None:
            self.wire.write(grammar.answer("result", element, valid=valid))
            if valid:
                self._proved(domain.name, by_key=True)

        self._ground.ask(domain, element.get("from") or "", self._id, element.text.strip(), word)

    def _proved(self, name: str, *, by_key: bool) -> None:
        first = not self.names
        self.names.add(name)
        # Behind EXTERNAL a new stream begins: its header is read first.
        self.ready = by_key
        domain = self._domain
        if first and domain is not None and domain.manner == "flapping":
            self._ground.loop.at(self._ground.loop.clock() + _FLAP_NS, lambda _now: self.close())

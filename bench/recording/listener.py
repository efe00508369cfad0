"""What one connection says, heard from both sides: messages with a body become events, the rest passes unheard. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rookery.bench.driver.scan import split
from rookery.bench.driver.script import ScriptError, parse
from rookery.bench.recording.tape import Event, Renamer
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.xml import Element

#: An unfinished element of more bytes than that ends the listening, not the connection.
LIMIT: Final = 2_000_000
SASL2: Final = "urn:xmpp:sasl:2"
#: Types of messages that are recorded.
KINDS: Final = ("chat", "normal")


class Listener:
    """One connection of a client. `sealed`: it uses TLS, so nothing can be heard."""

    def __init__(self, renamer: Renamer) -> None:
        self._renamer = renamer
        self._up = self._down = b""
        self._deaf = False
        self.account = ""
        self.sealed = False
        #: Stanzas that were no message to a person.
        self.passed = 0

    def from_server(self, data: bytes) -> None:
        """Hear who the client is: from the resource that it is given (RFC 6120 section 7, XEP-0388)."""
        if self._deaf or self.account:
            return
        whole, self._down = split(self._down + data)
        for element in whole:
            if element.startswith((b"<iq", b"<success")):
                self.account = self.account or _identity(element)
            elif element.startswith(b"<proceed"):
                self.sealed = self._deaf = True
        self._deaf = self._deaf or len(self._down) > LIMIT

    def from_client(self, data: bytes, at: int) -> Iterator[Event]:
        """Hear messages; `at` is the time of the event."""
        if self._deaf:
            return
        whole, self._up = split(self._up + data)
        self._deaf = len(self._up) > LIMIT
        for element in whole:
            if not element.startswith(b"<message"):
                self.passed += element.startswith((b"<iq", b"<presence"))
                continue
            event = self._event(element, at)
            if event is None:
                self.passed += 1
            else:
                yield event

    def _event(self, data: bytes, at: int) -> Event | None:
        try:
            message = parse(data)
        except ScriptError:
            return None
        body = message.find_text(ns.CLIENT, "body")
        to = bare_of(message.get("to") or "")
        if not body or not self.account or "@" not in to or message.get("type", "normal") not in KINDS:
            return None
        person = self._renamer.person
        return Event(at, person(self.account), person(to), len(body.encode()), self._renamer.body(body))


def _identity(data: bytes) -> str:
    try:
        element = parse(data)
    except ScriptError:
        return ""
    found: str | None = None
    if element.name == "success":
        found = element.find_text(SASL2, "authorization-identifier")
    elif isinstance(bound := element.find(ns.BIND, "bind"), Element):
        found = bound.find_text(ns.BIND, "jid")
    return bare_of(found) if found else ""

"""Conversations as generators: what a client sends and awaits in order, without I/O or a clock of its own.

A script yields steps. `Send` goes on at once; `None` waits for the next first-level element and gets it, `Until` for one of many; `StartTls`,
`Restart` and `Mark` are performed by the connection and go on when that is done.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import Final, NamedTuple

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.xml import Element, escape_attr

PING: Final = "urn:xmpp:ping"
_HEEDED: Final = (b"<iq", b"<stream:error")
_WRAP: Final = f"<w xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAM}'>".encode()


class Send(NamedTuple):
    """Send these bytes."""

    data: bytes


class StartTls(NamedTuple):
    """Do the TLS handshake."""


class OpenStream(NamedTuple):
    """Send a stream header (or `<open/>`): the stream begins anew."""


class Until(NamedTuple):
    """Wait for the next first-level element in whose bytes this is found; most of what else comes is not even parsed."""

    pattern: re.Pattern[bytes]

    def heeds(self, element: bytes) -> bool:
        """Whether the element is looked at: requests, answers and errors of the stream concern every script."""
        return element.startswith(_HEEDED) or self.pattern.search(element) is not None


class Note(NamedTuple):
    """The operation of this name is over now; the next one begins."""

    operation: str


Step = Send | StartTls | OpenStream | Note | Until | None
Script = Generator[Step, Element | None, None]


class ScriptError(Exception):
    """The peer refused or said something unexpected; `condition` is a name for the statistics."""

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(condition, text)
        self.condition = condition
        self.text = text


def parse(data: bytes) -> Element:
    """One whole first-level element. Raises ScriptError."""
    try:
        wrapper = parse_element(_WRAP + data + b"</w>")
    except ValueError:
        raise ScriptError("not-well-formed", data[:200].decode("utf-8", "replace")) from None
    for element in wrapper.elements():
        return element
    raise ScriptError("not-well-formed")


def condition_of(element: Element) -> str:
    """The defined condition of a stanza error, stream error or SASL failure."""
    holder = element
    if element.name in ("iq", "message", "presence"):
        holder = element.find(ns.CLIENT, "error") or element
    for child in holder.elements():
        if child.name != "text":
            return child.name
    return "undefined-condition"


def receive(pattern: re.Pattern[bytes] | None = None) -> Generator[Step, Element | None, Element]:
    """The next element (in which a pattern is found) that is not an error of the stream. Raises ScriptError."""
    element = yield None if pattern is None else Until(pattern)
    if element is None:
        raise ScriptError("closed")
    if element.ns == ns.STREAM and element.name == "error":
        raise ScriptError(condition_of(element))
    return element


def ask(id: str, type: str, payload: str, to: str = "") -> Generator[Step, Element | None, Element]:
    """Send an iq and return its result; what else comes meanwhile is passed over. Raises ScriptError for an error."""
    address = f" to='{escape_attr(to)}'" if to else ""
    yield Send(
        f"<iq xmlns='{ns.CLIENT}' type='{type}' id='{escape_attr(id)}'{address}>{payload}</iq>".encode()
    )
    while True:
        element = yield from receive()
        if element.name == "iq" and element.get("id") == id and element.get("type") in ("result", "error"):
            if element.get("type") == "error":
                raise ScriptError(condition_of(element))
            return element


def ask_all(id: str, type: str, payloads: Sequence[str]) -> Script:
    """Send them all at once and await all results, in whatever order. Raises ScriptError for the first error."""
    waiting = {f"{id}{number}" for number in range(len(payloads))}
    for number, payload in enumerate(payloads):
        yield Send(
            f"<iq xmlns='{ns.CLIENT}' type='{type}' id='{escape_attr(id)}{number}'>{payload}</iq>".encode()
        )
    while waiting:
        element = yield from receive()
        if (
            element.name == "iq"
            and element.get("id") in waiting
            and element.get("type") in ("result", "error")
        ):
            if element.get("type") == "error":
                raise ScriptError(condition_of(element))
            waiting.discard(element.get("id") or "")


def answer(element: bytes, xmlns: bytes) -> bytes:
    """What a request of the server gets: a result for pings and roster pushes, else service-unavailable (RFC 6120 section 8.2.3)."""
    parsed = parse(element)
    to = f" to='{escape_attr(parsed.attrs['from'])}'" if "from" in parsed.attrs else ""
    known = any(child.ns in (PING, ns.ROSTER) for child in parsed.elements())
    kind = "result" if known else "error"
    head = f" type='{kind}' id='{escape_attr(parsed.attrs.get('id', ''))}'{to}"
    error = f"<error type='cancel'><service-unavailable xmlns='{ns.STANZA_ERRORS}'/></error>"
    return b"<iq%b%b>%b</iq>" % (xmlns, head.encode(), b"" if known else error.encode())

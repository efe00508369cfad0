"""What servers say to one another before stanzas flow (RFC 6120, XEP-0178, 0198, 0220), as bytes. Pure."""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from hashlib import sha256
from typing import Final

from rookery.shared.xmpp import header, ns
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.xml import Element, escape_attr

DIALBACK: Final = "jabber:server:dialback"
DIALBACK_FEATURE: Final = "urn:xmpp:features:dialback"
SM: Final = "urn:xmpp:sm:3"
CLOSE: Final = header.CLOSE
STARTTLS: Final = f"<starttls xmlns='{ns.TLS}'/>".encode()
PROCEED: Final = f"<proceed xmlns='{ns.TLS}'/>".encode()
SUCCESS: Final = f"<success xmlns='{ns.SASL}'/>".encode()
ENABLE: Final = f"<enable xmlns='{SM}'/>".encode()
ENABLED: Final = f"<enabled xmlns='{SM}'/>".encode()
REQUEST: Final = f"<r xmlns='{SM}'/>".encode()
_DECLARED: Final = f" xmlns:db='{DIALBACK}'"
_WRAP: Final = f"<w xmlns='{ns.SERVER}' xmlns:stream='{ns.STREAM}'{_DECLARED}>".encode()


class StreamLostError(Exception):
    """The other side said what ends the stream; `condition` is a name for the statistics."""

    def __init__(self, condition: str) -> None:
        super().__init__(condition)
        self.condition = condition


def parse(data: bytes) -> Element:
    """One whole first-level element of a stream between servers. Raises StreamLostError."""
    try:
        for element in parse_element(_WRAP + data + b"</w>").elements():
            return element
    except ValueError:
        pass
    raise StreamLostError("not-well-formed")


def attribute(opening: bytes, name: str) -> str:
    """An attribute of a tag, "" when it has none; for stream headers, which are not whole elements."""
    found = re.search(rb"[\s]" + name.encode() + rb"\s*=\s*(?:'([^']*)'|\"([^\"]*)\")", opening)
    return "" if found is None else (found[1] or found[2] or b"").decode("utf-8", "replace")


def opening(from_: str, to: str, id: str = "") -> bytes:
    """A stream header."""
    return header.stream_header(from_=from_, to=to, id=id, content_ns=ns.SERVER, declared=_DECLARED)


def features(*, secure: bool, proved: bool, external: bool, managed: bool) -> bytes:
    """What we offer to a server that has opened a stream."""
    if not secure:
        return (
            f"<stream:features><starttls xmlns='{ns.TLS}'><required/></starttls></stream:features>".encode()
        )
    parts = []
    if managed and (proved or not external):
        parts.append(f"<sm xmlns='{SM}'/>")
    if not proved and external:
        parts.append(f"<mechanisms xmlns='{ns.SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>")
    if not proved and not external:
        parts.append(f"<dialback xmlns='{DIALBACK_FEATURE}'><errors/></dialback>")
    return f"<stream:features>{''.join(parts)}</stream:features>".encode()


def external(domain: str) -> bytes:
    """Prove a domain by the certificate (XEP-0178 section 3)."""
    name = b64encode(domain.encode()).decode()
    return f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>{name}</auth>".encode()


def key(secret: bytes, from_: str, to: str, id: str) -> str:
    """The dialback key that `from_` shows to `to` on the stream `id` (XEP-0185 section 2)."""
    return hmac.new(sha256(secret).hexdigest().encode(), f"{to} {from_} {id}".encode(), sha256).hexdigest()


def result(from_: str, to: str, text: str) -> bytes:
    """Show a key (XEP-0220 section 2.1.1)."""
    return f"<db:result from='{escape_attr(from_)}' to='{escape_attr(to)}'>{text}</db:result>".encode()


def verify(from_: str, to: str, id: str, text: str) -> bytes:
    """Ask whether a key is good (section 2.1.2)."""
    head = f"<db:verify from='{escape_attr(from_)}' to='{escape_attr(to)}' id='{escape_attr(id)}'>"
    return f"{head}{text}</db:verify>".encode()


def answer(name: str, element: Element, *, valid: bool) -> bytes:
    """The answer to a `result` or a `verify`."""
    id = f" id='{escape_attr(element.attrs['id'])}'" if "id" in element.attrs else ""
    ends = f" from='{escape_attr(element.attrs['to'])}' to='{escape_attr(element.attrs['from'])}'"
    return f"<db:{name}{ends}{id} type='{'valid' if valid else 'invalid'}'/>".encode()


def handled(count: int) -> bytes:
    """So many stanzas have come (XEP-0198 section 4)."""
    return b"<a xmlns='%b' h='%d'/>" % (SM.encode(), count % 2**32)


def pong(element: bytes) -> bytes:
    """A result for an iq that asks something (XEP-0199), else service-unavailable."""
    asked = parse(element)
    ends = f" from='{escape_attr(asked.attrs.get('to', ''))}' to='{escape_attr(asked.attrs.get('from', ''))}'"
    known = any(child.ns == "urn:xmpp:ping" for child in asked.elements())
    error = f"<error type='cancel'><service-unavailable xmlns='{ns.STANZA_ERRORS}'/></error>"
    kind, inner = ("result", "") if known else ("error", error)
    return f"<iq type='{kind}' id='{escape_attr(asked.attrs.get('id', ''))}'{ends}>{inner}</iq>".encode()


def condition_of(element: Element) -> str:
    """The first condition in an error of a stream, of SASL or of dialback."""
    for child in element.elements():
        if child.name == "error":
            return condition_of(child)
        if child.name != "text":
            return child.name
    return "undefined-condition"

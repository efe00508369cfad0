"""Which domains a certificate speaks for (RFC 6125, RFC 6120 section 13.7): dNSName, SRVName, XmppAddr. No I/O.

Names of the DNS are compared as A-labels without regard to case; a wildcard is the whole left-most label and stands for exactly one. The
common name of the subject counts for nothing (RFC 9525 section 2).
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, NamedTuple

import idna
from cryptography import x509

from rookery.shared.xmpp.der import XMPP_ADDR, string
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid

_SRV_NAME: Final = "1.3.6.1.5.5.7.8.7"
_SERVICES: Final = ("_xmpp-server.", "_xmpps-server.")


class Names(NamedTuple):
    """What a certificate says of itself; names of the DNS in lower case."""

    dns: frozenset[str] = frozenset()
    srv: frozenset[str] = frozenset()
    xmpp: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()

    def cover(self, domain: str) -> bool:
        """Whether they include a prepared domain."""
        if domain in self.xmpp:
            return True
        literal = domain.strip("[]")
        if literal in self.addresses:
            return True
        try:
            name = ascii_name(domain)
        except ValueError:
            return False
        return any(matches(pattern, name) for pattern in self.dns) or any(
            matches(pattern, name) for pattern in self.srv
        )


NONE: Final = Names()


def ascii_name(domain: str) -> str:
    """A domain as A-labels in lower case. Raises ValueError when it has none."""
    if domain.isascii():
        return domain.lower().rstrip(".")
    try:
        return idna.encode(domain).decode().lower()
    except idna.IDNAError as error:
        raise ValueError(f"{domain} is no name of the DNS") from error


def matches(pattern: str, name: str) -> bool:
    """Whether a name of a certificate stands for a name (RFC 6125 section 6.4)."""
    if "*" not in pattern:
        return pattern == name
    first, _, rest = pattern.partition(".")
    # "*" alone, "*.org" or "f*.example.org" would stand for too much or are not for us.
    if first != "*" or "*" in rest or "." not in rest:
        return False
    label, _, parent = name.partition(".")
    return bool(label) and parent == rest


def read(certificate: x509.Certificate) -> Names:
    """The names of a certificate; none when it has no alternative names or they cannot be read."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return NONE
    srv, xmpp = set(), set()
    for other in found.get_values_for_type(x509.OtherName):
        text = string(other.value)
        if other.type_id.dotted_string == _SRV_NAME:
            srv.update(_service(text.lower()))
        elif other.type_id.dotted_string == XMPP_ADDR:
            xmpp.update(_address(text))
    return Names(
        frozenset(name.lower().rstrip(".") for name in found.get_values_for_type(x509.DNSName)),
        frozenset(srv),
        frozenset(xmpp),
        frozenset(str(ip_address(each)) for each in map(str, found.get_values_for_type(x509.IPAddress)) if "/" not in each),
    )  # fmt: skip


def _service(text: str) -> list[str]:
    return [text.removeprefix(service).rstrip(".") for service in _SERVICES if text.startswith(service)]


def _address(text: str) -> list[str]:
    try:
        jid = Jid.parse(text)
    except JidError:
        return []
    return [jid.domain] if jid.full == jid.domain else []

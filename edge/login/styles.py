"""How SASL looks on a stream: the elements of RFC 6120 section 6, and those of XEP-0388. A pure table."""

from __future__ import annotations

from typing import Final, NamedTuple

from rookery.shared.xeps import sasl2
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.sasl.common import SaslFailure
from rookery.shared.xmpp.xml import Element


class Style(NamedTuple):
    """One profile of SASL. Conditions of failures are always those of RFC 6120."""

    ns: str

    def challenge(self, text: str | None) -> Element:
        """`<challenge/>`."""
        return Element(self.ns, "challenge", None, text)

    def failure(self, failure: SaslFailure) -> Element:
        """`<failure/>`."""
        text = Element(self.ns, "text", {"xml:lang": "en"}, failure.text) if failure.text else None
        app = Element(*failure.app) if failure.app is not None else None
        return Element(self.ns, "failure", None, Element(ns.SASL, failure.condition), app, text)


RFC6120: Final = Style(ns.SASL)
SASL2: Final = Style(sasl2.NS)

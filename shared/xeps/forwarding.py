"""XEP-0297: Stanza Forwarding."""

from __future__ import annotations

from typing import Final

from rookery.shared.xeps._xep import Xep
from rookery.shared.xeps.delayed_delivery import NS as DELAY
from rookery.shared.xeps.delayed_delivery import stamp
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.stanza import Stanza

NS: Final = "urn:xmpp:forward:0"
XEP = Xep(297, "1.0", "complete", note="inside archive results and carbons")


def forwarded(stanza: Stanza, seconds: float) -> bytes:
    """Canonical `<forwarded/>` with the stanza as it was and when it was received. Nothing is parsed."""
    return b"<forwarded xmlns='%b'><delay xmlns='%b' stamp='%b'/>%b</forwarded>" % (
        NS.encode(),
        DELAY.encode(),
        stamp(seconds).encode(),
        stanza.encode(ns.CLIENT),
    )

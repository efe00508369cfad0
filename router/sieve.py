"""Takes marks of trust out of messages that somebody else forged in our name.

`<stanza-id/>` with our `by` (XEP-0359 section 3.1) and `<delay/>` from one of our own addresses (XEP-0203 section 4).
"""

from __future__ import annotations

from typing import Final

from rookery.shared.xeps.delayed_delivery import NS as DELAY
from rookery.shared.xmpp.parse import parse_fragment
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element, escape_text

SID: Final = "urn:xmpp:sid:0"
_MARKS: Final = frozenset((SID, DELAY))


def sift(stanza: Stanza, bare: str) -> Stanza:
    """The message without forged marks of `bare` (a local account) or its domain."""
    # What the parser noted of the children clears almost every message.
    for uri, _ in stanza.payloads:
        if uri in _MARKS:
            break
    else:
        return stanza
    ours = (bare, bare.rpartition("@")[2])
    kept: list[Element | str] = []
    found = False
    for node in parse_fragment(stanza.inner):
        if isinstance(node, Element) and (
            (node.ns == SID and node.name == "stanza-id" and node.get("by") in ours)
            or (node.ns == DELAY and node.name == "delay" and node.get("from") in ours)
        ):
            found = True
        else:
            kept.append(node)
    if not found:
        return stanza
    return stanza.replace(
        payloads=tuple((node.ns, node.name) for node in kept if isinstance(node, Element)),
        inner="".join(
            node.xml() if isinstance(node, Element) else escape_text(node) for node in kept
        ).encode(),
    )

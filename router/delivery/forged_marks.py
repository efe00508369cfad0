"""Takes marks of trust out of messages that somebody else forged in our name.

`<stanza-id/>` with a `by` of ours (XEP-0359 section 5: also where we add none) and `<delay/>` from one of our own addresses (XEP-0203
section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from rookery.shared.xeps.delayed_delivery import NS as DELAY
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.parse import parse_fragment
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element, escape_text

SID: Final = "urn:xmpp:sid:0"
#: Namespaces of such marks.
MARKS: Final = frozenset((SID, DELAY))


def sift(stanza: Stanza, bare: str, local: Callable[[str], bool]) -> Stanza:
    """A message for the local account `bare` without forged marks of the account or its domain.

    No archive id of its sender's account is for somebody else, nor made by a client: when the sender is `local`, it goes too.
    """
    # What the parser noted of the children clears almost every message.
    for uri, _ in stanza.payloads:
        if uri in MARKS:
            break
    else:
        return stanza
    ours = (bare, bare.rpartition("@")[2])
    sender = stanza.from_.partition("/")[0]
    return _without(stanza, (*ours, sender) if local(sender) else ours, ours)


def sift_sent(stanza: Stanza, bare: str) -> Stanza:
    """A message that a client of the account `bare` sends, as it is archived and copied: without ids that only we give."""
    return (
        stanza
        if not any(uri == SID for uri, _ in stanza.payloads)
        else _without(stanza, (bare, bare.rpartition("@")[2]), ())
    )


def _without(stanza: Stanza, ids: Collection[str], delays: Collection[str]) -> Stanza:
    """Without stanza ids by, and delay stamps from, these addresses."""
    kept: list[Element | str] = []
    found = False
    for node in parse_fragment(stanza.inner):
        if isinstance(node, Element) and (
            (node.ns == SID and node.name == "stanza-id" and _is(node.get("by"), ids))
            or (node.ns == DELAY and node.name == "delay" and _is(node.get("from"), delays))
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


def _is(address: str | None, ours: Collection[str]) -> bool:
    """Whether an address is one of ours, however it is written: whoever believes it may prepare it."""
    if not address:
        return False
    if address in ours:
        return True
    try:
        return Jid.parse(address).full in ours
    except JidError:
        return False

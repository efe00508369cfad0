"""What only a room may say is taken out of what occupants say (sections 7.2.14, 16.2, 16.3; XEP-0421 section 3; XEP-0359 section 4)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rookery.shared.xeps.delayed_delivery import NS as DELAY
from rookery.shared.xeps.hats import NS as HATS
from rookery.shared.xeps.multi_user_chat import NS, USER, Options
from rookery.shared.xeps.multicast import NS as ADDRESS
from rookery.shared.xeps.occupant_ids import NS as OCCUPANT_ID
from rookery.shared.xeps.stanza_ids import NS as SID
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

Payloads = tuple[tuple[str, str], ...]
_OURS: Final = frozenset({NS, USER, OCCUPANT_ID, HATS})
#: What may be forged and what may be honest look alike here: they are looked at.
_DOUBTFUL: Final = frozenset({(SID, "stanza-id"), (DELAY, "delay"), (ADDRESS, "addresses")})
_BYTES_OF_PRIORITY: Final = 5
#: What presences say that is kept once for all who say it.
_SHARED: Final = 512


def cleaned(stanza: Stanza, room: str, *, keep: str = "") -> tuple[bytes, Payloads]:
    """The inner XML and the payloads without what claims to be the room's; elements of the namespace `keep` stay."""
    doubt = honest = False
    for namespace, name in stanza.payloads:
        if namespace in _OURS or (namespace, name) in _DOUBTFUL:
            doubt = True
        if namespace not in _OURS:
            honest = True
    if not doubt:
        return stanza.inner, tuple(stanza.payloads)
    if not honest and not keep:
        # What a join usually is: nothing stays of it, so it need not be read.
        return b"", ()
    kept = [one for one in stanza.elements() if one.ns == keep or not _forged(one, room)]
    inner = "".join([one.xml() for one in kept]).encode()
    return inner, tuple([(one.ns, one.name) for one in kept])


def _forged(element: Element, room: str) -> bool:
    if element.ns in _OURS:
        return True
    if element.ns == SID and element.name == "stanza-id":
        return element.get("by") == room
    if element.ns == ADDRESS:
        # (the real JID of who said what is in a history)
        return any(one.get("type") == "ofrom" for one in element.elements())
    return element.ns == DELAY and element.get("from") == room


def presence(stanza: Stanza, room: str, options: Options) -> tuple[bytes, Payloads, int]:
    """What a presence says itself: inner XML, payloads, priority. Raises StanzaError when it is too large."""
    inner, payloads = cleaned(stanza, room)
    if len(inner) > options.presence_bytes:
        raise StanzaError("policy-violation", f"a presence has at most {options.presence_bytes} bytes")
    priority = 0
    if any(namespace == ns.CLIENT and name in ("status", "priority") for namespace, name in payloads):
        for element in stanza.elements():
            if element.ns != ns.CLIENT:
                continue
            if element.name == "status" and len(element.text.encode()) > options.status_bytes:
                raise StanzaError("policy-violation", f"a status has at most {options.status_bytes} bytes")
            if element.name == "priority":
                priority = _priority(element.text.strip())
    inner, payloads = shared(inner, payloads)
    return inner, payloads, priority


@lru_cache(maxsize=_SHARED)
def shared(inner: bytes, payloads: Payloads) -> tuple[bytes, Payloads]:
    """The same values; those that many presences have, such as the capabilities of one client, are the same objects."""
    return inner, payloads


def _priority(text: str) -> int:
    digits = text.lstrip("+-")
    if not digits.isascii() or not digits.isdigit() or len(text) > _BYTES_OF_PRIORITY:
        return 0
    value = int(digits)
    return max(-128, min(127, -value if text.startswith("-") else value))

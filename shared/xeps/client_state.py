"""XEP-0352: Client State Indication."""

from __future__ import annotations

from typing import Annotated, Final

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:csi:0"


class Options(Section, frozen=True):
    """What waits for a client that said it is inactive; when it is too much, all of it is sent."""

    postponed_stanzas: Annotated[
        int,
        about("Stanzas that may wait for a session", "stanzas", ge=1, was="client_state.held_stanzas"),
    ] = 256
    postponed_bytes: Annotated[
        int, about("Their size together", "bytes", ge=1, was="client_state.held_bytes")
    ] = 65_536


XEP = Xep(
    352,
    "1.0.0",
    "complete",
    implemented_in="edge, router",
    note="presence, chat states and headlines wait; anything else brings them along",
    options=Options,
)

_CHAT_STATES: Final = "http://jabber.org/protocol/chatstates"
_MUC_USER: Final = "http://jabber.org/protocol/muc#user"
#: Payloads that say nothing worth waking a phone for: chat states, hints (XEP-0334), ids (XEP-0359), a conversation's thread.
_LIGHT: Final = frozenset({_CHAT_STATES, "urn:xmpp:hints", "urn:xmpp:sid:0"})
_THREAD: Final = ("jabber:client", "thread")
_STORE: Final = ("urn:xmpp:hints", "store")
#: "this presence is about you" (XEP-0045 section 15.6.2): a client that joins a room waits for it.
_SELF: Final = b"110"


def stream_feature() -> Element:
    """Section 4.1: offered once the client has authenticated."""
    return Element(NS, "csi")


def can_wait(stanza: Stanza) -> bool:
    """Whether an inactive client is spared this stanza for now. Nothing that would ever be stored may wait."""
    if stanza.kind == "presence":
        return stanza.type in ("", "unavailable") and not (
            _SELF in stanza.inner and stanza.has(_MUC_USER, "x")
        )
    if stanza.kind != "message":
        return False
    type = stanza.type
    if type == "headline":
        return not stanza.has("jabber:client", "body")
    if type == "error":
        return False
    light = False
    for payload in stanza.payloads:
        if payload[0] == _CHAT_STATES:
            light = True
        elif payload[0] in _LIGHT:
            if tuple(payload) == _STORE:
                return False
        elif tuple(payload) != _THREAD:
            return False
    return light

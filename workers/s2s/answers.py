"""What becomes of a stanza that cannot be brought: whether its sender hears of it, with which error, and when. Pure."""

from __future__ import annotations

from typing import Final

from rookery.shared.bus.messages import Origin
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import bare_of, prepare_domain
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.streams.api import Trouble

#: Seconds that a request without a deadline of its own may wait, and what else has no row.
IQ_SECONDS: Final = 30.0
LOOSE_SECONDS: Final = 3600.0


def answerable(stanza: Stanza) -> bool:
    """Whether an error may answer it (RFC 6120 section 8.3.1)."""
    if stanza.type == "error" or (stanza.kind == "iq" and stanza.type == "result"):
        return False
    return stanza.kind != "presence" or stanza.type == "subscribe"


def error_of(trouble: Trouble | None) -> StanzaError:
    """What the sender hears: what was wrong with the other server."""
    if trouble is None:
        return StanzaError("remote-server-timeout")
    return StanzaError(trouble.condition, trouble.text or None)


def until(stanza: Stanza, origin: Origin, now: float) -> float:
    """When a stanza without a row is given up, in Unix seconds."""
    if stanza.kind == "iq":
        return origin.deadline / 1000 if origin.deadline else now + IQ_SECONDS
    return now + LOOSE_SECONDS


def domain_of(jid: str) -> str:
    """The prepared domain of an address, "" when it is none."""
    domain = bare_of(jid).rpartition("@")[2]
    try:
        return prepare_domain(domain)
    except JidError:
        return ""

"""What is too long for a bus message: stanzas are refused where they come in, and an answer becomes an error that says so."""

from __future__ import annotations

from typing import Final

from rookery.shared.bus.messages import Deliver, Failed, Item, Return, Route
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

#: Octets of a stanza's content, as we write it, that every item carries beside its recipients (`shared.cluster.fanout`): NATS takes 1 MiB. A
#: stanza grows when it is read, for `>` and quotes become references: up to six times.
LARGEST: Final = 786_432
_TEXT: Final = "larger than this server passes on"


def too_large() -> StanzaError:
    """Why such a stanza is not taken (RFC 6120 section 8.3.3.12)."""
    return StanzaError("policy-violation", _TEXT, type="modify")


def fitting(stanza: Stanza) -> Stanza | None:
    """What goes in place of a stanza that is too large: of an answer its error, so that whoever waits hears of it; None: nothing can."""
    if stanza.kind != "iq" or stanza.type != "result":
        return None
    turned = stanza.replace(from_=stanza.to, to=stanza.from_)
    return turned.error(StanzaError("policy-violation", _TEXT, type="cancel"))


def lesser(item: Item) -> Item | None:
    """What goes in place of an item that no message carries; None: nothing does."""
    if isinstance(item, Return):
        return Failed(item.call, "resource-constraint", "wait", _TEXT, ())
    if isinstance(item, (Route, Deliver)):
        stanza = fitting(item.stanza)
        return None if stanza is None else item._replace(stanza=stanza)
    return None

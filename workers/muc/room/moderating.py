"""Messages that their author (XEP-0424) or a moderator (XEP-0425) takes back."""

from __future__ import annotations

from rookery.shared.xeps.delayed_delivery import stamp
from rookery.shared.xeps.message_moderation import NS
from rookery.shared.xeps.message_retraction import NS as RETRACT
from rookery.shared.xeps.occupant_ids import NS as OCCUPANT_ID
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element, escape_attr, escape_text
from rookery.workers.muc.outs import Note, Send, Tombstone
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room.asking import Ask, reason_of
from rookery.workers.muc.room.state import Occupant
from rookery.workers.muc.room.values import Role


def retracted(ask: Ask, occupant: Occupant) -> list[c.Step]:
    """What the archive forgets when an occupant retracts a message; only its own goes."""
    element = ask.stanza.find(RETRACT, "retract")
    id = None if element is None else element.get("id")
    if not id:
        return []
    name = ask.stanza.id or ask.facts.token
    grave = Element(RETRACT, "retracted", {"id": name, "stamp": stamp(ask.facts.now)})
    return [Tombstone(id, grave.encode(), occupant.bare)]


def named(stanza: Stanza) -> str:
    """The id of the message that a request wants to have taken back; "" for other stanzas."""
    if stanza.type != "set" or not stanza.has(NS, "moderate"):
        return ""
    element = stanza.find(NS, "moderate")
    return "" if element is None else element.get("id") or ""


def moderate(ask: Ask) -> list[c.Step]:
    """A moderator's request to retract a message of somebody."""
    state, stanza = ask.state, ask.stanza
    element = stanza.find(NS, "moderate")
    id = None if element is None else element.get("id")
    if element is None or not id:
        raise StanzaError("bad-request", "the id of a message is needed")
    if ask.standing.role < Role.MODERATOR:
        raise StanzaError("forbidden", "only moderators may do this")
    if element.find(RETRACT, "retract") is None:
        raise StanzaError("feature-not-implemented", "messages can be retracted, no more")
    reason = reason_of(element, NS, ask.facts.options.reason_bytes)
    seat = next(iter(state.seats_of(ask.bare)), None)
    by = "" if seat is None else f" by='{escape_attr(seat.from_)}'"
    mark = "" if seat is None else seat.mark.decode()
    moderated = f"<moderated xmlns='{NS}'{by}>{mark}</moderated>"
    why = f"<reason>{escape_text(reason)}</reason>" if reason else ""
    said = f"<retract xmlns='{RETRACT}' id='{escape_attr(id)}'>{moderated}{why}</retract>"
    name = ask.facts.token or stanza.id
    message = Stanza(
        "message", "groupchat", "", state.jid, name, "", (), ((RETRACT, "retract"),), said.encode()
    )
    grave = (
        f"<retracted xmlns='{RETRACT}' id='{escape_attr(name)}' stamp='{stamp(ask.facts.now)}'>"
        f"{moderated}{why}</retracted>"
    )
    return [
        Send(stanza.result()),
        c.Announced(message, state.config.archive),
        Tombstone(id, grave.encode()),
        Note("message_moderated", ask.bare, state.jid, id),
    ]


def buried(original: Stanza, grave: bytes) -> Stanza:
    """What the archive has in place of a message that was taken back: who said it, and that it is gone."""
    kept = [one for one in original.elements() if one.ns == OCCUPANT_ID]
    payloads = (*((one.ns, one.name) for one in kept), (RETRACT, "retracted"))
    inner = b"".join([*(one.encode() for one in kept), grave])
    return original.replace(inner=inner, payloads=payloads)

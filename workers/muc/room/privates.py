"""What occupants send to each other through the room: private messages (section 7.5), requests (section 16.4), self-pings (XEP-0410)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from rookery.shared.xeps.multi_user_chat import USER
from rookery.shared.xeps.occupant_ids import NS as OCCUPANT_ID
from rookery.shared.xeps.ping import NS as PING
from rookery.shared.xeps.vcard_temp import NS as VCARD
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.workers.muc.outs import Send
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room.asking import Ask
from rookery.workers.muc.room.cleaning import cleaned
from rookery.workers.muc.room.state import Seat
from rookery.workers.muc.room.values import Role

#: muc#roomconfig_allowpm -> the lowest role that may send private messages.
_ALLOWED: Final = {"anyone": Role.VISITOR, "participants": Role.PARTICIPANT, "moderators": Role.MODERATOR}
_DISCO: Final = "http://jabber.org/protocol/disco#"
_ACCOUNT: Final = (VCARD, "http://jabber.org/protocol/pubsub")
_USER_PAYLOAD: Final = (USER, "x")


def message(ask: Ask) -> list[c.Step]:
    """A message to an occupant JID."""
    stanza = ask.stanza
    if stanza.type == "groupchat":
        raise StanzaError("bad-request", "what is for one occupant is no groupchat")
    occupant = ask.inside()
    least = _ALLOWED.get(ask.state.config.allow_pm)
    if least is None or occupant.seat.role < least:
        raise StanzaError("forbidden", "private messages are not allowed to you here")
    seat = _target(ask)
    ask.paced(occupant)
    if len(stanza.inner) > ask.facts.options.message_bytes:
        raise StanzaError("policy-violation", "the message is too large")
    inner, payloads = cleaned(stanza, ask.state.jid)
    mine = occupant.seat
    inner = b"%b<x xmlns='%b'/>%b" % (inner, USER.encode(), mine.mark)
    relayed = stanza.replace(
        from_=mine.from_,
        inner=inner,
        payloads=(*payloads, _USER_PAYLOAD, (OCCUPANT_ID, "occupant-id")),
    )
    for session in seat.sessions:
        ask.state.wrote(session.full, mine.key, stanza.id)
    # All sessions under the nick get it (section 7.2.8); the first is kept until it is accepted.
    return [
        Send(relayed.replace(to=session.full), relayed=at == 0) for at, session in enumerate(seat.sessions)
    ]


def _target(ask: Ask) -> Seat:
    seat = ask.state.seat(ask.nick)
    if seat is None:
        raise StanzaError("item-not-found", "nobody has this nick")
    return seat


# --- requests --------------------------------------------------------------------------------------------------------


def request(ask: Ask) -> list[c.Step]:
    """An iq get or set to an occupant JID: relayed to the real one, which never learns who asks, but for a ping of oneself."""
    stanza = ask.stanza
    occupant = ask.occupant
    if occupant is None:
        if stanza.payloads and stanza.payloads[0][0].startswith(_DISCO):
            raise StanzaError("bad-request", "only occupants may ask occupants")
        raise StanzaError("not-acceptable", "you are not in this room", type="cancel")
    seat = _target(ask)
    if seat is occupant.seat and stanza.type == "get" and stanza.has(PING, "ping"):
        return [Send(stanza.result())]
    ask.paced(occupant)
    face = seat.face
    # What an account answers for all its sessions is asked of the account.
    account = bool(stanza.payloads) and stanza.payloads[0][0] in _ACCOUNT
    id = f"{_name(ask, occupant.full)}{_name(ask, seat.key)}{stanza.id}"
    relayed = stanza.replace(
        from_=occupant.seat.from_, to=face.bare if account else face.full, id=id, attrs=()
    )
    return [Send(relayed)]


_WIDTH: Final = 16


def _name(ask: Ask, text: str) -> str:
    """A name that only this service can make; it hides what it names."""
    return hmac.new(ask.facts.secret, f"iq\0{ask.state.jid}\0{text}".encode(), hashlib.sha256).hexdigest()[
        :_WIDTH
    ]


def answer(ask: Ask) -> list[c.Step]:
    """An iq result or error from an occupant: goes to the session that asked. Others are nobody's."""
    stanza = ask.stanza
    asker, target, id = stanza.id[:_WIDTH], stanza.id[_WIDTH : 2 * _WIDTH], stanza.id[2 * _WIDTH :]
    seat = ask.state.seat(ask.nick)
    if seat is None:
        return []
    session = next((one for one in seat.sessions if _is(ask, asker, one.full)), None)
    bare = bare_of(stanza.from_)
    source = next((one for one in ask.state.seats_of(bare) if _is(ask, target, one.key)), None)
    if session is None or source is None:
        return []
    return [Send(stanza.replace(from_=source.from_, to=session.full, id=id, attrs=()))]


def _is(ask: Ask, name: str, text: str) -> bool:
    return hmac.compare_digest(name.encode(), _name(ask, text).encode())

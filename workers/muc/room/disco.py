"""What a room tells of itself (sections 6.4, 6.5, 7.12; XEP-0128), and its vCard (XEP-0486)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps._xep import Target
from rookery.shared.xeps.adhoc_commands import NS as COMMANDS
from rookery.shared.xeps.data_forms import Field, form
from rookery.shared.xeps.hats import INFO_FIELD as HATS
from rookery.shared.xeps.message_archive import EXTENDED
from rookery.shared.xeps.message_archive import NS as MAM
from rookery.shared.xeps.message_moderation import NS as MODERATE
from rookery.shared.xeps.message_retraction import TOMBSTONE
from rookery.shared.xeps.multi_user_chat import INFO, RESERVED_NICK, TRAFFIC
from rookery.shared.xeps.registration import NS as REGISTER
from rookery.shared.xeps.registry import FEATURES
from rookery.shared.xeps.room_avatars import INFO_FIELD as AVATAR
from rookery.shared.xeps.slow_mode import INFO_FIELD as SLOW
from rookery.shared.xeps.vcard_temp import NS as VCARD
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_fragment
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.outs import Note, Send
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room import hat_commands
from rookery.workers.muc.room.asking import Ask
from rookery.workers.muc.room.config import Config
from rookery.workers.muc.room.hats import fingerprint
from rookery.workers.muc.room.pages import page, with_set
from rookery.workers.muc.room.privileges import Privilege
from rookery.workers.muc.room.state import State

NS_ITEMS: Final = "http://jabber.org/protocol/disco#items"
#: (attribute of the configuration, feature when it is so, feature when it is not): section 15.2.
_KINDS: Final = (
    ("public", "muc_public", "muc_hidden"),
    ("persistent", "muc_persistent", "muc_temporary"),
    ("members_only", "muc_membersonly", "muc_open"),
    ("moderated", "muc_moderated", "muc_unmoderated"),
    ("password_protected", "muc_passwordprotected", "muc_unsecured"),
    ("non_anonymous", "muc_nonanonymous", "muc_semianonymous"),
)


def features(config: Config) -> list[str]:
    """All features of a room."""
    found = set(FEATURES[Target.ROOM])
    found.update(yes if getattr(config, name) else no for name, yes, no in _KINDS)
    found.add(NS_INFO)
    found.add(NS_ITEMS)
    if config.registration:
        found.add(REGISTER)
    if config.archive:
        found |= {MAM, EXTENDED}
    else:
        # Without ids of an archive (XEP-0359) a moderator cannot name a message, and there is nothing to put in its place.
        found -= {MODERATE, TOMBSTONE}
    return sorted(found)


def info(ask: Ask) -> list[c.Step]:
    """disco#info of the room, or of a node of it."""
    state = ask.state
    query = ask.stanza.find(NS_INFO, "query")
    node = "" if query is None else query.get("node") or ""
    if node == RESERVED_NICK:
        return [Send(ask.stanza.result(_reserved(ask)))]
    if node == TRAFFIC:
        raise StanzaError("service-unavailable", "everything passes")
    if node:
        described = hat_commands.described(node)
        if described is None:
            raise StanzaError("item-not-found", "no such node")
        return [Send(ask.stanza.result(described))]
    identity = {"category": "conference", "type": "text"}
    identity["name"] = state.config.name or state.jid.partition("@")[0]
    found = Element(NS_INFO, "query", None, Element(NS_INFO, "identity", identity))
    found.children += [Element(NS_INFO, "feature", {"var": name}) for name in features(state.config)]
    found.children.append(form("result", INFO, _about(state)))
    return [Send(ask.stanza.result(found))]


def _reserved(ask: Ask) -> Element:
    """The nick that is kept for the sender (section 7.12)."""
    nick = ask.state.affiliate(ask.bare).nick
    query = Element(NS_INFO, "query", {"node": RESERVED_NICK})
    if nick:
        identity = {"category": "conference", "type": "text", "name": nick}
        query.children.append(Element(NS_INFO, "identity", identity))
    return query


def _about(state: State) -> list[Field]:
    config = state.config
    fields = [
        Field("muc#roominfo_description", (config.description,), "text-single"),
        Field("muc#roominfo_occupants", (str(len(state.occupants)),), "text-single"),
        Field("muc#roomconfig_changesubject", ("1" if config.change_subject else "0",), "boolean"),
        Field("muc#roomconfig_roomname", (config.name,), "text-single"),
        Field("muc#roomconfig_allowinvites", ("1" if config.allow_invites else "0",), "boolean"),
        Field("muc#roomconfig_allowpm", (config.allow_pm,), "list-single"),
        Field(SLOW, (str(config.slow_seconds),), "text-single"),
    ]
    if state.hats:
        fields.append(Field(HATS, (fingerprint(state.hats.values()),), "text-single"))
    if config.lang:
        fields.append(Field("muc#roominfo_lang", (config.lang,), "text-single"))
    if config.pubsub:
        fields.append(Field("muc#roominfo_pubsub", (config.pubsub,), "text-single"))
    if config.contacts:
        fields.append(Field("muc#roominfo_contactjid", config.contacts, "jid-multi"))
    if config.public and not config.members_only and not config.password_protected and state.subject.at:
        fields.append(Field("muc#roominfo_subject", (_subject(state.subject.inner),), "text-single"))
    if hashes := picture(state.card):
        fields.append(Field(AVATAR, hashes, "text-multi"))
    return fields


def _subject(inner: bytes) -> str:
    return next((one.text for one in parse_fragment(inner) if isinstance(one, Element)), "")


@lru_cache(maxsize=256)
def picture(card: bytes) -> tuple[str, ...]:
    """The hashes of the pictures of a vCard (XEP-0153 section 3.1); none for a picture that cannot be read."""
    found: list[str] = []
    for element in parse_fragment(card) if card else ():
        if isinstance(element, Element):
            for photo in element.elements(VCARD, "PHOTO"):
                text = photo.find_text(VCARD, "BINVAL")
                try:
                    data = base64.b64decode("".join((text or "").split()), validate=True)
                except (binascii.Error, ValueError):
                    continue
                if data:
                    found.append(hashlib.sha1(data, usedforsecurity=False).hexdigest())
    return tuple(found)


def items(ask: Ask) -> list[c.Step]:
    """disco#items of the room: the nicks, where its owners show them (section 6.5)."""
    state = ask.state
    asked = ask.stanza.find(NS_ITEMS, "query")
    found = Element(
        NS_ITEMS, "query", {"node": asked.get("node") or ""} if asked and asked.get("node") else None
    )
    if asked is not None and asked.get("node") == COMMANDS:
        found.children += [
            Element(NS_ITEMS, "item", {"jid": state.jid, "node": node, "name": name})
            for node, name in hat_commands.offered(ask)
        ]
    elif state.config.public_occupants:
        seats = sorted([seat for seat in state.seats.values() if seat.shown], key=lambda seat: seat.nick)
        names: Sequence[str] = [seat.nick for seat in seats]
        taken = page(names, asked)
        found.children += [
            Element(NS_ITEMS, "item", {"jid": f"{state.jid}/{nick}", "name": nick}) for nick in taken.keys
        ]
        with_set(found, taken)
    return [Send(ask.stanza.result(found))]


# --- the vCard -------------------------------------------------------------------------------------------------------


def card_get(ask: Ask) -> list[c.Step]:
    """The vCard of the room; an empty one when it has none."""
    cards = [one for one in parse_fragment(ask.state.card) if isinstance(one, Element)]
    return [Send(ask.stanza.result(*(cards or [Element(VCARD, "vCard")])))]


def card_set(ask: Ask) -> list[c.Step]:
    """Another vCard; an empty one removes it (XEP-0486 section 3)."""
    if not ask.standing.has(Privilege.CONFIGURE):
        raise StanzaError("forbidden", "only owners change the picture of a room")
    card = ask.stanza.find(VCARD, "vCard")
    if card is None:
        raise StanzaError("bad-request")
    text = card.encode(ns.CLIENT) if card.children else b""
    if len(text) > ask.facts.options.card_bytes:
        raise StanzaError("policy-violation", f"a vCard has at most {ask.facts.options.card_bytes} bytes")
    return [
        Send(ask.stanza.result()),
        c.CardSet(text),
        Note("room_card_set", ask.bare, ask.state.jid),
    ]

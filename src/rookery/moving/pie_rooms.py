"""Rooms in a file of XEP-0227, which has no place for them: elements of our own namespace in the host that serves them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from rookery.moving import parts
from rookery.moving.records import Left, Message, Room
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.parse import parse_fragment
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room.config import Config
from rookery.workers.muc.room.values import Affiliate, Affiliation, Subject

OURS: Final = "urn:rookery:export:0"
_LABELS: Final = {one.label: one for one in Affiliation}


def room(element: Element, host: str) -> Iterator[Room | Left]:
    """A room, and what of it cannot be carried."""
    name = f"{element.get('name')}@{host}"
    try:
        jid = Jid.parse(name)
        text = element.find_text(OURS, "config") or "{}"
        config = msgspec.json.decode(text, type=Config)
    except (JidError, msgspec.MsgspecError):
        yield Left(name, "rooms that cannot be read")
        return
    affiliates = []
    for one in element.elements(OURS, "affiliation"):
        bare, what = parts.address(one.get("jid"), bare=True), _LABELS.get(one.get("affiliation") or "")
        if bare and what is not None:
            stamp = parts.stamp_of(one.get("at")) or 0.0
            affiliates.append(
                (
                    bare,
                    Affiliate(
                        what, one.get("nick") or "", one.get("reason") or "", one.get("by") or "", stamp
                    ),
                )
            )
    messages = []
    for one in element.elements(OURS, "said"):
        found = _said(one, jid.bare)
        if found is None:
            yield Left(jid.bare, "messages that cannot be read")
        else:
            messages.append(found)
    yield Room(jid.bare, config, tuple(affiliates), _subject(element.find(OURS, "subject")), tuple(messages))


def _subject(element: Element | None) -> Subject:
    if element is None:
        return Subject()
    children = list(element.elements())
    inner = "".join(child.xml() for child in children).encode()
    names = tuple((child.ns, child.name) for child in children)
    return Subject(inner, names, element.get("from") or "", parts.stamp_of(element.get("at")) or 0.0)


def _said(element: Element, jid: str) -> Message | None:
    message = next((child for child in element.elements() if child.name == "message"), None)
    stanza = None if message is None else parts.stanza_of(message)
    stamp = parts.stamp_of(element.get("at"))
    if stanza is None or stamp is None:
        return None
    return Message(stamp, stanza, parts.address(element.get("by"), bare=True) or jid)


def element_of(room: Room) -> Element:
    """The element of a room."""
    out = Element(OURS, "room", {"name": Jid.trusted(room.jid).local or ""})
    out.children.append(Element(OURS, "config", None, msgspec.json.encode(room.config).decode()))
    if room.subject.at:
        said = Element(OURS, "subject", {"from": room.subject.from_, "at": stamped(room.subject.at)})
        said.children += parse_fragment(room.subject.inner)
        out.children.append(said)
    for jid, entry in room.affiliates:
        attrs = {
            "jid": jid,
            "affiliation": entry.affiliation.label,
            "nick": entry.nick,
            "reason": entry.reason,
            "by": entry.by,
        }
        if entry.at:
            attrs["at"] = stamped(entry.at)
        out.children.append(
            Element(OURS, "affiliation", {key: value for key, value in attrs.items() if value})
        )
    for message in room.messages:
        attrs = {"at": stamped(message.stamp)} | ({"by": message.peer} if message.peer != room.jid else {})
        out.children.append(Element(OURS, "said", attrs, stanza_element(message)))
    return out


def stamped(seconds: float) -> str:
    """A timestamp (XEP-0082) with microseconds."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def stanza_element(message: Message) -> Element:
    """The element of a message."""
    from rookery.shared.xmpp.parse import parse_element

    return parse_element(message.stanza.encode())

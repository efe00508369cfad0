"""Rooms of Prosody: the store `config` of a host of rooms, and the log of messages beside it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import replace

from rookery.moving import lua, parts
from rookery.moving.prosody_tables import element, integer, stored_stamp, table, text
from rookery.moving.records import Left, Message, Room
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room.config import Config
from rookery.workers.muc.room.values import Affiliate, Affiliation, Subject

_LABELS: Final = {one.label: one for one in Affiliation}
#: Settings of Prosody that are on or off, and what they are here.
_FLAGS: Final = {
    "persistent": "persistent",
    "members_only": "members_only",
    "moderated": "moderated",
    "changesubject": "change_subject",
    "allow_member_invites": "allow_invites",
}
_KNOWN: Final = frozenset(
    {*_FLAGS, "name", "description", "language", "hidden", "password", "whois", "history_length", "subject", "subject_from",
     "subject_time", "archiving", "occupant_id_salt", "locked", "default_history_messages", "presence_broadcast", "valid_roles"}
)  # fmt: skip


def room(name: str, host: str, config: bytes, log: bytes | None) -> Iterator[Room | Left]:
    """The room of these files. Raises MovingError."""
    frozen = table(lua.read(config))
    try:
        jid = Jid.parse(f"{name}@{host}").bare
    except JidError:
        yield Left(f"{name}@{host}", "rooms whose names no room can have")
        return
    data = table(frozen.get("_data"))
    if data.get("destroyed"):
        return
    for unknown in data.keys() - _KNOWN:
        yield Left(jid, f"setting {unknown} of rooms")
    listed = table(frozen.get("_affiliations")) or {
        key: value
        for key, value in frozen.items()
        if isinstance(key, str) and key[:1] != "_" and key != "jid"
    }
    about = table(frozen.get("_affiliation_data"))
    affiliates = []
    for key, value in listed.items():
        bare, what = parts.address(str(key), bare=True), _LABELS.get(text(value))
        if bare and what is not None:
            nick = text(table(about.get(key)).get("reserved_nickname"))
            affiliates.append((bare, Affiliate(what, nick, text(table(about.get(key)).get("reason")))))
    messages: list[Message] = []
    for one in lua.read_list(log) if log is not None else ():
        found = _said(table(one), jid)
        if found is None:
            yield Left(jid, "messages that cannot be read")
        else:
            messages.append(found)
    yield Room(jid, _config(data), tuple(affiliates), _subject(data, jid), tuple(messages))


def _config(data: lua.Table) -> Config:
    changes: dict[str, Any] = {ours: bool(data[theirs]) for theirs, ours in _FLAGS.items() if theirs in data}
    for theirs, ours in (
        ("name", "name"),
        ("description", "description"),
        ("language", "lang"),
        ("password", "secret"),
    ):
        if said := text(data.get(theirs)):
            changes[ours] = said
    changes["password_protected"] = bool(changes.get("secret"))
    changes["public"] = not data.get("hidden")
    changes["non_anonymous"] = data.get("whois") == "anyone"
    if isinstance(data.get("archiving"), bool):
        changes["archive"] = bool(data["archiving"])
    if (length := integer(data.get("history_length"))) is not None and length >= 0:
        changes["max_history"] = length
    return replace(Config(), **changes)


def _subject(data: lua.Table, jid: str) -> Subject:
    said = text(data.get("subject"))
    when = integer(data.get("subject_time"))
    if not said:
        return Subject()
    inner = Element("jabber:client", "subject", None, said).encode()
    nick = text(data.get("subject_from")).rpartition("/")[2]
    return Subject(inner, (("jabber:client", "subject"),), f"{jid}/{nick}" if nick else jid, float(when or 1))


def _said(one: lua.Table, jid: str) -> Message | None:
    said, stamp = element(one), stored_stamp(one)
    if said is None or stamp is None:
        return None
    made = parts.message(said, jid, stamp)
    if made is None:
        return None
    real = next(
        (
            parts.address(item.get("jid"), bare=True)
            for x in said.elements()
            for item in x.elements(None, "item")
            if item.get("jid")
        ),
        "",
    )
    stanza = made.stanza
    kept = tuple(child for child in stanza.elements() if child.ns != "http://jabber.org/protocol/muc#user")
    clean = stanza._replace(
        payloads=tuple((child.ns, child.name) for child in kept),
        inner="".join(child.xml() for child in kept).encode(),
        to="",
    )
    return Message(stamp, clean, real or jid)

"""Messages to all, and the subject (sections 7.4, 7.2.15 and 8.1). The first function is the way of every message in every room."""

from __future__ import annotations

from typing import Final

from rookery.shared.store.rows import durable
from rookery.shared.xeps.message_retraction import NS as RETRACT
from rookery.shared.xeps.multi_user_chat import Options
from rookery.shared.xeps.occupant_ids import NS as OCCUPANT_ID
from rookery.shared.xeps.processing_hints import NS as HINTS
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.outs import Note
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room.asking import Ask
from rookery.workers.muc.room.cleaning import Payloads, cleaned
from rookery.workers.muc.room.history import is_subject
from rookery.workers.muc.room.moderating import retracted
from rookery.workers.muc.room.state import Occupant
from rookery.workers.muc.room.values import Affiliation, Role, Subject

_MARK: Final = (OCCUPANT_ID, "occupant-id")
_SUBJECT: Final = (ns.CLIENT, "subject")
_new: Final = tuple.__new__


def groupchat(ask: Ask) -> list[c.Step]:
    """A message of type groupchat to the room."""
    state, facts, stanza = ask.state, ask.facts, ask.stanza
    occupant = state.occupants.get(stanza.from_)
    if ask.nick:
        raise StanzaError("bad-request", "what is for one occupant is no groupchat")
    if occupant is None:
        raise StanzaError("not-acceptable", "you are not in this room", type="cancel")
    if is_subject(stanza):
        return _subject(ask, occupant)
    if occupant.seat.role < Role.PARTICIPANT:
        raise StanzaError("forbidden", "you have no voice in this room")
    ask.paced(occupant)
    if len(stanza.inner) > facts.options.message_bytes:
        raise StanzaError("policy-violation", f"a message has at most {facts.options.message_bytes} bytes")
    slow = state.config.slow_seconds > 0 and _slowed(ask, occupant)
    inner, payloads = cleaned(stanza, state.jid)
    said = _said(ask, occupant, inner, payloads)
    # (what the room adds says nothing by itself)
    lasts = durable(stanza)
    archived = lasts and state.config.archive and not stanza.has(HINTS, "no-permanent-store")
    steps: list[c.Step] = [c.Spoke(occupant, said, archived, lasts, facts.now, slow)]
    if stanza.has(RETRACT, "retract"):
        steps += retracted(ask, occupant)
    return steps


def _said(ask: Ask, occupant: Occupant, inner: bytes, payloads: Payloads) -> Stanza:
    """The message as all get it: from the occupant JID, with the id of its sender, and the occupant id."""
    kind, type_, _, _, id_, lang, attrs, _, _ = ask.stanza
    seat = occupant.seat
    fields = (
        kind,
        type_,
        "",
        seat.from_,
        id_ or ask.facts.token,
        lang,
        attrs,
        (*payloads, _MARK),
        inner + seat.mark,
    )
    stanza: Stanza = _new(Stanza, fields)
    return stanza


def _slowed(ask: Ask, occupant: Occupant) -> bool:
    """Whether slow mode counts the message (XEP-0500 section 4). Raises StanzaError when it comes too soon."""
    if ask.affiliation >= Affiliation.ADMIN or not ask.stanza.has(ns.CLIENT, "body"):
        return False
    seconds = ask.state.config.slow_seconds
    last = ask.state.spoke.get(occupant.bare)
    if last is not None and ask.facts.now - last < seconds:
        text = f"slow mode: {seconds} seconds between two messages"
        raise StanzaError("policy-violation", text, type="wait")
    return True


def _subject(ask: Ask, occupant: Occupant) -> list[c.Step]:
    state = ask.state
    options: Options = ask.facts.options
    need = Role.PARTICIPANT if state.config.change_subject else Role.MODERATOR
    if occupant.seat.role < need:
        raise StanzaError("forbidden", "you may not set the subject")
    ask.paced(occupant)
    inner, payloads = cleaned(ask.stanza, state.jid)
    if len(inner) > options.message_bytes:
        raise StanzaError("policy-violation", f"a message has at most {options.message_bytes} bytes")
    subjects = [one for one in ask.stanza.elements() if (one.ns, one.name) == _SUBJECT]
    text = "".join([one.xml() for one in subjects]).encode()
    if sum(len(one.text.encode()) for one in subjects) > options.subject_bytes:
        raise StanzaError("policy-violation", f"a subject has at most {options.subject_bytes} bytes")
    subject = Subject(text, (_SUBJECT,) * len(subjects), occupant.seat.from_, ask.facts.now)
    return [
        c.SubjectSet(occupant, subject, _said(ask, occupant, inner, payloads)),
        Note("subject_set", ask.bare, state.jid),
    ]

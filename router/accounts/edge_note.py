"""The router's own state of a session as the opaque bytes that its edge keeps (`Note`, `MirrorSession.note`)."""

from __future__ import annotations

from typing import Final

import msgpack

from rookery.router.accounts.postponed import Postponed
from rookery.router.accounts.session import MAX_DIRECTED, Session
from rookery.shared.xmpp.stanza import Stanza

#: Format of a note. A note of another version is ignored: the session then stands as bound and unavailable.
VERSION: Final = 1
#: (a packer of its own for each note would take a megabyte each time)
_pack: Final = msgpack.Packer().pack


def pack(session: Session) -> bytes:
    """Pack presence, its order, marks, directed targets, whether its client is inactive, and which notifications it wants."""
    postponed = session.postponed
    packed: bytes = _pack(
        (
            VERSION,
            session.presence,
            session.priority,
            session.since,
            session.marks,
            tuple(session.directed or ()),
            None if postponed is None else (bool(postponed), postponed.gone),
            *(() if session.wants is None else (tuple(session.wants),)),
        )
    )
    return packed


def unpack(note: bytes, session: Session) -> bool:
    """Restore what `pack` packed; False (and an untouched session) when the note is empty or cannot be read."""
    if not note:
        return False
    try:
        version, presence, priority, since, marks, directed, inactive, *more = msgpack.unpackb(
            note, use_list=False
        )
        if version != VERSION:
            return False
        postponed = None
        if inactive is not None:
            postponed = Postponed(bool(inactive[0]), [str(sender) for sender in inactive[1][:MAX_DIRECTED]])
        stanza = None if presence is None else Stanza.unpack(presence)
        targets = {str(target): False for target in directed[:MAX_DIRECTED]}
        named = tuple(str(mark) for mark in marks)
        numbers = int(priority), int(since)
        wants = frozenset(str(name) for name in more[0]) if more else None
    except (ValueError, TypeError, IndexError, msgpack.exceptions.UnpackException):
        return False
    session.presence = stanza
    session.priority, session.since = numbers
    session.marks = named
    session.directed = targets or None
    session.postponed = postponed
    session.wants = wants
    session.noted = note
    return True

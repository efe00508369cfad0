"""The packed form of a session without a socket (XEP-0198), as its row in the database has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgpack

from rookery.router.accounts.edge_note import pack, unpack
from rookery.router.accounts.kept import OVERHEAD, Kept, Parcel
from rookery.router.accounts.resumable import Resumable
from rookery.router.accounts.session import Session
from rookery.shared.bus.messages import Management, Origin
from rookery.shared.xmpp.stanza import Stanza

#: Format of a packed session. One of another version is ignored: its client must bind again.
VERSION: Final = 2


def pack_session(session: Session, now: float, epoch: int, told: Sequence[tuple[bytes, int]] = ()) -> bytes:
    """The row of a session without a socket `now` (Unix seconds): everything but its name, grant and stream. `epoch` is that of its holder.

    `told`: of which nodes it was told lately; whoever reads the row finds that in `Session.heard`.
    """
    resumable = session.resumable
    assert resumable is not None
    kept = [
        (n, stanza, to, origin.stream, origin.n, at, row, owed)
        for n, (stanza, origin, at, _, row, owed), to in session.kept
    ]
    return bytes(
        msgpack.packb(
            (
                VERSION,
                pack(session),
                session.n,
                session.acked,
                resumable.describe(),
                kept,
                [*session.heard.items(), *told],
                resumable.known,
                *((resumable.copied, resumable.copier) if resumable.copied > 0.0 else (now, epoch)),
            )
        )
    )


def unpack_session(full: str, grant: int, stream: bytes, state: bytes) -> Session | None:
    """The session of a row; None when it cannot be read. What several sessions had been given is no longer known as such."""
    try:
        version, note, n, acked, management, kept, *more = msgpack.unpackb(state, use_list=False)
        if version not in (VERSION, VERSION - 1):
            return None
        session = Session(full, grant, "", 0, stream)
        session.n, session.acked = int(n), int(acked)
        session.resumable = Resumable.of(Management(*management))
        unpack(note, session)
        session.heard.update(more[0] if more else ())
        session.resumable.known = int(more[1]) if len(more) > 1 and more[1] >= 0 else session.n
        session.resumable.copied = float(more[2]) if len(more) > 2 else 0.0
        session.resumable.copier = int(more[3]) if len(more) > 3 else 0
        for one in kept:
            session.kept.append(_kept(one))
            session.kept_bytes += len(session.kept[-1].parcel.stanza.inner) + OVERHEAD
    except (ValueError, TypeError, IndexError, msgpack.exceptions.UnpackException):
        return None
    return session


def _kept(fields: Any) -> Kept:
    n, stanza, to, stream, origin_n, at, row, owed = fields
    return Kept(n, Parcel(Stanza.unpack(stanza), Origin(stream, origin_n, ""), at, None, row, owed), to)

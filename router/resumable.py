"""What a router keeps of a resumable stream (XEP-0198) besides its session, and the packed form of a session without a socket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgpack

from rookery.router.notes import pack, unpack
from rookery.router.sessions import OVERHEAD, Kept, Session
from rookery.shared.bus.messages import Management
from rookery.shared.xmpp.stanza import Stanza

#: Format of a packed session. One of another version is ignored: its client must bind again.
VERSION: Final = 1


class Resumable:
    """The stream's SM-ID, its numbers, and how it sleeps.

    `base_in` and `base_out` are where the client began to count, `frontier` the highest inbound number that is handled and may have been
    acknowledged. `requests` are as in Frontier.
    """

    __slots__ = (
        "base_in", "base_out", "former", "frontier", "requests", "seconds", "store_at", "stored", "token", "until",
    )  # fmt: skip

    def __init__(self, token: bytes, seconds: int, base_in: int, base_out: int) -> None:
        self.token = token
        self.seconds = seconds
        self.base_in = base_in
        self.base_out = base_out
        self.frontier = base_in
        self.requests: tuple[tuple[str, str, int], ...] = ()
        #: While it sleeps: when it ends (the router's ticks); the edge that still has its mirror, as (edge, sid).
        self.until = 0.0
        self.former = ("", 0)
        #: When its row has to be written (0.0: it is as it should be), and whether there is one.
        self.store_at = 0.0
        self.stored = False

    def describe(self) -> Management:
        """For an edge."""
        return Management(self.token, self.seconds, self.base_in, self.base_out, self.frontier, self.requests)

    @staticmethod
    def of(management: Management) -> Resumable:
        """What an edge's mirror says."""
        resumable = Resumable(
            bytes(management.token), management.seconds, management.base_in, management.base_out
        )
        resumable.frontier = max(management.frontier, management.base_in)
        resumable.requests = tuple((id_, to, deadline) for id_, to, deadline in management.requests)
        return resumable

    def answered(self, gone: Iterable[Kept]) -> None:
        """The client has these, or will have them: requests of its own that they answer are open no more."""
        answers = {
            (one.stanza.id, one.stanza.from_)
            for one in gone
            if one.stanza.kind == "iq" and one.stanza.type in ("result", "error")
        }
        if answers:
            ids = {id_ for id_, sender in answers if "/" not in sender}
            self.requests = tuple(
                request
                for request in self.requests
                if (request[0], request[1]) not in answers and (request[1] or request[0] not in ids)
            )


def pack_session(session: Session) -> bytes:
    """The row of a session without a socket: everything but its name, grant and stream."""
    resumable = session.resumable
    assert resumable is not None
    kept = [
        (one.n, one.stanza, one.to, one.stream, one.origin_n, one.at, one.row, one.owed)
        for one in session.kept
    ]
    return bytes(
        msgpack.packb((VERSION, pack(session), session.n, session.acked, resumable.describe(), kept))
    )


def unpack_session(full: str, grant: int, stream: bytes, state: bytes) -> Session | None:
    """The session of a row; None when it cannot be read. What several sessions had been given is no longer known as such."""
    try:
        version, note, n, acked, management, kept = msgpack.unpackb(state, use_list=False)
        if version != VERSION:
            return None
        session = Session(full, grant, "", 0, stream)
        session.n, session.acked = int(n), int(acked)
        session.resumable = Resumable.of(Management._make(management))
        unpack(note, session)
        for one in kept:
            session.kept.append(_kept(one))
            session.kept_bytes += len(session.kept[-1].stanza.inner) + OVERHEAD
    except (ValueError, TypeError, IndexError, msgpack.exceptions.UnpackException):
        return None
    return session


def _kept(fields: Any) -> Kept:
    n, stanza, to, stream, origin_n, at, row, owed = fields
    return Kept(n, Stanza.unpack(stanza), to, stream, origin_n, at, None, row, owed)

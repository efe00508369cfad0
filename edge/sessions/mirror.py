"""The edge's copy of what a session has been sent: it outlives the router that numbered it.

A pure machine for each session. The router numbers deliveries densely from 1; the edge takes exactly the next number,
writes it, and says `Acked` once it left. A new holder of the partition asks for all this with MirrorRequest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final

from rookery.edge.sessions.recent_messages import RecentMessages
from rookery.shared.bus.messages import NODE, ROOM, Management, Mirror, MirrorSession
from rookery.shared.xmpp.stanza import Stanza

#: Bytes of messages in one session's description, and in one chunk: both have to fit into a bus message.
MAX_BYTES: Final = 262_144
#: What a stanza weighs besides its inner XML.
OVERHEAD: Final = 500
#: Rooms of one session whose numbers are remembered.
MAX_ROOMS: Final = 1024


class Verdict(Enum):
    """What to do with a delivery."""

    TAKE = "take"
    #: We have it: a router repeats after a lost batch.
    REPEATED = "repeated"
    #: A number before it is missing: it will be repeated after that one.
    HOLE = "hole"
    #: From an older binding of the resource, or from a router that does not hold the partition any more.
    STALE = "stale"


class SessionMirror:
    """Numbers of one session: `n` taken, `acked` written; (stream, number) of what lies between."""

    __slots__ = (
        "_between",
        "_late",
        "_partition",
        "_rows",
        "_seen",
        "_stream",
        "acked",
        "grant",
        "heard",
        "managed",
        "n",
        "note",
    )

    def __init__(
        self, grant: int, late: RecentMessages | None = None, partition: int = 0, stream: bytes = b""
    ) -> None:
        self.grant = grant
        self._stream = stream
        self._partition = partition
        #: Remembers for a while what was acknowledged.
        self._late = late
        self.n = 0
        self.acked = 0
        self.note = b""
        #: Acknowledged by the client (XEP-0198), not by its socket: everything is kept until then, not only messages.
        self.managed = False
        # Made when needed: an idle session has nothing between.
        self._between: dict[int, tuple[bytes, int, Stanza | None]] | None = None
        #: Stored messages, (n, archive id), of a while ago too: a router may die before it has settled what was written.
        self._rows: deque[tuple[int, int]] | None = None
        self._seen = 0
        #: The highest acknowledged number of each room's stream; who has heard that has heard all before it.
        self.heard: dict[bytes, int] | None = None

    def take(
        self, grant: int, n: int, origin_stream: bytes, origin_n: int, stanza: Stanza, to: str | None = None
    ) -> Verdict:
        """Judge delivery `n`; when it is TAKE, it counts as taken and must be written. Messages are kept until then.

        `to` overrides the stanza's address.
        """
        if grant != self.grant:
            return Verdict.STALE
        if n != self.n + 1:
            return Verdict.REPEATED if n <= self.n else Verdict.HOLE
        self.n = n
        message: Stanza | None = None
        # (what a room says has no other way than this session)
        if self.managed or (stanza.kind == "message" and not origin_stream.startswith(ROOM)):
            # Whoever is told of it later must know whom it was for.
            message = stanza if to is None else stanza.replace(to=to)
        if origin_n or message is not None:
            if self._between is None:
                self._between = {}
            self._between[n] = (origin_stream, origin_n, message)
            if not origin_stream and origin_n:
                if self._rows is None:
                    self._rows = deque()
                self._rows.append((n, origin_n))
        return Verdict.TAKE

    def written(self, n: int) -> bool:
        """Everything up to `n` has left the server. True when the router does not know that yet."""
        if n <= self.acked:
            return False
        between = self._between
        if between is not None:
            late = self._late
            for number in range(self.acked + 1, n + 1):
                left = between.pop(number, None)
                if left is not None and late is not None and left[0]:
                    stream, origin_n, message = left
                    if stream.startswith(ROOM):
                        self._heard_of(stream, origin_n)
                    elif message is not None and message.kind == "message":
                        late.add(self._partition, stream, origin_n, message)
                        if stream.startswith(NODE):
                            late.add_told(self._stream, stream, origin_n)
                    else:
                        late.add_iq(self._partition, stream, origin_n)
            if not between:
                self._between = None
        self.acked = n
        return True

    def _heard_of(self, stream: bytes, n: int) -> None:
        heard = self.heard
        if heard is None:
            heard = self.heard = {}
        elif len(heard) >= MAX_ROOMS and stream not in heard:
            del heard[next(iter(heard))]
        heard[stream] = n

    def take_over(self, heard: Iterable[tuple[bytes, int]]) -> None:
        """What the session has heard of rooms and nodes elsewhere, (stream, number): it goes on here."""
        rooms = {}
        for stream, n in heard:
            if not stream.startswith(NODE):
                rooms[stream] = n
            elif self._late is not None:
                self._late.add_told(self._stream, stream, n)
        self.heard = rooms or None

    def inflight(self) -> list[tuple[int, bytes, int]]:
        """(n, origin stream, origin n) of what was taken and is not acked, in order."""
        return [(n, stream, origin_n) for n, (stream, origin_n, _) in (self._between or {}).items()]

    def messages(self) -> list[tuple[int, Stanza]]:
        """(n, stanza) of the messages among them, the oldest first, as many as fit into one item."""
        kept: list[tuple[int, Stanza]] = []
        room = MAX_BYTES
        for n, (_, _, message) in (self._between or {}).items():
            if message is not None:
                room -= len(message.inner) + OVERHEAD
                if room < 0:
                    break
                kept.append((n, message))
        return kept

    def age(self) -> bool:
        """Forget the stored messages that were written before the last call; True when none is left."""
        rows, self._seen, seen = self._rows, self.acked, self._seen
        while rows and rows[0][0] <= seen:
            rows.popleft()
        if not rows:
            self._rows = None
        return not rows

    def describe(self, sid: int, stream: bytes, full: str) -> MirrorSession:
        """This session for a new holder."""
        return self._session(sid, stream, full, self._settling() + self.inflight(), self.messages(), ())

    def _heard(self) -> tuple[tuple[bytes, int], ...]:
        rooms = () if self.heard is None else tuple(self.heard.items())
        return rooms if self._late is None else rooms + self._late.told_of(self._stream)

    def _settling(self) -> list[tuple[int, bytes, int]]:
        return [(n, b"", row) for n, row in self._rows or () if n <= self.acked]

    def parts(self, sid: int, stream: bytes, full: str, managed: Management) -> Iterator[MirrorSession]:
        """A resumable session for a new holder: told whole, in as many parts as it takes."""
        inflight = self._settling()
        stanzas: list[tuple[int, Stanza]] = []
        room = MAX_BYTES
        for n, (origin_stream, origin_n, stanza) in (self._between or {}).items():
            assert stanza is not None
            size = len(stanza.inner) + OVERHEAD
            if stanzas and size > room:
                yield self._session(sid, stream, full, inflight, stanzas, (managed,))
                inflight, stanzas, room = [], [], MAX_BYTES
            room -= size
            inflight.append((n, origin_stream, origin_n))
            stanzas.append((n, stanza))
        yield self._session(sid, stream, full, inflight, stanzas, (managed,))

    def _session(
        self,
        sid: int,
        stream: bytes,
        full: str,
        inflight: list[tuple[int, bytes, int]],
        stanzas: list[tuple[int, Stanza]],
        managed: tuple[Management, ...],
    ) -> MirrorSession:
        return MirrorSession(
            sid,
            stream,
            full,
            self.grant,
            self.n,
            self.acked,
            self.note,
            inflight,
            stanzas,
            managed,
            self._heard(),
        )


def chunks(
    edge: str,
    partition: int,
    sessions: Iterable[MirrorSession],
    max_sessions: int = 256,
    max_inflight: int = 4096,
    max_bytes: int = MAX_BYTES,
) -> Iterator[Mirror]:
    """The answer to a MirrorRequest: bounded chunks, exactly one of which is the `last`."""
    chunk: list[MirrorSession] = []
    inflight = size = 0
    for session in sessions:
        more = sum(len(stanza.inner) + OVERHEAD for _, stanza in session.stanzas)
        if chunk and (
            len(chunk) >= max_sessions
            or inflight + len(session.inflight) > max_inflight
            or size + more > max_bytes
        ):
            yield Mirror(edge, partition, chunk, False)
            chunk, inflight, size = [], 0, 0
        chunk.append(session)
        inflight += len(session.inflight)
        size += more
    yield Mirror(edge, partition, chunk, True)

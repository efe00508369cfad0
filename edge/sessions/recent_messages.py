"""Messages and iqs that have left a session lately: their router may have died before it committed them, or before it said so.

A pure machine for the whole edge. A client may acknowledge a message sooner than Postgres. When the router dies in between, the sender's
edge sends the message again, and the next holder must know that it was delivered: it stores it, and delivers nothing. A request or an answer, too, may come again to the next
holder, from who does not know that it arrived (the bus of a worker, a client that resumes its stream): of these the uids are enough. And who tells of nodes tells again what it
has told lately, which is longer ago: of that, which session was told how far. Of messages, too, the uids are remembered for longer: a sender whose own
edge and router were away for a while sends again what was committed long ago.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from rookery.shared.bus.messages import Mirror
from rookery.shared.custody.told_nodes import ToldNodes
from rookery.shared.xmpp.stanza import Stanza

#: What is remembered at least so long, and for as long as commits are slow: a takeover fits in.
SECONDS: Final = 8.0
#: What sessions were told of nodes is remembered at least so long: workers tell again what is younger (`workers.pubsub`).
TOLD_SECONDS: Final = 45.0
#: Beyond so many notifications it is remembered for a shorter time.
MAX_TOLD: Final = 65536
#: So long the uids of messages are remembered at least, and beyond so many for a shorter time.
GIVEN_SECONDS: Final = 60.0
MAX_GIVEN: Final = 65536
#: Beyond so many bytes it is remembered for a shorter time.
MAX_BYTES: Final = 16 * 1024 * 1024
#: What a stanza weighs besides its inner XML.
_OVERHEAD: Final = 500
_CHUNK_BYTES: Final = 262_144
#: What the uid of an iq weighs, and how many go into one chunk.
_UID_BYTES: Final = 200
_CHUNK_UIDS: Final = 4096

#: So many of the forgotten are freed for each that is added, and each second: both together keep up with any rate.
_FREED: Final = 2
_FREED_A_TICK: Final = 1000

#: (origin stream, origin n, stanza)
Left = tuple[bytes, int, Stanza]


class RecentMessages:
    """The newest deliveries that are acknowledged, in two generations."""

    __slots__ = (
        "_at",
        "_bytes",
        "_forgotten",
        "_given",
        "_given_at",
        "_given_count",
        "_iqs",
        "_old",
        "_older_given",
        "_older_iqs",
        "_told",
        "_told_at",
        "_told_count",
        "_young",
    )

    def __init__(self) -> None:
        self._young: list[Left] = []
        self._old: list[Left] = []
        #: What is no longer remembered: it goes a few at a time, since to free all of it at once stops an edge for 15 ms.
        self._forgotten: list[Left] = []
        #: Uids of iqs by the partition of who got them.
        self._iqs: dict[int, list[tuple[bytes, int]]] = {}
        self._older_iqs: dict[int, list[tuple[bytes, int]]] = {}
        #: Uids of messages, likewise.
        self._given: dict[int, list[tuple[bytes, int]]] = {}
        self._older_given: dict[int, list[tuple[bytes, int]]] = {}
        self._given_at, self._given_count = 0.0, 0
        self._bytes = 0
        self._at = 0.0
        self._told = ToldNodes()
        self._told_at, self._told_count = 0.0, 0

    def add(self, partition: int, stream: bytes, n: int, stanza: Stanza) -> None:
        """A message with this uid was acknowledged, by a session of this partition."""
        self._young.append((stream, n, stanza))
        self._add_given(partition, stream, n)
        forgotten = self._forgotten
        if forgotten:
            del forgotten[-_FREED:]
        self._grow(len(stanza.inner) + _OVERHEAD)

    def _add_given(self, partition: int, stream: bytes, n: int) -> None:
        given = self._given.get(partition)
        if given is None:
            given = self._given[partition] = []
        given.append((stream, n))
        self._given_count += 1
        if self._given_count >= MAX_GIVEN // 2:
            self._rotate_given()

    def _rotate_given(self) -> None:
        self._older_given, self._given = self._given, {}
        self._given_count = 0

    def add_iq(self, partition: int, stream: bytes, n: int) -> None:
        """An iq with this uid was acknowledged, by a session of this partition."""
        iqs = self._iqs.get(partition)
        if iqs is None:
            iqs = self._iqs[partition] = []
        iqs.append((stream, n))
        self._grow(_UID_BYTES)

    def add_told(self, session: bytes, node: bytes, n: int) -> None:
        """A session (its stream) has acknowledged number `n` of a node."""
        self._told.new(session, node, n)
        self._told_count += 1
        if self._told_count >= MAX_TOLD:
            self._rotate_told()

    def told_of(self, session: bytes) -> tuple[tuple[bytes, int], ...]:
        """(node, number): how far a session was told of nodes lately."""
        return self._told.of(session)

    def _rotate_told(self) -> None:
        self._told.rotate()
        self._told_count = 0

    def inherit(self, item: Mirror, partition_of: Callable[[str], int]) -> None:
        """What sessions have acknowledged at an edge that has ended, or when they resumed here."""
        for stream, n, packed in item.late:
            stanza = Stanza.unpack(packed)
            self.add(partition_of(stanza.to.partition("/")[0]), stream, n, stanza)
        for stream, n in item.given:
            self._add_given(item.partition, stream, n)
        for stream, n in item.iqs:
            self.add_iq(item.partition, stream, n)

    def legacy(self, edge: str) -> Iterator[Mirror]:
        """All that is remembered, for an edge that inherits it: in bounded chunks, messages of any partition together."""
        yield from self._messages(edge, 0, (*self._old, *self._young))
        partitions = self._older_iqs.keys() | self._iqs.keys() | self._older_given.keys() | self._given.keys()
        for partition in partitions:
            yield from self._uids(edge, partition)

    def _grow(self, size: int) -> None:
        self._bytes += size
        if self._bytes >= MAX_BYTES // 2:
            self.rotate()

    def tick(self, now: float, slow: bool = False) -> None:
        """Forget what is old at `now`, in seconds of any clock. Call it once a second.

        `slow`: commits take long just now, so what was acknowledged may have no row yet: nothing is forgotten for its age.
        """
        del self._forgotten[-_FREED_A_TICK:]
        if now - self._told_at >= TOLD_SECONDS:
            self._told_at = now
            self._rotate_told()
        if now - self._given_at >= GIVEN_SECONDS:
            self._given_at = now
            self._rotate_given()
        if slow:
            self._at = now
        elif now - self._at >= SECONDS:
            self._at = now
            self.rotate()

    def rotate(self) -> None:
        """Forget what is older than the last call."""
        self._forgotten += self._old
        self._old = self._young
        self._young = []
        self._older_iqs = self._iqs
        self._iqs = {}
        self._bytes = 0

    def chunks(self, edge: str, partition: int, partition_of: Callable[[str], int]) -> Iterator[Mirror]:
        """What concerns a partition, for its new holder: bounded chunks, none of which is the last of the answer."""
        everything = (*self._old, *self._young)
        its = (one for one in everything if partition_of(one[2].to.partition("/")[0]) == partition)
        yield from self._messages(edge, partition, its)
        yield from self._uids(edge, partition)

    @staticmethod
    def _messages(edge: str, partition: int, messages: Iterable[Left]) -> Iterator[Mirror]:
        chunk: list[Left] = []
        size = 0
        for one in messages:
            chunk.append(one)
            size += len(one[2].inner) + _OVERHEAD
            if size >= _CHUNK_BYTES:
                yield Mirror(edge, partition, (), False, chunk)
                chunk, size = [], 0
        if chunk:
            yield Mirror(edge, partition, (), False, chunk)

    def _uids(self, edge: str, partition: int) -> Iterator[Mirror]:
        iqs = [*self._older_iqs.get(partition, ()), *self._iqs.get(partition, ())]
        for at in range(0, len(iqs), _CHUNK_UIDS):
            yield Mirror(edge, partition, (), False, (), iqs[at : at + _CHUNK_UIDS])
        given = [*self._older_given.get(partition, ()), *self._given.get(partition, ())]
        for at in range(0, len(given), _CHUNK_UIDS):
            yield Mirror(edge, partition, (), False, (), (), given[at : at + _CHUNK_UIDS])

    def __len__(self) -> int:
        return len(self._old) + len(self._young)

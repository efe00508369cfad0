"""A new holder of a partition learns its sessions from the edges before it serves: MirrorRequest -> Mirror.

An edge that answers late, or that was given up and is back, has streams that the router does not know: those are ended, so that
their clients connect again instead of waiting for what never comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog
import trio

from rookery.router.account_cache import Accounts
from rookery.router.accounts.account import Account
from rookery.router.accounts.edge_note import unpack
from rookery.router.accounts.kept import GONE, OVERHEAD, Kept, Parcel
from rookery.router.accounts.resumable import Resumable
from rookery.router.accounts.session import MAX_DIRECTED, Session
from rookery.router.core import Core
from rookery.router.partition import CARBON, Part
from rookery.router.sessions.hibernation import Hibernation
from rookery.shared.bus.messages import (
    NODE,
    ROOM,
    End,
    Kind,
    Management,
    Mirror,
    MirrorRequest,
    MirrorSession,
    Origin,
)
from rookery.shared.xmpp.stanza import Stanza

_log = structlog.get_logger()

#: An edge that beats, but has not answered after this long, is not waited for any more; its sessions there must bind again. One that does
#: not beat is lost long before.
LIMIT: Final = 15.0
#: From then on the log tells who is waited for.
SLOW: Final = 3.0


class _Gathering:
    """The answers that one partition waits for."""

    __slots__ = ("done", "given", "iqs", "late", "missing", "part", "sessions")

    def __init__(self, part: Part, edges: list[str]) -> None:
        self.part = part
        self.missing = set(edges)
        self.sessions: list[tuple[str, MirrorSession]] = []
        self.late: list[tuple[bytes, int, Stanza]] = []
        self.iqs: list[tuple[bytes, int]] = []
        self.given: list[tuple[bytes, int]] = []
        self.done = trio.Event()
        self.check()

    def check(self) -> None:
        if not self.missing:
            self.done.set()


class Takeover:
    """Gathers mirrors and rebuilds sessions."""

    def __init__(self, core: Core, accounts: Accounts, hibernation: Hibernation) -> None:
        self._core = core
        self._hibernation = hibernation
        self._accounts = accounts
        self._gathering: dict[int, _Gathering] = {}
        self._tell_at = 0.0
        #: Called with a session that was rebuilt, and with one that slept and whose edge is back.
        self.on_restored: Callable[[Part, Account, Session], None] = _ignore
        self.on_attached: Callable[[Part, Account, Session], None] = _ignore

    async def gather(self, part: Part) -> Sequence[tuple[bytes, int, Stanza]]:
        """Ask all live edges and fill `part`; returns when each has answered, died, or had LIMIT seconds.

        Returns the messages (origin stream, origin n, stanza) that left their sessions lately.
        """
        edges = self._core.node.edges()
        gathering = self._gathering[part.number] = _Gathering(part, edges)
        try:
            for edge in edges:
                self._ask(edge, part)
            rows = await self._hibernation.load(part.number)
            with trio.move_on_after(LIMIT):
                with trio.move_on_after(SLOW):
                    await gathering.done.wait()
                if gathering.missing:
                    self._tell_awaited()
                    await gathering.done.wait()
        finally:
            if self._gathering.get(part.number) is gathering:
                del self._gathering[part.number]
        if gathering.missing:
            _log.warning("mirrors_missing", partition=part.number, edges=sorted(gathering.missing))
        for edge, mirrored in _whole(gathering.sessions):
            self._restore(part, edge, mirrored)
        for session, seconds in rows:
            self._wake(part, session, seconds)
        for stream, n, stanza in gathering.late:
            part.delivered(Origin(stream, n, ""), stanza.to)
        for stream, n in gathering.iqs:
            part.delivered(Origin(stream, n, ""), "")
        for stream, n in gathering.given:
            if stream.startswith(CARBON):
                part.delivered(Origin(stream, n, ""), "")
            else:
                part.given.add((stream, n))
        return gathering.late

    def _tell_awaited(self) -> None:
        """Once for all partitions that wait by now: they were mostly taken over together."""
        now = self._core.ticks()
        if now >= self._tell_at:
            self._tell_at = now + SLOW
            waiting = [one.missing for one in self._gathering.values() if one.missing]
            _log.info("mirrors_awaited", partitions=len(waiting), edges=sorted(set().union(*waiting)))

    def _ask(self, edge: str, part: Part) -> None:
        request = MirrorRequest(part.number, part.epoch, self._core.node.incarnation)
        self._core.bus.post_to(edge, request, partition=part.number, epoch=part.epoch)

    def found(self, incarnation: str, kinds: frozenset[Kind]) -> None:
        """An edge was not known to live: new, or given up and back, or not heard of when its sessions were gathered."""
        if Kind.EDGE in kinds:
            for gathering in self._gathering.values():
                gathering.missing.add(incarnation)
                self._ask(incarnation, gathering.part)
            for part in self._core.parts.values():
                self._ask(incarnation, part)

    def on_mirror(self, item: Mirror) -> None:
        """A chunk of an edge's answer."""
        gathering = self._gathering.get(item.partition)
        if gathering is None:
            part = self._core.parts.get(item.partition)
            if part is not None:
                self._compare(part, item)
            return
        if item.edge not in gathering.missing:
            return
        gathering.late.extend((stream, n, Stanza.unpack(stanza)) for stream, n, stanza in item.late)
        gathering.iqs.extend((stream, n) for stream, n in item.iqs)
        gathering.given.extend((stream, n) for stream, n in item.given)
        gathering.sessions.extend((item.edge, MirrorSession._make(one)) for one in item.sessions)
        if item.last:
            gathering.missing.discard(item.edge)
            gathering.check()

    def lost(self, edge: str) -> None:
        """An edge died: its sessions are gone but for those that can be resumed, and nobody waits for it."""
        for gathering in self._gathering.values():
            gathering.missing.discard(edge)
            gathering.sessions = [
                one if one[0] != edge else ("", one[1])
                for one in gathering.sessions
                if one[0] != edge or one[1].managed
            ]
            gathering.check()

    def _compare(self, part: Part, item: Mirror) -> None:
        """It came too late, or from an edge that was given up and is back.

        Sessions that slept meanwhile go on there; streams that have no session any more must bind again.
        """
        for fields in item.sessions:
            mirrored = MirrorSession._make(fields)
            bare, _, resource = mirrored.full.partition("/")
            account = part.accounts.get(bare)
            session = None if account is None else account.resources.current(resource, mirrored.grant)
            resumable = None if session is None else session.resumable
            # (it may have gone on at that edge after the copy was made that is the session here)
            outdated = resumable is not None and 0 <= resumable.known < mirrored.n
            if account is None or session is None or (outdated and not session.edge):
                end = End(mirrored.sid, mirrored.grant, "reset", "session lost", mirrored.stream)
                self._core.bus.post_to(item.edge, end, partition=part.number, epoch=part.epoch)
            elif not session.edge and mirrored.managed and not Management(*mirrored.managed[0]).asleep:
                if resumable is not None:
                    resumable.known, resumable.copied = -1, 0.0
                self._hibernation.woke(session)
                session.edge, session.sid = item.edge, mirrored.sid
                self.on_attached(part, account, session)

    def _wake(self, part: Part, session: Session, seconds: float) -> None:
        """A session that slept under the former holder. Its row knows more than the mirror of its former edge."""
        _split(part, session)
        bare = session.full.partition("/")[0]
        account = part.accounts.get(bare) or self._accounts.adopt(part, bare)
        other = account.resources.by_resource.get(session.resource)
        if other is not None and (
            other.grant > session.grant
            or (other.grant == session.grant and (other.edge or other.n > session.n))
        ):
            # It went on, and the row is a former holder's leftover.
            self._complete(part, account, other, session)
            if other.edge or other.grant > session.grant:
                self._hibernation.forget_row(session.full, session.grant)
            elif other.resumable is not None:
                other.resumable.row = True  # (it is written anew)
            return
        resumable = session.resumable
        assert resumable is not None
        if other is not None:
            self._hibernation.forget(other)
            account.resources.remove(other)
            self._core.count.sessions -= 1
            if other.resumable is not None and other.grant == session.grant:
                resumable.frontier = max(resumable.frontier, other.resumable.frontier)
                resumable.former = other.resumable.former
        for one in session.kept:
            self._given(part, session, one)
        account.resources.restore(session)
        self._core.count.sessions += 1
        self._core.count.restored += 1
        self._hibernation.sleep(part, account, session, seconds)
        self.on_restored(part, account, session)

    def _complete(self, part: Part, account: Account, session: Session, row: Session) -> None:
        """A former holder died before the edge had all that the session's row has: it comes behind, under the same numbers."""
        if row.stream != session.stream or row.n <= session.n:
            return
        for one in row.kept:
            if one.n == session.n + 1:
                session.n = one.n
                session.kept.append(one)
                session.kept_bytes += len(one.parcel.stanza.inner) + OVERHEAD
                self._given(part, session, one)
        self.on_attached(part, account, session)

    @staticmethod
    def _given(part: Part, session: Session, one: Kept) -> None:
        origin = one.parcel.origin
        if origin.stream.startswith(ROOM):
            session.hear(origin.stream, origin.n)
        elif origin.stream:
            part.delivered(origin, one.to or one.parcel.stanza.to or session.full)
            _told(part, session, origin)

    def _restore(self, part: Part, edge: str, mirrored: MirrorSession) -> None:
        bare = mirrored.full.partition("/")[0]
        account = part.accounts.get(bare) or self._accounts.adopt(part, bare)
        session = Session(mirrored.full, mirrored.grant, edge, mirrored.sid, mirrored.stream)
        session.n, session.acked = mirrored.n, mirrored.acked
        unpack(mirrored.note, session)
        now = self._core.clock()
        for stream, heard in mirrored.heard:
            if stream.startswith(NODE):
                part.told.new(session.stream, stream, heard)
            else:
                session.hear(stream, heard)
        _split(part, session)
        # Where the edge still has the stanza, it finds another way should this session die.
        stanzas = dict(mirrored.stanzas)
        for n, stream, origin_n in mirrored.inflight:
            if n <= session.acked:
                # Stored, and written to the client; settled again once the account is loaded.
                account.settled = account.settled or set()
                account.settled.add(origin_n)
                continue
            stanza = stanzas.get(n, GONE)
            row = 0 if stream else origin_n
            origin = Origin(stream, origin_n, "")
            one = Kept(n, Parcel(stanza, origin, now, None, row, bool(row)))
            session.kept.append(one)
            session.kept_bytes += len(stanza.inner) + OVERHEAD
            self._given(part, session, one)
        loser = account.resources.restore(session)
        if loser is None:
            self._core.count.sessions += 1
        elif account.resources.by_resource[session.resource].grant != loser.grant:
            # The former router has said so, but may have died before it was heard.
            end = End(loser.sid, loser.grant, "conflict", "replaced by a new connection", loser.stream)
            self._core.bus.post_to(loser.edge, end, partition=part.number, epoch=part.epoch)
        self._core.count.restored += 1
        if mirrored.managed and account.resources.by_resource.get(session.resource) is session:
            management = Management(*mirrored.managed[0])
            session.resumable = Resumable.of(management)
            if management.asleep or not edge:
                session.resumable.known = session.n
                self._hibernation.sleep(part, account, session)
        self.on_restored(part, account, session)


def _whole(parts: list[tuple[str, MirrorSession]]) -> list[tuple[str, MirrorSession]]:
    """Sessions that were told in several parts, or once more after the link began anew, each in one: what was told last is so."""
    whole: dict[tuple[bytes, int], tuple[str, MirrorSession]] = {}
    for edge, part in parts:
        binding = part.stream, part.grant
        if binding in whole:
            before = whole[binding][1]
            known = {n for n, _, _ in part.inflight}
            # What its client has meanwhile is not in flight any more; rows are still to be settled.
            more = [
                one
                for one in before.inflight
                if one[0] not in known and not (one[1] and one[0] <= part.acked)
            ]
            inflight = sorted((*more, *part.inflight), key=_number)
            heard = (*before.heard, *part.heard)
            part = part._replace(inflight=inflight, stanzas=(*before.stanzas, *part.stanzas), heard=heard)
        whole[binding] = edge, part
    return list(whole.values())


def _split(part: Part, session: Session) -> None:
    """What a session was told of nodes came together with what it has heard of rooms.

    A session that was let into a room has heard so, and its edge knows: what it has not heard of may be an entrance that is under way.
    """
    if len(session.heard) >= MAX_DIRECTED:
        session.forgotten()
    for stream in [stream for stream in session.heard if stream.startswith(NODE)]:
        part.told.new(session.stream, stream, session.heard.pop(stream))


def _told(part: Part, session: Session, origin: Origin) -> None:
    """A notification of a node was given to the session by a former holder."""
    if origin.stream.startswith(NODE):
        part.told.new(session.stream, origin.stream, origin.n)


def _number(inflight: tuple[int, bytes, int]) -> int:
    return inflight[0]


def _ignore(part: Part, account: Account, session: Session) -> None:
    pass

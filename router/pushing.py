"""Gives stanzas to sessions: numbers them, keeps them, posts them to the edge, and repeats them after a lost link."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from rookery.router.core import Core
from rookery.router.part import Account, Part
from rookery.router.sessions import MAX_KEPT, MAX_KEPT_BYTES, Fate, Session
from rookery.shared.bus.messages import Deliver, DeliverMany, Fanout, Kind, ToResources, ToSession
from rookery.shared.xeps import client_state
from rookery.shared.xeps.blocking import matches
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

_EDGE: Final = Kind.EDGE
#: Deliver's own constructor is a Python function around this call.
_new: Final = tuple.__new__


class Pushing:
    """Everything that a session is sent passes here."""

    def __init__(self, core: Core) -> None:
        self._core = core
        #: Called with a session that keeps so much that it must be ended.
        self.on_overrun: Callable[[Part, Session], None] = _ignore
        self._overrun: list[tuple[Part, Session]] = []
        #: Called with a session without a socket that something was kept for.
        self.on_asleep: Callable[[Part, Session], None] = _ignore
        self._most_held = core.node.config.options(client_state.Options)
        #: Inactive sessions that something was held back from (XEP-0352) since the last look.
        self.held_lately: dict[Session, Part] = {}

    def push(
        self,
        part: Part,
        session: Session,
        stanza: Stanza,
        stream: bytes,
        origin_n: int,
        at: float,
        *,
        fate: Fate | None = None,
        row: int = 0,
        owed: bool = False,
        like: Stanza | None = None,
    ) -> None:
        """Send one stanza to one session, or hold it back. `like` is the message that a copy of ours wraps; `row`, `owed` as in Kept."""
        if session.held is not None and self._held_back(part, session, stanza, "", like):
            return
        n = session.give(stanza, stream, origin_n, at, "", fate, row, owed)
        core = self._core
        if session.edge:
            core.bus.post_to(
                session.edge,
                _new(Deliver, (session.sid, session.grant, n, stream, origin_n, stanza)),
                kind=_EDGE,
                partition=part.number,
                epoch=part.epoch,
            )
        else:
            self.on_asleep(part, session)
        core.count.local += 1
        if len(session.kept) >= MAX_KEPT or session.kept_bytes >= MAX_KEPT_BYTES:
            self._full(part, session)

    def _held_back(
        self, part: Part, session: Session, stanza: Stanza, to: str, like: Stanza | None = None
    ) -> bool:
        """Whether an inactive client is spared this; else it first gets what waits."""
        held = session.held
        assert held is not None
        if not held.hold(stanza, to, like):
            self.give_held(part, session)
            return False
        if held.exceeds(self._most_held):
            self.give_held(part, session)
        else:
            self.held_lately[session] = part
        return True

    def give_held(self, part: Part, session: Session) -> None:
        """Number and send all that waits for an inactive client."""
        held = session.held
        session.held = None
        assert held is not None
        for stanza, to in held.drain():
            if to:
                self.spread(part, stanza, ((session, to),))
            else:
                self.push(part, session, stanza, b"", 0, 0.0)
        session.held = held

    def _full(self, part: Part, session: Session) -> None:
        """From here on its messages go to the store, until the edge has caught up: then they are given to it.

        Stored messages are given to available resources only; one that is not keeps all it is sent, up to its end.
        """
        if session.presence is not None and session.priority >= 0:
            session.stalled = session.behind = True
        if session.overrun:
            # Not now: whoever pushes may be in the middle of the account's sessions.
            self._overrun.append((part, session))

    def end_overrun(self) -> None:
        """End the sessions that do not take what they are sent."""
        overrun, self._overrun = self._overrun, []
        for part, session in overrun:
            self.on_overrun(part, session)

    def spread(self, part: Part, stanza: Stanza, targets: Iterable[tuple[Session, str]]) -> None:
        """Send one stanza to many sessions, each with its own `to`: one item for each edge."""
        by_edge: dict[str, list[tuple[int, int, int, str]]] = {}
        for session, to in targets:
            if session.held is not None and self._held_back(part, session, stanza, to):
                continue
            n = session.give(stanza, b"", 0, 0.0, to)
            if session.edge:
                by_edge.setdefault(session.edge, []).append((session.sid, session.grant, n, to))
            else:
                self.on_asleep(part, session)
            self._core.count.local += 1
            if session.full_up:
                self._full(part, session)
        for edge, list_ in by_edge.items():
            self._core.bus.post_to(
                edge, DeliverMany(stanza, list_), kind=_EDGE, partition=part.number, epoch=part.epoch
            )

    def repeat(self, part: Part, session: Session) -> None:
        """The link to its edge lost what was on the way: send again what the edge has not reported."""
        for one in session.kept:
            stanza = one.stanza.replace(to=one.to) if one.to else one.stanza
            if stanza.kind:
                self._core.bus.post_to(
                    session.edge,
                    Deliver(session.sid, session.grant, one.n, one.stream, one.origin_n, stanza),
                    kind=_EDGE,
                    partition=part.number,
                    epoch=part.epoch,
                )

    # --- items from workers ------------------------------------------------------------------------------------------

    def on_fanout(self, part: Part, item: Fanout) -> None:
        """One presence for many accounts. Accounts of other partitions of this process may be among them."""
        stanza = item.stanza
        elsewhere: dict[int, list[str]] = {}
        here: dict[int, tuple[Part, list[tuple[Session, str]]]] = {}
        partition_of = self._core.node.partition
        for bare in item.recipients:
            number = partition_of(bare)
            its = part if number == part.number else self._core.parts.get(number)
            if its is None:
                elsewhere.setdefault(number, []).append(bare)
                continue
            account = its.accounts.get(bare)
            # An account that is not in the cache has no sessions.
            if account is None or not account.resources.by_resource:
                continue
            if account.waiting is not None:
                account.waiting.append((self.on_fanout, Fanout(stanza, (bare,))))
                continue
            if self._refuses(account, stanza.from_):
                continue
            targets = here.setdefault(number, (its, []))[1]
            targets.extend((session, bare) for session in account.resources.available())
        for its, targets in here.values():
            self.spread(its, stanza, targets)
        for number, recipients in elsewhere.items():
            self._core.bus.post(Kind.ROUTER, number, Fanout(stanza, recipients))

    @staticmethod
    def _refuses(account: Account, sender: str) -> bool:
        blocked = account.blocked
        return blocked is not None and sender.partition("/")[0] != account.bare and matches(blocked, sender)

    def on_to_resources(self, part: Part, item: ToResources) -> None:
        """Give a stanza to some of an account's resources (roster pushes, subscription requests)."""
        account = part.accounts.get(item.account)
        if account is None:
            return
        for session in list(account.resources.by_resource.values()):
            if self._meant(session, item.which):
                stanza = item.stanza
                # Presence that was sent to the bare JID keeps that address (RFC 6121 section 8.5.2.1.2).
                if stanza.kind != "presence" or not stanza.to:
                    stanza = stanza.replace(to=session.full)
                if stanza.kind == "iq" and stanza.type == "set":
                    stanza = stanza.replace(id=f"{session.grant:x}-{session.n + 1:x}")
                self.push(part, session, stanza, b"", 0, 0.0)

    def on_to_session(self, part: Part, item: ToSession) -> None:
        """The answer of a worker that is many stanzas. A session that does not read gets an error instead of the last one."""
        bare, _, resource = item.full.partition("/")
        account = part.accounts.get(bare)
        session = None if account is None else account.resources.by_resource.get(resource)
        if session is None or item.grant not in (0, session.grant):
            return
        stanzas = item.stanzas
        last = stanzas[-1] if stanzas else None
        if session.overfull and last is not None and last.kind == "iq" and last.type == "result":
            # An error goes the other way than the result that it takes the place of.
            request = last.replace(to=last.from_, from_=last.to)
            stanzas = (request.error(StanzaError("resource-constraint", "read what you were sent first")),)
        for stanza in stanzas:
            self.push(part, session, stanza, b"", 0, 0.0)

    @staticmethod
    def _meant(session: Session, which: str) -> bool:
        if which == "all":
            return True
        if which == "available":
            return session.presence is not None
        return which in session.marks or which == session.full


def _ignore(part: Part, session: Session) -> None:
    pass

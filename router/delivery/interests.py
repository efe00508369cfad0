"""Which notifications of nodes each client wants: the `+notify` features of its entity capabilities (XEP-0163 section 4.2).

A client names its capabilities by a hash in its presence (XEP-0115, XEP-0390). What a hash stands for is asked for once, of the first session
that has it, and believed of others when the answer has that hash. A presence without capabilities costs one look at the names of its payloads.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from rookery.router.accounts.account import Account
from rookery.router.accounts.kept import Parcel, plain
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.router.pushing import Pushing
from rookery.shared.bus.messages import ROUTER_ASKS, Interest, Kind, LastItems, Origin
from rookery.shared.xeps.blocking import matches
from rookery.shared.xeps.client_caps import Caps, caps_of, notified, question, verified
from rookery.shared.xeps.pubsub import NS_DISCO_INFO
from rookery.shared.xmpp.stanza import Stanza

#: Hashes that are remembered.
MAX_KNOWN: Final = 4096
#: Sessions that wait for the answer to one question.
MAX_WAITING: Final = 10_000
#: Seconds after which another session with the same hash is asked.
PATIENCE: Final = 10.0

_Asker = tuple[Part, Session]


class _Question:
    """One hash that is being asked for: whom, since when, and who waits."""

    __slots__ = ("at", "caps", "of", "waiting")

    def __init__(self, caps: Caps, of: _Asker, at: float) -> None:
        self.caps = caps
        self.of = of
        self.at = at
        self.waiting: deque[_Asker] = deque()


class Interests:
    """Learns what sessions want, tells the pubsub worker, and gives last items."""

    def __init__(self, core: Core, pushing: Pushing) -> None:
        self._core = core
        self._pushing = pushing
        self._known: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()
        self._questions: dict[str, _Question] = {}
        self._asked: dict[tuple[str, str], str] = {}
        self._count = 0
        #: Called when what a session wants has changed: its edge keeps that for a successor.
        self.on_changed: Callable[[Part, Account, Session], None] = _ignore

    # --- what a session wants ----------------------------------------------------------------------------------------

    def presence(
        self, part: Part, account: Account, session: Session, stanza: Stanza, *, initial: bool
    ) -> None:
        """An available resource sent its presence: perhaps its client, or what that wants, is another now."""
        caps = caps_of(stanza)
        if caps is None:
            if initial:
                self._set(part, account, session, None, initial)
            return
        known = self._known.get(caps.key)
        if known is not None:
            self._known.move_to_end(caps.key)
            self._set(part, account, session, known, initial)
            return
        if not caps.hash and not initial:
            return  # what cannot be recognised again is asked for once
        if initial and session.wants is not None:
            session.wants = None
        self._ask(part, session, caps)

    def _set(
        self, part: Part, account: Account, session: Session, wants: frozenset[str] | None, initial: bool
    ) -> None:
        wants = wants or None
        before = session.wants or frozenset()
        session.wants = wants
        fresh = (wants or frozenset()) if initial else (wants or frozenset()) - before
        if wants != (before or None):
            self.on_changed(part, account, session)
        if fresh:
            interest = Interest(account.bare, session.full, session.stream, tuple(sorted(fresh)))
            self._core.bus.post(Kind.PUBSUB, part.number, interest)

    # --- questions ---------------------------------------------------------------------------------------------------

    def _ask(self, part: Part, session: Session, caps: Caps) -> None:
        id = self._asked.get(caps.key) if caps.hash else None
        question = None if id is None else self._questions.get(id)
        if question is not None and self._core.ticks() - question.at < PATIENCE:
            if len(question.waiting) < MAX_WAITING:
                question.waiting.append((part, session))
            return
        self._begin(caps, (part, session), question)

    def _begin(self, caps: Caps, of: _Asker, former: _Question | None = None) -> None:
        """Ask one session. `former` is a question that had no answer."""
        self._count += 1
        id = f"{ROUTER_ASKS}{self._count:x}"
        asked = self._questions[id] = _Question(caps, of, self._core.ticks())
        if caps.hash:
            old = self._asked.get(caps.key)
            if old is not None:
                self._questions.pop(old, None)
            self._asked[caps.key] = id
        if former is not None:
            asked.waiting = former.waiting
        part, session = of
        iq = question(caps, id, session.full.partition("/")[0], session.full)
        self._pushing.push(part, session, plain(iq))

    def answered(self, part: Part, account: Account, session: Session, iq: Stanza) -> None:
        """A client answers what its server asked: perhaps one of these questions."""
        if not iq.id.startswith(ROUTER_ASKS):
            return
        asked = self._questions.get(iq.id)
        if asked is None or asked.of[1] is not session:
            return
        del self._questions[iq.id]
        caps = asked.caps
        if self._asked.get(caps.key) == iq.id:
            del self._asked[caps.key]
        query = iq.find(NS_DISCO_INFO, "query") if iq.type == "result" else None
        if query is not None:
            wants = notified(query)
            self._set(part, account, session, wants, session.wants is None)
            if verified(caps, query):
                self._known[caps.key] = wants
                if len(self._known) > MAX_KNOWN:
                    self._known.popitem(last=False)
                self._told(asked, wants)
                return
        # It cannot tell what the others with this hash want: ask the next of them (XEP-0115 section 5.4).
        self._next(asked)

    def _told(self, asked: _Question, wants: frozenset[str]) -> None:
        for part, session in asked.waiting:
            account = self._bound(part, session)
            if account is not None:
                self._set(part, account, session, wants, session.wants is None)

    def _next(self, asked: _Question) -> None:
        waiting = asked.waiting
        while waiting:
            part, session = waiting.popleft()
            if self._bound(part, session) is not None:
                self._begin(asked.caps, (part, session), asked)
                return

    @staticmethod
    def _bound(part: Part, session: Session) -> Account | None:
        account = part.accounts.get(session.full.partition("/")[0]) if part.live else None
        if (
            account is None
            or session.presence is None
            or account.resources.by_resource.get(session.resource) is not session
        ):
            return None
        return account

    def tick(self) -> None:
        """Ask somebody else where nobody has answered; call every half second or so."""
        if not self._questions:
            return
        late = self._core.ticks() - PATIENCE
        for id, asked in list(self._questions.items()):
            if asked.at < late:
                del self._questions[id]
                if self._asked.get(asked.caps.key) == id:
                    del self._asked[asked.caps.key]
                self._next(asked)

    # --- last items --------------------------------------------------------------------------------------------------

    def on_last_items(self, part: Part, item: LastItems) -> None:
        """The last items that a session asked for by its presence."""
        account, session = part.known(item.full)
        if account is None or session is None or session.presence is None or session.stream != item.stream:
            return
        now = self._core.clock()
        for stream, n, fields in item.items:
            stanza = Stanza.unpack(fields)
            sender = stanza.from_
            if account.blocked is not None and sender != account.bare and matches(account.blocked, sender):
                continue
            if part.told.new(session.stream, stream, n):
                parcel = Parcel(stanza.replace(to=session.full), Origin(stream, n, ""), now)
                self._pushing.push(part, session, parcel)


def _ignore(part: Part, account: Account, session: Session) -> None:
    pass

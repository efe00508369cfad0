"""Presence that an account's own resources send (RFC 6121 section 4), and what goes out in their name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from rookery.router.accounts.account import Account
from rookery.router.accounts.edge_note import pack
from rookery.router.accounts.kept import plain
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.delivery import copies
from rookery.router.delivery.interests import Interests
from rookery.router.delivery.multicast import Multicast
from rookery.router.keeping.flushes import Flushes
from rookery.router.partition import Part
from rookery.router.pushing import Pushing
from rookery.router.rules import SUBSCRIPTIONS
from rookery.shared.bus.messages import (
    Broadcast,
    Handle,
    Kind,
    LastSeen,
    Note,
    Origin,
    SendPresence,
    SessionUp,
    StillThere,
)
from rookery.shared.cluster.addresses import OWN
from rookery.shared.xeps.avatar_conversion import with_hash
from rookery.shared.xeps.blocking import matches, outbound_error
from rookery.shared.xeps.multicast import is_multicast
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza

_DIGITS: Final = frozenset("0123456789")
#: Longest status kept for XEP-0012.
MAX_STATUS: Final = 1024


def priority_of(presence: Stanza) -> int:
    """The priority (RFC 6121 section 4.7.2.3), 0 when absent. Raises StanzaError(bad-request) outside -128 to 127."""
    if not presence.has(ns.CLIENT, "priority"):
        return 0
    element = presence.find(ns.CLIENT, "priority")
    text = "" if element is None else element.text.strip()
    digits = text[1:] if text[:1] in ("-", "+") else text
    # int() accepts digits of all scripts, underscores and blanks: look first.
    if 0 < len(digits) <= 3 and _DIGITS.issuperset(digits) and -128 <= int(text) <= 127:
        return int(text)
    raise StanzaError("bad-request", "priority must be an integer from -128 to 127")


class Presence:
    """Presence submitted by sessions of this partition."""

    def __init__(self, core: Core, pushing: Pushing, flushes: Flushes) -> None:
        self._core = core
        self._pushing = pushing
        self._flushes = flushes
        self.interests = Interests(core, pushing)
        self.interests.on_changed = self.note
        self.multicast = Multicast(core)

    def on_submit(
        self, part: Part, account: Account, session: Session, origin: Origin, stanza: Stanza
    ) -> None:
        """Presence from a session. Raises StanzaError."""
        if stanza.type == "available":
            stanza = stanza.replace(type="")  # old clients write the default
        type = stanza.type
        if type in SUBSCRIPTIONS:
            self._subscription(part, account, origin, stanza)
        elif type == "probe":
            # Probes are the server's business (section 4.3); one to somebody else is answered as any probe is.
            if stanza.to and self._leaves(account, stanza.to):
                self._core.onward(part, stanza, origin)
            else:
                self._core.accept(part, origin)
        elif type not in ("", "unavailable", "error"):
            raise StanzaError("bad-request", "unknown type of presence")
        elif stanza.to:
            self._directed(part, account, session, origin, stanza)
        else:
            if type == "":
                self._available(part, account, session, stanza)
            elif type == "unavailable" and session.presence is not None:
                self.gone(part, account, session, stanza)
            self._core.accept(part, origin)

    # --- without `to` ------------------------------------------------------------------------------------------------

    def _available(self, part: Part, account: Account, session: Session, stanza: Stanza) -> None:
        """Initial presence (section 4.2) or an update (section 4.4)."""
        core = self._core
        priority = priority_of(stanza)
        if account.avatar:
            stanza = with_hash(stanza, account.avatar)
        was_non_negative = session.presence is not None and session.priority >= 0
        others = [one for one in account.resources.available() if one is not session]
        initial = account.resources.set_presence(session, stanza, priority)
        self.note(part, account, session)
        # Section 4.2.2: all available resources, the one that sent it included.
        self._pushing.spread(plain(stanza), [(part, one, one.full) for one in (session, *others)])
        if initial:
            for one in others:
                assert one.presence is not None
                self._pushing.push(part, session, plain(one.presence.replace(to=session.full)))
        core.count.presence += 1
        core.bus.post(Kind.PRESENCE, part.number, Broadcast(account.bare, session.full, stanza, initial))
        if initial:
            up = SessionUp(account.bare, session.full, session.grant, priority)
            core.bus.post(Kind.ROSTER, part.number, up)
        if (priority >= 0) is not was_non_negative:
            self._hand_over(part, account, session)
        self.interests.presence(part, account, session, stanza, initial=initial)

    def gone(self, part: Part, account: Account, session: Session, explicit: Stanza | None = None) -> None:
        """An available session becomes unavailable (section 4.5): by its own presence, or because it ended."""
        core = self._core
        stanza = explicit or Stanza.build("presence", type="unavailable", from_=session.full)
        account.resources.set_presence(session, None, 0)
        targets = [(part, one, one.full) for one in account.resources.available()]
        if explicit is not None:
            targets.append((part, session, session.full))
        self._pushing.spread(plain(stanza), targets)
        core.count.presence += 1
        core.bus.post(Kind.PRESENCE, part.number, Broadcast(account.bare, session.full, stanza, False))
        self.end_directed(session, stanza)
        if explicit is not None:
            self.note(part, account, session)
            self._hand_over(part, account, session)
        if not account.resources.available():
            status = stanza.find(ns.CLIENT, "status") if stanza.has(ns.CLIENT, "status") else None
            self._last_seen(part, account.bare, "" if status is None else status.text[:MAX_STATUS])

    def _last_seen(self, part: Part, bare: str, status: str) -> None:
        core = self._core
        core.bus.post(Kind.ACCOUNT, part.number, LastSeen(bare, int(core.clock() * 1000), status))

    def on_still_there(self, part: Part, item: StillThere) -> None:
        """Tell that resources went away which this partition does not know: their edge died with the former holder."""
        unknown = []
        for full in item.resources:
            _, session = part.known(full)
            if session is None:
                unknown.append(full)
            elif session.presence is None:
                self._say_gone(part, full)
        if unknown:
            self._core.absences.judge(part, partial(self._say_unknown, part, unknown))

    def _say_unknown(self, part: Part, resources: Sequence[str]) -> None:
        for full in resources:
            if part.known(full)[1] is None:
                self._say_gone(part, full)

    def _say_gone(self, part: Part, full: str) -> None:
        bare = bare_of(full)
        account = part.accounts.get(bare)
        stanza = Stanza.build("presence", type="unavailable", from_=full)
        available = [] if account is None else account.resources.available()
        self._pushing.spread(plain(stanza), [(part, one, one.full) for one in available])
        self._core.count.presence += 1
        self._core.bus.post(Kind.PRESENCE, part.number, Broadcast(bare, full, stanza, False))
        if not available:
            self._last_seen(part, bare, "")

    def _hand_over(self, part: Part, account: Account, session: Session) -> None:
        """The session may have stored messages now, or may not any more."""
        backlog = () if session.priority >= 0 and session.presence else self._flushes.stop(account, session)
        self._flushes.wanted(part, account)
        self._flushes.resume(part, account, backlog)

    def end_directed(self, session: Session, stanza: Stanza) -> None:
        """Unavailable also goes to those who had directed presence (section 4.6.3)."""
        directed = session.directed
        session.directed = None
        for target in directed or ():
            self._core.route_end(stanza.replace(to=target), session.stream)

    # --- with `to` ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _blocks(account: Account, target: str) -> bool:
        blocked = account.blocked
        return blocked is not None and bare_of(target) != account.bare and matches(blocked, target)

    def _refuse_blocked(self, account: Account, target: str) -> None:
        if self._blocks(account, target):
            raise outbound_error()

    def _leaves(self, account: Account, target: str) -> bool:
        """Whether it goes on to somebody; False for the server itself, which has no use for it. Raises StanzaError."""
        self._refuse_blocked(account, target)
        return self._core.addresses.destination(target).partition != OWN

    def _directed(
        self, part: Part, account: Account, session: Session, origin: Origin, stanza: Stanza
    ) -> None:
        """Directed presence (section 4.6); the addressee's router accepts it."""
        if stanza.type == "":
            priority_of(stanza)
            if account.avatar:
                stanza = with_hash(stanza, account.avatar)
        if not self._leaves(account, stanza.to):
            if is_multicast(stanza) and "/" not in stanza.to:
                self._multicast(part, account, session, stanza)
            self._core.accept(part, origin)
            return
        if stanza.type != "error":
            before = len(session.directed or ())
            if not session.direct(stanza.to, stanza.type == ""):
                raise StanzaError("resource-constraint", "too much directed presence", type="wait")
            if len(session.directed or ()) != before:
                self.note(part, account, session)
        self._core.onward(part, stanza, origin)

    def _multicast(self, part: Part, account: Account, session: Session, stanza: Stanza) -> None:
        """Directed presence for several (XEP-0033 section 6): each of them hears, too, when the session goes. Raises StanzaError."""
        sent = self.multicast.recipients(account, stanza)
        before = len(session.directed or ())
        for one in sent:
            if not session.direct(one.to, stanza.type == ""):
                raise StanzaError("resource-constraint", "too much directed presence", type="wait")
        if len(session.directed or ()) != before:
            self.note(part, account, session)
        for one in sent:
            self._core.route(one.stanza)

    def _subscription(self, part: Part, account: Account, origin: Origin, stanza: Stanza) -> None:
        """Section 3: the roster worker commits our side first. The address is the bare JID (section 3.1.2)."""
        if not stanza.to:
            raise StanzaError("bad-request", "whose presence?")
        target = bare_of(stanza.to)
        self._refuse_blocked(account, target)
        if stanza.type == "subscribe":
            self._core.addresses.destination(target)
        handle = Handle(origin, account.bare, stanza.from_, True, stanza.replace(to=target))
        self._core.pass_on(part, (Kind.ROSTER, part.number), handle, sent=True)

    # --- in the account's name ---------------------------------------------------------------------------------------

    def on_send_presence(self, part: Part, item: SendPresence) -> None:
        """A worker found that `item.to` may see (or no longer see) the account's presence."""
        account = part.accounts.get(item.account)
        if account is not None and account.waiting is not None:
            account.waiting.append((self.on_send_presence, item))  # its block list may be another now
            return
        available = [] if account is None else account.resources.available()
        core = self._core
        if account is not None and item.available and self._blocks(account, item.to):
            return
        for session in available:
            if item.available:
                assert session.presence is not None
                core.route(session.presence.replace(to=item.to))
            else:
                core.route(Stanza.build("presence", type="unavailable", from_=session.full, to=item.to))
        if item.probe and not available:
            core.route(Stanza.build("presence", type="unavailable", from_=item.account, to=item.to))

    def notes(self, part: Part, account: Account, session: Session) -> None:
        """The session's marks have changed: what the edges must do for its siblings may have, too."""
        for one in account.resources.by_resource.values():
            self.note(part, account, one)

    def note(self, part: Part, account: Account, session: Session) -> None:
        """Leave what we know of the session at its edge, when it has changed."""
        note = pack(session)
        own_first = account.blocked is not None
        copied = copies.wanted(account, session)
        if note != session.noted or own_first is not session.own_first or copied is not session.copies:
            session.noted = note
            session.own_first = own_first
            session.copies = copied
            if not session.edge:
                return
            self._core.bus.post_to(
                session.edge,
                Note(session.sid, session.grant, note, own_first, copied),
                partition=part.number,
                epoch=part.epoch,
            )

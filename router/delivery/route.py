"""Delivery to local accounts: RFC 6121 section 8.5, by the tables of `router.rules`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rookery.router.account_cache import Accounts
from rookery.router.accounts.account import Account
from rookery.router.accounts.kept import Fate, Kept, Parcel, plain
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.delivery import abroad
from rookery.router.delivery.amp import NS as AMP
from rookery.router.delivery.amp import Rules
from rookery.router.delivery.carbons import Carbons
from rookery.router.delivery.echo import echo
from rookery.router.delivery.forged_marks import MARKS, sift
from rookery.router.delivery.iqs import Iqs
from rookery.router.delivery.missed import Misses
from rookery.router.keeping.flushes import Flushes
from rookery.router.keeping.rows import Keeping
from rookery.router.partition import Part
from rookery.router.pushing import Pushing
from rookery.router.rules import IQS, MESSAGES, NORMAL, PRESENCES, Action, Case
from rookery.shared.bus.messages import ROOM, Handle, Kind, Notified, Origin, Probe, Route, Seen, answering
from rookery.shared.cluster.addresses import OWN
from rookery.shared.xeps import privileged_entity, push
from rookery.shared.xeps.blocking import matches
from rookery.shared.xeps.carbons import is_copy
from rookery.shared.xeps.delayed_delivery import stamped
from rookery.shared.xeps.message_archive import is_result
from rookery.shared.xeps.multicast import is_multicast
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

_BEST, _EACH, _DELIVER = Action.BEST, Action.EACH, Action.DELIVER
_MATCH = Case.MATCH
#: Namespaces of children that are looked at before a message is delivered.
_UNUSUAL: Final = frozenset((*MARKS, AMP))
_new: Final = tuple.__new__


class Delivery:
    """Handles Route: what is addressed to an account of this partition."""

    def __init__(
        self,
        core: Core,
        accounts: Accounts,
        pushing: Pushing,
        keeping: Keeping,
        flushes: Flushes,
        iqs: Iqs,
        carbons: Carbons,
    ) -> None:
        self._core = core
        self._accounts = accounts
        self._pushing = pushing
        self._keeping = keeping
        self._flushes = flushes
        self._iqs = iqs
        self._carbons = carbons
        self._misses = Misses(core)
        self._rules = Rules(core)
        flushes.outdated = self._rules.outdated

    def on_route(self, part: Part, item: Route) -> None:
        """Deliver a stanza by the address that it has."""
        origin, stanza = item
        core = self._core
        if origin.stream and (core.repeated(part, origin) or core.passed_on(part, origin, sent=False)):
            return
        bare, _, resource = stanza.to.partition("/")
        account = part.accounts.get(bare)
        if account is None or account.waiting is not None or not account.id:
            account = self._unusual(part, bare, item)
            if account is None:
                return
        if account.blocked is not None and self._blocked(account, stanza):
            if stanza.kind != "presence":
                self._core.bounce(stanza, StanzaError("service-unavailable"), origin)
            self._core.accept(part, origin)
            return
        kind = stanza.kind
        if kind == "message":
            if (account.doubtful or part.given) and self._accounts.looks_up(
                part, account, self.on_route, item
            ):
                return
            account.tally.messages += 1
            # What the parser noted of the children clears almost every message.
            for uri, _ in stanza.payloads:
                if uri in _UNUSUAL:
                    stanza = sift(stanza, bare, self._core.addresses.local)
                    case = self._case(account, resource, account.resources.by_resource.get(resource))
                    if not self._rules.allow(part, account, case, resource, origin, stanza):
                        return
                    break
            parcel = _new(Parcel, (stanza, origin, self._core.clock(), None, 0, False))
            got = self.message(part, account, resource, parcel)
            if got is not None and account.resources.carbons:
                self._carbons.received(part, account, got[1], got[0])
            if account.pushes is not None and got is not None:
                self._misses.message(account, stanza)
        elif kind == "presence":
            self._presence(part, account, resource, origin, stanza)
        else:
            self._iq(part, account, resource, origin, stanza)

    def _unusual(self, part: Part, bare: str, item: Route) -> Account | None:
        """An account that is not in the cache, or that does not exist; None when the item was dealt with or waits."""
        if self._core.addresses.account(bare):
            return self._accounts.ready(part, bare, self.on_route, item)
        try:
            if self._core.addresses.destination(bare).partition == OWN:
                self._to_domain(part, item)
                return None
        except StanzaError as error:
            if item.stanza.kind != "presence" or item.stanza.type == "subscribe":
                self._core.bounce(item.stanza, error, item.origin)
            self._core.accept(part, item.origin)
        else:
            # An edge that does not know the kinds of domains sends everything to routers; whoever serves the address accepts it.
            self._core.route(item.stanza, item.origin)
        return None

    def _to_domain(self, part: Part, item: Route) -> None:
        """For a hosted domain itself, from another server: its own users ask their own router. Raises StanzaError."""
        origin, stanza = item
        if stanza.kind == "iq" and stanza.type in ("get", "set") and "/" not in stanza.to:
            self._iqs.answer_abroad(part, origin, stanza)
        elif stanza.kind == "message" and (answer := echo(stanza)) is not None:
            self._core.route(answer, answering(origin))
            self._core.accept(part, origin)
        elif stanza.kind == "presence" or stanza.type in ("result", "error"):
            self._core.accept(part, origin)  # a server has no presence, and awaits no answers
        elif stanza.kind == "message" and is_multicast(stanza):
            raise StanzaError("forbidden", "only for users of this domain")  # XEP-0033 section 3
        else:
            raise StanzaError("service-unavailable")

    @staticmethod
    def _blocked(account: Account, stanza: Stanza) -> bool:
        """XEP-0191 section 3.3; nobody blocks their own resources (section 6), nor the answers of their server."""
        assert account.blocked is not None
        sender = stanza.from_
        if not sender or sender == account.bare.rpartition("@")[2]:
            return False
        return sender.partition("/")[0] != account.bare and matches(account.blocked, sender)

    # --- messages ----------------------------------------------------------------------------------------------------

    def message(
        self, part: Part, account: Account, resource: str, parcel: Parcel, late: bool = False
    ) -> tuple[Sequence[Session], Stanza] | None:
        """Give a message its one fate. `late`: it was given to a session before that is dead now.

        Returns who gets it now or soon, and in which form, or None when its sender gets an error. Raises StanzaError.
        """
        resources = account.resources
        stanza, origin, at, _, row, _ = parcel
        session: Session | None = None
        if not account.id:
            case = Case.UNKNOWN_FULL if resource else Case.UNKNOWN_BARE
        elif resource:
            session = resources.by_resource.get(resource)
            case = resources.miss if session is None else _MATCH
        else:
            case = resources.case
        action = MESSAGES.get(stanza.type, NORMAL)[case]
        if action is _BEST:
            targets: Sequence[Session] = resources.best
        elif action is _DELIVER:
            assert session is not None
            targets = (session,)
        elif action is _EACH:
            targets = resources.non_negative
        else:
            return self._undelivered(part, account, action, parcel)
        if late:
            stanza = stamped(stanza, at, account.bare.rpartition("@")[2])
            parcel = parcel._replace(stanza=stanza)
        elif not row:
            taken, waits = self._taken(account, targets)
            if taken:
                parcel = self._keeping.record(part, account, parcel, waits)
                stanza, row = parcel.stanza, parcel.row
        if len(targets) == 1:
            session = targets[0]
            if session.behind:
                self._flushes.behind(part, account, session, parcel, True)
            else:
                self._pushing.push(part, session, parcel)
                if not row:
                    self._core.accept(part, origin)
        else:
            self._spread(part, account, targets, parcel)
        return targets, stanza

    def _taken(self, account: Account, targets: Sequence[Session]) -> tuple[bool, bool]:
        """Whether any of these is given it, now or soon; and whether it waits: no edge has a copy until then."""
        if len(targets) == 1:
            one = targets[0]
            return not one.behind or self._flushes.feeds(account, one), one.behind or not one.edge
        return (
            any(not one.behind or self._flushes.feeds(account, one) for one in targets),
            all(one.behind or not one.edge for one in targets),
        )

    def _spread(self, part: Part, account: Account, targets: Sequence[Session], parcel: Parcel) -> None:
        """Several resources: when one of them has got it, it needs no other way."""
        now = [session for session in targets if not session.behind]
        # At most one session of an account is behind a flush; those that are stalled are passed by.
        later = [session for session in targets if self._flushes.feeds(account, session)]
        if not now and not later:
            if parcel.row:
                self._keeping.owe(part, account, parcel)
            else:
                self._keeping.keep(part, account, parcel)
            return
        if len(now) + len(later) > 1:
            parcel = parcel._replace(fate=Fate(len(now) + len(later)))
        for session in now:
            self._pushing.push(part, session, parcel)
        if now and not parcel.row:
            self._core.accept(part, parcel.origin)
        for session in later:
            self._flushes.behind(part, account, session, parcel, not now)

    def _undelivered(
        self, part: Part, account: Account, action: Action, parcel: Parcel
    ) -> tuple[Sequence[Session], Stanza] | None:
        core = self._core
        stanza = parcel.stanza
        if parcel.row:
            # Once it is stored it has its fate: it is never sent back.
            self._keeping.owe(part, account, parcel)
            return (), stanza
        if action is Action.STORE:
            self._keeping.keep(part, account, parcel)
            return (), stanza
        if action is Action.ERROR:
            core.bounce(stanza, StanzaError("service-unavailable"), parcel.origin)
        else:
            core.count.dropped += 1
        core.accept(part, parcel.origin)
        return None if action is Action.ERROR else ((), stanza)

    def redeliver(self, part: Part, account: Account, session: Session, orphans: Iterable[Kept]) -> None:
        """What a dead session did not get: another resource, the store, or back to its sender.

        Stored messages among them are still owed; requests are answered; presence, answers and copies are of no use any more.
        """
        if account.pushes is not None and session.edge:
            orphans = list(orphans)
            self._misses.unread(account, session, orphans)
        for one in orphans:
            parcel = one.parcel
            stanza = parcel.stanza.replace(to=one.to) if one.to else parcel.stanza
            if one.flushed or not stanza.kind or is_copy(stanza) or is_result(stanza):
                continue
            if one.parcel.origin.stream.startswith(ROOM):
                continue  # the room learns of the session's end by its presence
            uid = Origin(parcel.origin.stream, parcel.origin.n, "")
            if stanza.kind == "message":
                self._core.count.rerouted += 1
                resource = stanza.to.partition("/")[2]
                again = parcel._replace(stanza=stanza, origin=uid, fate=None)
                self.message(part, account, resource, again, late=True)
            elif stanza.kind == "iq" and stanza.type in ("get", "set") and uid.stream != session.stream:
                # (what it asked itself would be answered to whoever has its resource now)
                self._core.bounce(stanza, StanzaError("service-unavailable"), uid)

    # --- presence ----------------------------------------------------------------------------------------------------

    def _presence(self, part: Part, account: Account, resource: str, origin: Origin, stanza: Stanza) -> None:
        core = self._core
        if account.id and (stanza.type == "unavailable" or (stanza.payloads and not stanza.type)):
            abroad.presence(core, part, account.bare, stanza)
        session = account.resources.by_resource.get(resource) if resource else None
        actions = PRESENCES.get(stanza.type)
        if actions is None:
            raise StanzaError("bad-request", "unknown type of presence")
        if core.watched and stanza.type in ("", "unavailable"):
            self._seen(account, stanza)
        action = actions[self._case(account, resource, session)]
        if action is Action.DELIVER:
            assert session is not None
            self._pushing.push(part, session, plain(stanza))
        elif action is Action.AVAILABLE:
            parcel = plain(stanza)
            for one in account.resources.available():
                self._pushing.push(part, one, parcel)
        elif action is Action.SUBSCRIPTION:
            # The roster worker accepts it once it has committed what follows from it.
            target = account.bare
            handle = Handle(origin, target, "", False, stanza.replace(to=target))
            core.pass_on(part, (Kind.ROSTER, part.number), handle, sent=False)
            return
        elif action is Action.PROBE:
            core.post(Kind.PRESENCE, account.bare, Probe(stanza.from_, account.bare))
        else:
            core.count.dropped += 1
        core.accept(part, origin)

    def _seen(self, account: Account, stanza: Stanza) -> None:
        """Somebody elsewhere is seen from a domain whose component may hear of it (XEP-0356 section 7.4), whether or not the account is there."""
        core = self._core
        watched = account.id and account.bare.rpartition("@")[2] in core.watched
        if watched and core.addresses.place(stanza.from_).kind is Kind.S2S:
            core.post(Kind.PRESENCE, account.bare, Seen(account.bare, stanza))

    @staticmethod
    def _case(account: Account, resource: str, session: Session | None) -> Case:
        if not account.id:
            return Case.UNKNOWN_FULL if resource else Case.UNKNOWN_BARE
        if not resource:
            return account.resources.case
        return account.resources.miss if session is None else _MATCH

    # --- iq ----------------------------------------------------------------------------------------------------------

    def _iq(self, part: Part, account: Account, resource: str, origin: Origin, stanza: Stanza) -> None:
        core = self._core
        session = account.resources.by_resource.get(resource) if resource else None
        actions = IQS.get(stanza.type)
        if actions is None:
            raise StanzaError("bad-request", "unknown type of iq")
        action = actions[self._case(account, resource, session)]
        if action is Action.DELIVER:
            assert session is not None
            if session.stalled and stanza.type in ("get", "set"):
                raise StanzaError("resource-constraint", "the recipient does not read")
            if session.resumable is not None and stanza.type in ("result", "error"):
                session.resumable.answer(stanza.id, "" if stanza.from_ == account.bare else stanza.from_)
            self._pushing.push(part, session, Parcel(stanza, origin))
        elif action is Action.ANSWER:
            own = stanza.from_.partition("/")[0] == account.bare
            self._iqs.answer_account(part, account, origin, stanza, own=own)
            return
        elif action is Action.ERROR:
            core.bounce(stanza, StanzaError("service-unavailable"), origin)
        else:
            if stanza.id.startswith(push.ASKS) and stanza.type in ("result", "error"):
                answer = push.error_of(stanza.elements()) if stanza.type == "error" else ()
                core.post(Kind.PUBSUB, account.bare, Notified(account.bare, stanza.from_, stanza.id, answer))
            elif abroad.answered(core, part, account.bare, stanza):
                pass
            elif component := privileged_entity.component_of(stanza.id):
                core.route(stanza.replace(to=component))
            core.count.dropped += 1
        core.accept(part, origin)

    def on_gated(self, part: Part, item: Any) -> None:
        """The presence worker found that the sender of a subscribers-only iq is one."""
        if self._core.repeated(part, item.origin):
            return
        account = self._accounts.ready(part, item.account, self.on_gated, item)
        if account is None:
            return
        origin = self._core.custodian.regain(item.origin, sent=False)
        if origin is not None:
            self._iqs.answer_account(part, account, origin, item.stanza, own=False, gated=True)

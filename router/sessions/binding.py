"""Resource binding (RFC 6120 section 7), and the end of sessions."""

from __future__ import annotations

import secrets
from functools import partial

from rookery.router.account_cache import Accounts
from rookery.router.accounts.account import Account
from rookery.router.accounts.kept import OVERHEAD
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.delivery import copies
from rookery.router.delivery.presence import Presence
from rookery.router.delivery.route import Delivery
from rookery.router.keeping.flushes import Flushes
from rookery.router.keeping.rows import Keeping
from rookery.router.partition import Part
from rookery.router.sessions.hibernation import Hibernation
from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import AccountChanged, Acked, Bind, Bound, End, Origin, Unbind
from rookery.shared.xeps import carbons, message_archive
from rookery.shared.xeps.avatar_conversion import refreshed
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

#: Why sessions end when their account changes: change -> (stream error, text).
ENDS = {
    "removed": ("not-authorized", "the account was removed"),
    "disabled": ("not-authorized", "the account is disabled"),
    "password": ("reset", "the password was changed"),
}

#: What a session may have from its binding on (XEP-0386 section 4.2).
AT_ONCE = frozenset({carbons.MARK})


class Bindings:
    """Handles Bind, Unbind, Acked, AccountChanged and lost edges."""

    def __init__(
        self,
        core: Core,
        accounts: Accounts,
        delivery: Delivery,
        presence: Presence,
        flushes: Flushes,
        keeping: Keeping,
        hibernation: Hibernation,
    ) -> None:
        self._core = core
        self._accounts = accounts
        self._delivery = delivery
        self._presence = presence
        self._flushes = flushes
        self._keeping = keeping
        self._hibernation = hibernation
        hibernation.end = self.end
        accounts.on_loaded = self._reloaded

    def on_bind(self, part: Part, call: Call) -> None:
        """Answer a Call with a Bind: Bound, or a StanzaError."""
        request = call.request
        assert isinstance(request, Bind)
        account = self._accounts.ready(part, request.account, self.on_bind, call, anew=True)
        if account is None:
            return
        try:
            if not account.id or account.disabled:
                raise StanzaError("not-authorized", "no such account")
            self._make_room(part, account, request.resource)
            binding = account.resources.bind(
                request.account,
                request.resource,
                part.next_grant(),
                request.edge,
                request.sid,
                request.stream,
                policy=self._core.node.config.router.resource_conflict,
                limit=self._core.limits.resources_per_account,
                generate=lambda: secrets.token_urlsafe(9),
            )
        except StanzaError as exc:
            self._core.bus.reply(call, exc)
            return
        if binding.replaced is not None:
            if binding.replaced.stream != request.stream:
                self._say_end(part, binding.replaced, "conflict", "replaced by a new connection")
            self._after(part, account, binding.replaced)
        session = binding.session
        self._core.count.sessions += 1
        session.own_first = account.blocked is not None
        session.copies = copies.wanted(account, session)
        bound = Bound(session.full, session.grant, session.own_first, session.copies)
        if message_archive.MARK in request.marks:
            # Whatever other sessions were given before is committed then: the client finds it in its archive.
            self._keeping.after(partial(self._bound, call, account, bound))
        else:
            self._core.bus.reply(call, bound)
        self._hibernation.misses.back(account, session)
        for mark in request.marks:
            if mark in AT_ONCE and account.resources.mark(session, mark, True):
                self._presence.notes(part, account, session)

    def _bound(self, call: Call, account: Account, bound: Bound) -> None:
        owed = account.owed > 0 and account.flush is None
        self._core.bus.reply(call, bound._replace(owed=owed))

    def _make_room(self, part: Part, account: Account, resource: str) -> None:
        """A client that comes needs no other resource for one that sleeps: the oldest of those ends."""
        resources = account.resources
        if (
            len(resources) >= self._core.limits.resources_per_account
            and resource not in resources.by_resource
        ):
            oldest = self._hibernation.oldest(account)
            if oldest is not None:
                self.end(part, account, oldest)

    # --- the end of a session ----------------------------------------------------------------------------------------

    def on_unbind(self, part: Part, item: Unbind) -> None:
        """A stream has ended; the end of a replaced stream says nothing about its resource."""
        bare, _, resource = item.full.partition("/")
        account = self._accounts.ready(part, bare, self.on_unbind, item)
        if account is None:
            return
        session = account.resources.current(resource, item.grant)
        if session is None:
            return
        if item.resumable and session.resumable is not None:
            if session.edge:
                self._hibernation.sleep(part, account, session)
        else:
            self.end(part, account, session)
            # Until then the edge tells of it whoever takes this partition over.
            self._core.accept(part, Origin(session.stream, 0, session.edge))

    def end(self, part: Part, account: Account, session: Session) -> None:
        """The session is over: tell those who saw it, and find another way for what it did not get."""
        if account.resources.remove(session):
            self._after(part, account, session)

    def _after(self, part: Part, account: Account, session: Session) -> None:
        self._core.count.sessions -= 1
        if session.presence is not None:
            self._presence.gone(part, account, session)
        else:
            # Directed presence may be sent without having been available (RFC 6121 section 4.6.1).
            self._presence.end_directed(
                session, Stanza.build("presence", type="unavailable", from_=session.full)
            )
        self._hibernation.ended(part, session)
        orphans = session.abandon()
        backlog = self._flushes.stop(account, session)
        # Stored messages that it was given and did not get are still owed; newer ones stay behind them.
        self._flushes.again(part, account, any(one.flushed for one in orphans))
        self._delivery.redeliver(part, account, session, orphans)
        self._flushes.resume(part, account, backlog)

    def _say_end(self, part: Part, session: Session, condition: str, text: str) -> None:
        if not session.edge:
            return
        self._core.bus.post_to(
            session.edge,
            End(session.sid, session.grant, condition, text, session.stream),
            partition=part.number,
            epoch=part.epoch,
        )

    def terminate(self, part: Part, account: Account, session: Session, condition: str, text: str) -> None:
        """End a stream that still runs."""
        self._say_end(part, session, condition, text)
        self.end(part, account, session)

    def overrun(self, part: Part, session: Session) -> None:
        """The session keeps more than it may: its client or its edge does not read."""
        account = part.accounts.get(session.full.partition("/")[0])
        if account is not None and account.resources.by_resource.get(session.resource) is session:
            self.terminate(part, account, session, "resource-constraint", "the client does not read")

    def lost_edge(self, part: Part, account: Account, edge: str) -> bool:
        """End the account's sessions on a dead edge, but for those that can be resumed; True when there was one."""
        lost = [session for session in account.resources.by_resource.values() if session.edge == edge]
        for session in lost:
            if session.resumable is not None:
                self._hibernation.sleep(part, account, session)
                session.resumable.former = ("", 0)
            else:
                self.end(part, account, session)
        return bool(lost)

    # --- changes -----------------------------------------------------------------------------------------------------

    def on_acked(self, part: Part, item: Acked) -> None:
        """Deliveries have left the server: forget them, settle stored ones."""
        bare, _, resource = item.full.partition("/")
        account = part.accounts.get(bare)
        session = None if account is None else account.resources.current(resource, item.grant)
        if account is None or session is None:
            return
        self.acked(part, account, session, item.n)
        if session.behind:
            self._flushes.progressed(part, account, session)

    def acked(self, part: Part, account: Account, session: Session, n: int) -> None:
        """The client has everything up to delivery `n`."""
        gone = session.ack(n)
        if session.resumable is not None and session.resumable.requests:
            session.resumable.answered(gone)
        rows: list[tuple[int, int]] = []
        live: list[int] = []
        stored = account.stored
        for one in gone:
            stanza, origin, _, _, row, owed = one.parcel
            if row > stored and origin.stream:
                session.was_ahead(one, stored)
            if owed and origin.stream:
                live.append(row)
            elif owed:
                rows.append((row, len(stanza.inner) + OVERHEAD))
        if rows:
            self._keeping.settle(account, rows)
        if live:
            self._keeping.acknowledged(account, live)

    def on_account_changed(self, part: Part, item: AccountChanged) -> None:
        """A committed change: read the account again; some changes end its sessions."""
        if item.what == "roster" and not _archives_by_roster(part, item.account):
            return
        account = self._accounts.changed(part, item.account)
        if account is None or item.what not in ENDS:
            return
        condition, text = ENDS[item.what]
        for session in list(account.resources.by_resource.values()):
            if item.what != "password" or session.full != item.full:
                self.terminate(part, account, session, condition, text)

    def _reloaded(self, part: Part, account: Account) -> None:
        """The account's row was read: sessions of an account that is gone end, others learn about a block list."""
        self._keeping.settle_again(account)
        for session in list(account.resources.by_resource.values()):
            if not account.id or account.disabled:
                self.terminate(part, account, session, *ENDS["disabled" if account.id else "removed"])
            else:
                if account.avatar and session.presence is not None:
                    session.presence = refreshed(session.presence, account.avatar)
                self._presence.note(part, account, session)
        self._flushes.wanted(part, account)


def _archives_by_roster(part: Part, bare: str) -> bool:
    account = part.accounts.get(bare)
    return account is not None and account.archiving is not None and account.archiving.fallback == "roster"

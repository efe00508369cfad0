"""Resumable streams (XEP-0198): made so by Enable, taken up by Resume at whatever edge, their frontiers recorded.

The SM-ID is 192 random bits. It is looked up among the sessions of the account that has authenticated, in constant time, so another
user's, a guessed and an expired one are told apart by nobody.
"""

from __future__ import annotations

import hmac

import structlog

from rookery.router.account_cache import Accounts
from rookery.router.accounts.account import Account
from rookery.router.accounts.resumable import Resumable
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.keeping.flushes import Flushes
from rookery.router.partition import Part
from rookery.router.pushing import Pushing
from rookery.router.sessions.bequest import bequest
from rookery.router.sessions.binding import Bindings
from rookery.router.sessions.client_state import ClientStates
from rookery.router.sessions.hibernation import Hibernation
from rookery.router.unclear import LOST_SECONDS
from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import Enable, Enabled, End, Frontier, Noted, NotResumed, Resume, Resumed
from rookery.shared.xeps import stream_management
from rookery.shared.xeps.stream_management import advance
from rookery.shared.xmpp.errors import StanzaError

_log = structlog.get_logger()


class Resumptions:
    """Handles Enable, Resume and Frontier."""

    def __init__(
        self,
        core: Core,
        accounts: Accounts,
        pushing: Pushing,
        flushes: Flushes,
        bindings: Bindings,
        client_states: ClientStates,
        hibernation: Hibernation,
    ) -> None:
        self._core = core
        self._accounts = accounts
        self._pushing = pushing
        self._flushes = flushes
        self._bindings = bindings
        self._client_states = client_states
        self._hibernation = hibernation

    def on_enable(self, part: Part, call: Call) -> None:
        """Answer a Call with an Enable: Enabled. Raises StanzaError(item-not-found) when the session is another's now."""
        request = call.request
        assert isinstance(request, Enable)
        bare, _, resource = request.full.partition("/")
        account = self._accounts.ready(part, bare, self.on_enable, call)
        if account is None:
            return
        session = account.resources.current(resource, request.grant)
        if session is None:
            raise StanzaError("item-not-found")
        limit = self._core.node.config.options(stream_management.Options).resume_seconds
        seconds = min(request.seconds or limit, limit)
        known = session.resumable
        if known is None or known.token != request.token:
            # (another token: the answer to a former attempt was lost, and its client was told that it failed)
            session.resumable = Resumable(request.token, seconds, request.base_in, request.base_out)
        else:
            known.seconds = seconds  # a new holder knows it from the edge's mirror already
        self._core.bus.reply(call, Enabled(seconds))

    def on_frontier(self, part: Part, item: Frontier) -> None:
        """An edge knows more of a stream's stanzas as handled: record it, and say so."""
        bare, _, resource = item.full.partition("/")
        account = part.accounts.get(bare)
        session = None if account is None else account.resources.current(resource, item.grant)
        if account is None or session is None or session.resumable is None:
            return
        resumable = session.resumable
        resumable.handled(item.n, item.taken)
        resumable.requests = tuple((id_, to, deadline) for id_, to, deadline in item.requests)
        edge, sid = (session.edge, session.sid) if session.edge else resumable.former
        if edge:
            self._core.bus.post_to(
                edge,
                Noted(sid, session.grant, resumable.frontier),
                partition=part.number,
                epoch=part.epoch,
            )
        if not session.edge:
            self._hibernation.changed(part, session)

    def on_resume(self, part: Part, call: Call) -> None:
        """Answer a Call with a Resume: Resumed or NotResumed."""
        request = call.request
        assert isinstance(request, Resume)
        account = self._accounts.ready(part, request.account, self.on_resume, call)
        if account is None:
            return
        bus = self._core.bus
        session = self._find(account, request.token)
        if session is None or session.resumable is None:
            bus.reply(call, NotResumed(self._hibernation.handled(account.bare, request.token)))
            return
        resumable = session.resumable
        sent = (session.n if resumable.known < 0 else resumable.known) - resumable.base_out
        count = advance(max(0, session.acked - resumable.base_out), sent, request.h)
        if count is None and resumable.known >= 0:
            # It has all that the copy had, and begins anew with what came since. What it sent meanwhile is not known here.
            _log.warning("session_outdated", account=account.bare, resource=session.resource)
            self._bindings.acked(part, account, session, resumable.known)
            self._bindings.end(part, account, session)
            if part.since and not resumable.copied:
                # What came after an edge made the copy reached the client, or nobody.
                account.unclear = part.since - LOST_SECONDS
                self._accounts.reload(part, account)
            bus.reply(call, NotResumed())
            return
        if count is None:
            bus.reply(call, NotResumed(sent=sent))
            return
        for left in bequest(session, resumable.base_out + count, account.stored, part.number):
            bus.post_to(request.edge, left, partition=part.number, epoch=part.epoch)
        self._bindings.acked(part, account, session, resumable.base_out + count)
        resumable.answered(session.kept)  # these are delivered again
        self._move(part, account, session, request.edge, request.sid)
        bus.reply(
            call,
            Resumed(
                session.full,
                session.grant,
                session.stream,
                session.acked,
                resumable.describe(),
                session.noted,
                session.own_first,
                session.copies,
                (*session.acknowledged(), *part.told.of(session.stream)),
            ),
        )
        # What it may not have: behind the answer, under the same numbers.
        self._pushing.repeat(part, session)
        self._client_states.activate(part, account, session)
        if session.behind:
            self._flushes.progressed(part, account, session)
        self._hibernation.misses.back(account, session)
        self._core.count.resumed += 1

    @staticmethod
    def _find(account: Account, token: bytes) -> Session | None:
        found = None
        for session in account.resources.by_resource.values():
            if session.resumable is not None and hmac.compare_digest(session.resumable.token, token):
                found = session
        return found

    def _move(self, part: Part, account: Account, session: Session, edge: str, sid: int) -> None:
        """The session lives at `edge` from now on; whoever had it before loses it (section 5: conflict)."""
        resumable = session.resumable
        assert resumable is not None
        former, former_sid = (session.edge, session.sid) if session.edge else resumable.former
        former_grant = session.grant
        self._hibernation.woke(session)
        session.grant = part.next_grant()
        session.edge, session.sid = edge, sid
        resumable.former = ("", 0)
        resumable.known, resumable.copied = -1, 0.0
        flush = account.flush
        if flush is not None and flush.grant == former_grant:
            # A page that is under way names the former grant: it is asked for anew.
            flush.grant = session.grant
            flush.asked = 0.0
        if former:
            self._core.bus.post_to(
                former,
                End(former_sid, former_grant, "conflict", "resumed by a new connection"),
                partition=part.number,
                epoch=part.epoch,
            )

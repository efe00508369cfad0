"""What an account's own streams hand to its router: presence, requests to the server, and everything when a block list is set."""

from __future__ import annotations

from rookery.router.account_cache import Accounts
from rookery.router.accounts.account import Account
from rookery.router.accounts.kept import plain
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.delivery.copies import Copies
from rookery.router.delivery.echo import echo
from rookery.router.delivery.iqs import Iqs
from rookery.router.delivery.presence import Presence
from rookery.router.delivery.route import Delivery
from rookery.router.partition import Part
from rookery.router.pushing import Pushing
from rookery.shared.bus.messages import Copy, End, Origin, Route, Submit, answering
from rookery.shared.cluster.addresses import OWN
from rookery.shared.xeps.blocking import matches, outbound_error
from rookery.shared.xeps.multicast import is_multicast
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza


class Submits:
    """Handles Submit."""

    def __init__(
        self,
        core: Core,
        accounts: Accounts,
        pushing: Pushing,
        delivery: Delivery,
        iqs: Iqs,
        presence: Presence,
        copies: Copies,
    ) -> None:
        self._core = core
        self._pushing = pushing
        self._accounts = accounts
        self._delivery = delivery
        self._iqs = iqs
        self._presence = presence
        self._copies = copies
        self._multicast = presence.multicast

    def on_submit(self, part: Part, item: Submit) -> None:
        """A stanza from a bound stream of this partition. Raises StanzaError."""
        origin = item.origin
        if self._core.repeated(part, origin) or self._core.passed_on(part, origin, sent=True):
            to = item.stanza.to.partition("/")[0]
            if item.stanza.kind == "message" and to and to != item.full.partition("/")[0]:
                # The other leg may still be missing.
                self._copies.on_copy(part, Copy(origin, item.full, item.grant, item.stanza))
            return
        bare, _, resource = item.full.partition("/")
        account = self._accounts.ready(part, bare, self.on_submit, item)
        if account is None:
            return
        session = account.resources.current(resource, item.grant)
        if session is None:
            # A stream that has gone on elsewhere: what its former edge had on the way counts like what is sent again.
            session = account.resources.by_resource.get(resource)
            if session is not None and (session.resumable is None or session.stream != origin.stream):
                session = None
        if session is None:
            self._unbound(part, account, resource, item)
            return
        stanza = item.stanza
        if stanza.kind == "presence":
            self._presence.on_submit(part, account, session, origin, stanza)
        elif stanza.kind == "iq":
            self._iq(part, account, session, origin, stanza)
        else:
            self._message(part, account, item.full, origin, stanza)

    def refuse(self, part: Part, item: Submit, error: StanzaError) -> None:
        """Answer the stream itself: its own block list does not concern what its server says about its own stanza."""
        stanza = item.stanza
        bare, _, resource = item.full.partition("/")
        account = part.accounts.get(bare)
        session = None if account is None else account.resources.current(resource, item.grant)
        answerable = stanza.type != "error" and (stanza.kind != "iq" or stanza.type != "result")
        if session is not None and answerable:
            self._core.count.bounced += 1
            self._pushing.push(part, session, plain(stanza.error(error)))
        self._core.accept(part, item.origin)
        if stanza.kind == "message":
            self._core.copied(part, item.origin)

    def _unbound(self, part: Part, account: Account, resource: str, item: Submit) -> None:
        """The stream lost its resource, or this router does not know it: it must bind again. What it said still counts."""
        taken = account.resources.by_resource.get(resource)
        newer = taken is not None and taken.grant > item.grant
        condition, text = ("conflict", "replaced by a new connection") if newer else ("reset", "session lost")
        self._core.bus.post_to(
            item.origin.custodian,
            End(0, item.grant, condition, text, item.origin.stream),
            partition=part.number,
            epoch=part.epoch,
        )
        if item.stanza.kind == "message" and account.id:
            self._message(part, account, item.full, item.origin, item.stanza)
        else:
            self._core.count.dropped += 1
            self._core.accept(part, item.origin)
            self._core.copied(part, item.origin)

    def _message(self, part: Part, account: Account, full: str, origin: Origin, stanza: Stanza) -> None:
        # RFC 6120 section 10.3.1: without `to` it is for the account itself.
        to = stanza.to or account.bare
        if to.partition("/")[0] == account.bare:
            self._delivery.on_route(part, Route(origin, stanza if stanza.to else stanza.replace(to=to)))
            return
        self._onward(part, account, origin, stanza)
        self._copies.take(part, account, origin, full, stanza)

    def _onward(self, part: Part, account: Account, origin: Origin, stanza: Stanza) -> None:
        """A stanza for somebody else: whoever serves the address accepts it. Raises StanzaError."""
        to = stanza.to
        if account.blocked is not None and matches(account.blocked, to):
            raise outbound_error()
        if self._core.addresses.destination(to).partition == OWN:
            if stanza.kind == "message" and "/" not in to and is_multicast(stanza):
                self._multicast.send(part, account, origin, stanza)
                return
            answer = echo(stanza) if stanza.kind == "message" else None
            if answer is None:
                raise StanzaError("service-unavailable")
            self._core.route(answer, answering(origin))
            self._core.accept(part, origin)
            return
        self._core.onward(part, stanza, origin)

    def _iq(self, part: Part, account: Account, session: Session, origin: Origin, stanza: Stanza) -> None:
        to = stanza.to
        ours = bool(to) and "/" not in to and self._core.addresses.place(to).partition == OWN
        if to.partition("/")[0] == account.bare and to != account.bare:
            self._delivery.on_route(part, Route(origin, stanza))
        elif to and to != account.bare and not ours:
            self._onward(part, account, origin, stanza)
        elif stanza.type in ("result", "error"):
            # an answer to one of our pushes or questions (RFC 6120 section 8.2.3)
            self._presence.interests.answered(part, account, session, stanza)
            self._core.accept(part, origin)
        elif ours:
            self._iqs.answer_domain(part, account.bare, origin, stanza)
        else:
            self._iqs.answer_account(part, account, origin, stanza, own=True, session=session)

"""Requests that the server answers, for a domain or on behalf of an account (RFC 6121 section 8.5.2.1.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from rookery import __version__
from rookery.router.accounts.account import Account
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.shared.bus.kinds import labelled
from rookery.shared.bus.messages import Gate, Handle, Kind, Origin, Route, answering
from rookery.shared.xeps._xep import Context, Entry, Forward, Local, Target
from rookery.shared.xeps.registry import FEATURES, kinds, lookup
from rookery.shared.xeps.service_administration import NODES as COMMANDS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

#: Kinds that requests are forwarded to: a label that is no kind is found at import.
_KINDS: Final = {label: labelled(label) for label in kinds()}


class Iqs:
    """Dispatch by the XEP registry."""

    def __init__(self, core: Core) -> None:
        self._core = core
        #: Called when a session's marks have changed by what it asked for (`Forward.marks`, `Local.marks`).
        self.on_marked: Callable[[Part, Account, Session], None] = _ignore
        #: Delivers an answer to a stream of the very partition that made it.
        self.deliver: Callable[[Part, Route], None] = _nowhere
        #: Calls back once everything is in the store that was put there before: who asks for an archive finds what it was given.
        self.behind_store: Callable[[Callable[[], None]], None] = _now

    def answer_account(
        self,
        part: Part,
        account: Account,
        origin: Origin,
        iq: Stanza,
        *,
        own: bool,
        session: Session | None = None,
        gated: bool = False,
    ) -> None:
        """A request to an account. Raises StanzaError."""
        if self._core.delegated and self._delegate(part, account.bare, origin, iq, sent=own):
            return
        entry = self._entry(Target.ACCOUNT, iq)
        of_node = lookup(Target.NODE, iq.type, *iq.payloads[0])
        node = "" if of_node is None else _node(iq)
        # The keeper of an account's nodes does not know its commands.
        of_commands = own and node in COMMANDS
        if of_node is not None and node and not of_commands:
            entry = of_node
        core = self._core
        if not own and isinstance(entry, Forward) and entry.own_only:
            raise StanzaError("forbidden")
        if entry.subscribers_only and not own and not gated:
            core.pass_on(part, (Kind.PRESENCE, part.number), Gate(origin, account.bare, iq), sent=False)
            return
        if isinstance(entry, Forward):
            if own and entry.marks and session is not None:
                self._mark(part, account, session, entry.marks, True)
            if entry.online is None or not account.resources.available():
                handle = Handle(origin, account.bare, iq.from_, own, iq)
                kind = _KINDS[entry.kind]
                if kind is Kind.OFFLINE:
                    self.behind_store(partial(self._forward, part, kind, handle))
                else:
                    core.pass_on(part, (kind, part.number), handle, sent=own)
                return
        handler = entry.handler if isinstance(entry, Local) else entry.online
        assert handler is not None
        resources = tuple(one.full for one in account.resources.available())
        answer = handler(iq, self._context(account.bare, own, resources, account.bare if own else ""))
        if isinstance(entry, Local) and entry.completed_by and not of_commands:
            handle = Handle(origin, account.bare, iq.from_, own, answer)
            core.pass_on(part, (labelled(entry.completed_by), part.number), handle, sent=own)
            return
        if own and session is not None and isinstance(entry, Local):
            if entry.marks:
                self._mark(part, account, session, entry.marks, True)
            if entry.unmarks:
                self._mark(part, account, session, entry.unmarks, False)
        if session is not None:
            self.deliver(part, Route(answering(origin), answer))
        else:
            core.route(answer, answering(origin))
        core.accept(part, origin)

    def _forward(self, part: Part, kind: Kind, handle: Handle) -> None:
        if not part.live:
            return
        try:
            self._core.pass_on(part, (kind, part.number), handle, sent=handle.outbound)
        except StanzaError as error:
            self._core.bounce(handle.stanza, error, handle.origin)
            self._core.accept(part, handle.origin)

    def _mark(self, part: Part, account: Account, session: Session, mark: str, on: bool) -> None:
        if account.resources.mark(session, mark, on):
            self.on_marked(part, account, session)

    def answer_domain(self, part: Part, bare: str, origin: Origin, iq: Stanza) -> None:
        """A request of the account `bare` of this partition to a hosted domain. Raises StanzaError."""
        if self._core.delegated and self._delegate(part, iq.to, origin, iq, sent=True):
            return
        entry = self._entry(Target.DOMAIN, iq)
        core = self._core
        if isinstance(entry, Forward):
            handle = Handle(origin, bare, iq.from_, True, iq)
            core.pass_on(part, (_KINDS[entry.kind], part.number), handle, sent=True)
            return
        # At once, and not by way of the bus: an error that the next request gets would overtake it (RFC 6120 section 10.1).
        context = self._context(iq.to, False, (), bare)
        self.deliver(part, Route(answering(origin), entry.handler(iq, context)))
        core.accept(part, origin)

    def answer_abroad(self, part: Part, origin: Origin, iq: Stanza) -> None:
        """A request of somebody who has no account here to a hosted domain; what workers keep is for users. Raises StanzaError."""
        if self._core.delegated and self._delegate(part, iq.to, origin, iq, sent=False):
            return
        entry = self._entry(Target.DOMAIN, iq)
        if isinstance(entry, Forward):
            raise StanzaError("service-unavailable")
        self._core.route(entry.handler(iq, self._context(iq.to, False, ())), answering(origin))
        self._core.accept(part, origin)

    def _delegate(self, part: Part, asked: str, origin: Origin, iq: Stanza, *, sent: bool) -> bool:
        """Whether the request is a component's (XEP-0355), which has it then. Raises StanzaError."""
        core = self._core
        delegated = core.delegated.get(asked.rpartition("@")[2])
        component = "" if delegated is None else delegated.managing(iq, bare="@" in asked)
        if not component:
            return False
        place = Kind.COMPONENT, core.node.partition(component)
        core.pass_on(part, place, Handle(origin, component, iq.from_, False, iq), sent=sent)
        return True

    @staticmethod
    def _entry(target: Target, iq: Stanza) -> Entry:
        if iq.type not in ("get", "set") or len(iq.payloads) != 1:
            # RFC 6120 section 8.2.3, rules 1 and 5
            raise StanzaError("bad-request", "a request has exactly one child element")
        namespace, name = iq.payloads[0]
        entry = lookup(target, iq.type, namespace, name)
        if entry is None:
            raise StanzaError("service-unavailable")
        return entry

    def _context(self, address: str, own: bool, resources: tuple[str, ...], sender: str = "") -> Context:
        """What a handler may know. `sender` is the bare JID of a user of ours."""
        core = self._core
        domain = address.rpartition("@")[2]
        row = core.domains.get(domain)
        return Context(
            now=core.clock(),
            started=core.started,
            version=__version__,
            domain=domain,
            address=address,
            own=own,
            registration_open=row is not None and row.registration,
            contacts=() if row is None else row.contacts,
            features=FEATURES,
            options=core.node.config.options,
            resources=resources,
            services=core.services.get(domain, ()),
            admin=row is not None and sender in row.admins,
            guests=row is not None and row.auth.get("type") == "anonymous",
            nested=() if (found := core.delegated.get(domain)) is None else found.nested,
        )


def _node(iq: Stanza) -> str:
    """The node that a request names, or ""."""
    payload = iq.find(*iq.payloads[0])
    return "" if payload is None else payload.get("node") or ""


def _now(done: Callable[[], None]) -> None:
    done()


def _nowhere(part: Part, answer: Route) -> None:
    pass


def _ignore(part: Part, account: Account, session: Session) -> None:
    pass

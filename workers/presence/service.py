"""The presence worker: tells subscribers, asks contacts, and says who may ask (RFC 6121 section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import trio

from rookery.shared.bus.messages import (
    NOBODY,
    AccountChanged,
    Broadcast,
    Gate,
    Gated,
    Kind,
    Probe,
    RosterChanged,
    RosterRead,
    Route,
    Seen,
    SendPresence,
    ShowUsers,
    Sighted,
    StillThere,
)
from rookery.shared.cluster.addresses import Place
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.cluster.fanout import fan_out
from rookery.shared.cluster.privileges import told
from rookery.shared.observe.metrics import PRESENCE_FANOUT
from rookery.shared.xeps.registry import refusal
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import Handler, HostedWorker
from rookery.workers.presence import store
from rookery.workers.presence.cache import Cache
from rookery.workers.presence.changes import Changes
from rookery.workers.presence.checks import Checks
from rookery.workers.presence.online import Online
from rookery.workers.presence.rules import Relation, Subscriptions

#: How long what was read of contacts is believed: shorter than `changes.REMEMBERED` by more than items are under way.
_OPEN_SECONDS: Final = 10.0
#: An account that lets the asker see it, whoever that is: this was read before.
_OPEN: Final = Relation(True, True, frozenset())
#: How long the subscribers of a removed account are remembered.
_REMOVED_SECONDS: Final = 30.0
#: Between two pages of contacts that are asked for a component.
_PAGE_SECONDS: Final = 1.0


class PresenceService(HostedWorker):
    """Broadcasts, probes and gates of the accounts in the held partitions.

    With the subscriptions in the cache an item is done in the turn that brought it; else it waits in the lane of its
    account for one statement, and what follows it waits behind it.
    """

    kind = Kind.PRESENCE

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.cache = Cache()
        #: Contacts are kept with their partitions: what the domains say of them may have changed.
        self.domains.changed = self._domains_changed
        self.checks = Checks(self.database)
        self.online = Online()
        self.changes = Changes()
        #: Components that are told of the presence of a domain's users (XEP-0356), by domain.
        self._watchers: Mapping[str, tuple[str, ...]] = {}
        #: Those of them that are told of whom these users see, too.
        self._observers: Mapping[str, tuple[str, ...]] = {}
        node.on_holder.append(self._on_holder)

    def items(self) -> Mapping[type, Handler]:
        """Who handles what."""
        return {
            Broadcast: self._on_broadcast,
            Probe: self._on_rule,
            Gate: self._on_gate,
            RosterChanged: self._on_roster_changed,
            RosterRead: self._on_roster_read,
            ShowUsers: self._on_show_users,
            Seen: self._on_seen,
            AccountChanged: self._on_account_changed,
        }

    def _on_broadcast(self, partition: int, item: Broadcast) -> None:
        self.online.heard(partition, item.full, item.stanza.type != "unavailable")
        self._on_rule(partition, item)

    def _on_show_users(self, partition: int, item: ShowUsers) -> None:
        """XEP-0356 section 8: a component that comes later sees who is there."""
        if item.component not in self._watchers.get(item.domain, ()):
            return
        observes = item.component in self._observers.get(item.domain, ())
        for account in {bare_of(full) for full in self.online.all(partition)}:
            if account.rpartition("@")[2] == item.domain:
                self._show(account, item.component)
            elif observes:
                self.job(partition, account, partial(self._show_contact, partition, account, item))
        if observes and partition == self.node.partition(item.component):
            self.job(partition, item.component, partial(self._ask_contacts, partition, item))

    def _show(self, account: str, component: str) -> None:
        shown = SendPresence(account, component, available=True)
        self.node.bus.post(Kind.ROUTER, self.node.partition(account), shown)

    async def _show_contact(self, partition: int, account: str, item: ShowUsers) -> None:
        """Somebody of another domain of this server, if a user of the component's sees them."""
        known = self.cache.get(account, trio.current_time()) or await self._load(partition, account)
        if known.is_seen_from(item.domain):
            self._show(account, item.component)

    async def _ask_contacts(self, partition: int, item: ShowUsers) -> None:
        """Nobody here knows who is there at other servers: each of those that somebody sees is asked once, in the name of one who does."""
        after = ""
        while True:
            page = partial(store.seen_contacts, domain=item.domain, after=after)
            pairs = await self.database(partition, page)
            for contact, account in pairs:
                if self.addresses.place(contact).kind is Kind.S2S:
                    self.route(Stanza.build("presence", type="probe", from_=account, to=contact))
            if len(pairs) < store.PAGE:
                return
            after = pairs[-1][0]
            await trio.sleep(_PAGE_SECONDS)

    def _on_seen(self, partition: int, item: Seen) -> None:
        """XEP-0356 section 7.4: presence of other servers, as far as it is one that the account asked for."""
        known = None
        if not self.lanes.busy(partition, item.account):
            known = self.cache.get(item.account, trio.current_time())
        if known is not None:
            self._sight(item, known)
        else:
            self.job(partition, item.account, partial(self._seen_later, partition, item))

    async def _seen_later(self, partition: int, item: Seen) -> None:
        known = self.cache.get(item.account, trio.current_time()) or await self._load(partition, item.account)
        self._sight(item, known)

    def _sight(self, item: Seen, known: Subscriptions) -> None:
        if known.may_hear(item.stanza.from_):
            for component in self._observers.get(item.account.rpartition("@")[2], ()):
                self._sighted(component, item.stanza)

    def _sighted(self, component: str, stanza: Stanza) -> None:
        self.node.bus.post(Kind.COMPONENT, self.node.partition(component), Sighted(component, stanza))

    def _on_holder(self, kind: Kind, partition: int) -> None:
        """A router that knows only the sessions of edges that live: who was at one that died with its router is gone."""
        if kind is Kind.ROUTER:
            for resources in self.online.questions(partition):
                self.node.bus.post(Kind.ROUTER, partition, StillThere(resources))

    def _on_gate(self, partition: int, item: Gate) -> None:
        if self.once.is_done(item.origin):
            self.accept(item.origin)
        else:
            self._on_rule(partition, item)

    def _on_rule(self, partition: int, item: Broadcast | Probe | Gate) -> None:
        """At once when the cache can answer, else in the lane of the account."""
        if not self.lanes.busy(partition, item.account):
            known = self.cache.get(item.account, trio.current_time())
            if known is not None:
                if self._handle(item, known, False):
                    return
            elif isinstance(item, Probe) and item.open and self._unchanged(partition, item.account):
                self._answer_probe(item, _OPEN)
                return
        self.job(partition, item.account, partial(self._later, partition, item))

    def _unchanged(self, partition: int, account: str) -> bool:
        return self.changes.none(partition, account, trio.current_time())

    def _on_roster_read(self, partition: int, item: RosterRead) -> None:
        """The session that has asked for its roster comes online next."""
        now = trio.current_time()
        if (
            self.cache.get(item.account, now) is None
            and not self.lanes.busy(partition, item.account)
            and self._unchanged(partition, item.account)
            and self.domains.loaded
        ):
            self._keep(partition, item.account, store.Loaded(*item[1:]))

    def _on_roster_changed(self, partition: int, item: RosterChanged) -> None:
        self.changes.heard(item.account, trio.current_time())
        if self.lanes.busy(partition, item.account):
            self.job(partition, item.account, partial(self._roster_changed, item))
        else:
            self._apply(item)

    def _on_account_changed(self, partition: int, item: AccountChanged) -> None:
        self.changes.heard(item.account, trio.current_time())
        if item.what == "removed":
            # Its router ends the sessions now; their unavailable presence goes to those who were subscribed.
            self.cache.outlast(item.account, trio.current_time() + _REMOVED_SECONDS)
            return
        # A load that runs now may have read the state before the change: forget again after it.
        self.cache.forget(item.account)
        if self.lanes.busy(partition, item.account):
            self.job(partition, item.account, partial(self._account_changed, item))

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(super().run)
            nursery.start_soon(self.checks.run)

    async def acquire(self, partition: int, epoch: int) -> None:
        """What changed before was told to somebody else."""
        self.changes.acquired(partition, trio.current_time())

    def forget(self, partition: int) -> None:
        """Forget what was read of Postgres, too."""
        super().forget(partition)
        self.changes.forget(partition)
        self.cache.forget_partition(partition)
        self.online.forget(partition)

    # --- what needs the database ---------------------------------------------------------------------------------

    async def _later(self, partition: int, item: Broadcast | Probe | Gate) -> None:
        known = self.cache.get(item.account, trio.current_time())
        if known is not None and self._handle(item, known, False):
            return
        if isinstance(item, Probe):
            relation = await self.checks.ask(partition, item.account, bare_of(item.from_))
            self._answer_probe(item, relation)
        else:
            opened = isinstance(item, Broadcast) and item.initial
            self._handle(item, await self._load(partition, item.account, opened), True)

    async def _load(self, partition: int, account: str, opened: bool = False) -> Subscriptions:
        loaded = await self.database(partition, lambda conn: store.load(conn, account, opened))
        await self.domains.known()
        if loaded is None:
            return Subscriptions(False, {}, {}, frozenset())
        return self._keep(partition, account, loaded)

    def _keep(self, partition: int, account: str, loaded: store.Loaded) -> Subscriptions:
        known = Subscriptions(
            True, self._places(loaded.seen_by), self._places(loaded.sees), frozenset(loaded.blocked)
        )
        now = trio.current_time()
        if loaded.open:
            known.opened, known.opened_until = frozenset(loaded.open), now + _OPEN_SECONDS
        self.cache.put(account, partition, known, now)
        return known

    def _places(self, contacts: Sequence[str]) -> dict[str, Place]:
        """Those contacts that are accounts here or elsewhere, each with its place."""
        return {jid: self.addresses.place(jid) for jid in contacts if self._has_presence(jid)}

    def _has_presence(self, contact: str) -> bool:
        addresses = self.addresses
        if addresses.account(contact):
            return True
        return addresses.place(contact).kind is not Kind.ROUTER and addresses.serves(contact)

    async def _roster_changed(self, item: RosterChanged) -> None:
        self._apply(item)

    async def _account_changed(self, item: AccountChanged) -> None:
        self.cache.forget(item.account)

    def _apply(self, item: RosterChanged) -> None:
        known = self.cache.get(item.account, trio.current_time())
        if known is None:
            return
        if self._has_presence(item.contact):
            known.update(item.contact, self.addresses.place(item.contact), item.subscription)
        else:
            self.cache.forget(item.account)

    def _domains_changed(self, rows: Sequence[DomainRow]) -> None:
        self.cache.clear()
        self._watchers = told(rows, lambda grants: grants.presence != "none")
        self._observers = told(rows, lambda grants: grants.presence == "roster")

    # --- the rules -----------------------------------------------------------------------------------------------

    def _handle(self, item: Broadcast | Probe | Gate, known: Subscriptions, fresh: bool) -> bool:
        """Do what the item asks for; False when only fresh knowledge may say no (a refusal ends subscriptions)."""
        if isinstance(item, Broadcast):
            self._broadcast(item, known)
            return True
        asker = item.from_ if isinstance(item, Probe) else item.stanza.from_
        allowed = known.may_see(item.account, asker)
        if not allowed and not fresh:
            return False
        if isinstance(item, Probe):
            self._answer_probe(item, known.relation(asker))
        elif allowed:
            router = self.node.partition(item.account)
            self.node.bus.post(Kind.ROUTER, router, Gated(item.origin, item.account, item.stanza))
        else:
            # Exactly the same for an account that does not exist (RFC 6121 section 8.5.1; XEP-0030 section 8).
            self.answer(item.origin, refusal(item.stanza))
        return True

    def _answer_probe(self, item: Probe, known: Relation) -> None:
        """RFC 6121 section 4.3.2."""
        account, asker = item.account, item.from_
        if known.may_see(account, asker):
            answer = SendPresence(account, asker, available=True, probe=True)
            self.node.bus.post(Kind.ROUTER, self.node.partition(account), answer)
        elif not known.blocks(asker):
            # The asker believes in a subscription that is not there; the same for no account.
            self.route(Stanza.build("presence", type="unsubscribed", to=bare_of(asker), from_=account))

    def _broadcast(self, item: Broadcast, known: Subscriptions) -> None:
        bus = self.node.bus
        if self._watchers and not item.quiet:
            self._tell_components(item, known)
        if not item.quiet:
            for kind in known.kinds(known.seen_by):
                PRESENCE_FANOUT.inc(self._fan_out(item.stanza, known.audience(kind), kind))
        if item.initial:
            opened = known.open(trio.current_time())
            for contact, partition in known.probed(Kind.ROUTER):
                bus.post(Kind.PRESENCE, partition, Probe(item.full, contact, contact in opened))
            probe = Stanza.build("presence", type="probe", from_=item.full)
            for kind in known.kinds(known.sees) - {Kind.ROUTER}:
                self._fan_out(probe, known.probed(kind), kind)

    def _tell_components(self, item: Broadcast, known: Subscriptions) -> None:
        """XEP-0356 section 7: of users when they come and go; of whom users see, all. Each component is told once (section 8, rule 2)."""
        told: set[str] = set()
        for domain, components in self._observers.items():
            if known.is_seen_from(domain):
                told.update(components)
        for component in sorted(told):
            self._sighted(component, item.stanza)
        if item.initial or item.stanza.type == "unavailable":
            for component in self._watchers.get(item.account.rpartition("@")[2], ()):
                if component not in told:
                    self.route(item.stanza.replace(to=component))

    def _fan_out(self, stanza: Stanza, recipients: list[tuple[str, int]], kind: Kind) -> int:
        """Accounts and other servers get one item for each process; other kinds one for each recipient."""
        if kind in (Kind.ROUTER, Kind.S2S):
            return fan_out(self.node.bus, stanza, recipients, kind=kind)
        for jid, partition in recipients:
            self.node.bus.post(kind, partition, Route(NOBODY, stanza.replace(to=jid)))
        return len(recipients)

"""The roster worker: commits roster sets and subscription changes, then tells everybody whom they concern."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgpack
import trio

from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import (
    AccountChanged,
    ContactRemoved,
    Done,
    EditRoster,
    Handle,
    Kind,
    Origin,
    SessionUp,
    SharedContacts,
    ToResources,
)
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.observe.metrics import ROSTER_OPS
from rookery.shared.xeps import preauth_subscription
from rookery.shared.xeps.invitations import digest
from rookery.shared.xeps.registry import INTERESTED
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import Answerer, Handler, uid
from rookery.workers.requests import is_request, serve
from rookery.workers.roster import notices, store
from rookery.workers.roster.motd import MessageOfTheDay
from rookery.workers.roster.pushing import Pushing
from rookery.workers.roster.requests import REQUESTS
from rookery.workers.roster.sharing import Sharing
from rookery.workers.roster.subscription import TYPES

#: What a kept request may carry (a status, a nick); a longer one is kept without it.
_KEPT_BYTES: Final = 4096
_OPS: Final = {op: ROSTER_OPS.labels(op) for op in ("get", "set", "outbound", "inbound")}


class RosterService(Pushing):
    """Rosters and subscriptions of the accounts in the held partitions (RFC 6121 sections 2 and 3)."""

    kind = Kind.ROSTER

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._limit = node.config.limits.roster_items
        self._motd = MessageOfTheDay(self)
        self._sharing = Sharing(self)
        self.domains.changed = self._learn

    def _learn(self, rows: Sequence[DomainRow]) -> None:
        self._motd.learn(rows)
        self.learn_watchers(rows)

    def items(self) -> Mapping[type, Handler]:
        """Everything waits in the lane of its account."""
        return {
            Handle: self._on_handle,
            SessionUp: self._on_session_up,
            ContactRemoved: self._on_contact_removed,
            SharedContacts: self._on_shared_contacts,
            AccountChanged: self._on_account_changed,
        }

    def calls(self) -> Mapping[type, Answerer]:
        """Operators wait in the lane of the account, too."""
        return {EditRoster: self._on_edit}

    def _on_edit(self, partition: int, call: Call, request: EditRoster) -> None:
        self.job(partition, request.account, partial(self._edit, partition, call, request))

    async def _edit(self, partition: int, call: Call, request: EditRoster) -> None:
        """Write what an operator says of a contact, and push it. The contact's own roster is another account's."""
        try:
            incarnation, limit = self.node.incarnation, self._limit
            self.quiet.discard(partition, request.account)
            account_id, item = await self.database(
                partition, lambda conn: store.place(conn, incarnation, request, limit)
            )
        except StanzaError as error:
            self.node.bus.reply(call, error)
            return
        self.push(request.account, account_id, item)
        notices.subscription(self.node, request.account, request.contact, item.subscription)
        self.node.bus.reply(call, Done())

    def _on_shared_contacts(self, partition: int, item: SharedContacts) -> None:
        self._sharing.on_changed(partition, item)

    def _on_account_changed(self, partition: int, item: AccountChanged) -> None:
        if item.what == "created":
            self.job(partition, item.account, partial(self._sharing.created, partition, item.account))

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(super().run)
            nursery.start_soon(self._sharing.run)

    def _on_handle(self, partition: int, item: Handle) -> None:
        self.handle(partition, item, partial(self._handle, partition, item))

    def _on_session_up(self, partition: int, item: SessionUp) -> None:
        if not self.quiet.known(partition, item.account):
            self.job(partition, item.account, partial(self._session_up, partition, item))
        if self._motd.wanted(item.account):
            self.job(partition, item.account, partial(self._motd.tell, partition, item))

    def _on_contact_removed(self, partition: int, item: ContactRemoved) -> None:
        self.job(partition, item.account, partial(self._contact_removed, partition, item))

    def forget(self, partition: int) -> None:
        """Forget what was read of Postgres, too."""
        super().forget(partition)
        self.quiet.forget(partition)
        self.reading.forget(partition)

    async def _handle(self, partition: int, item: Handle) -> None:
        stanza = item.stanza
        if is_request(stanza):
            _OPS[stanza.type].inc()
            await serve(self, REQUESTS, self, partition, item)
        elif stanza.kind == "presence" and stanza.type in TYPES:
            _OPS["outbound" if item.outbound else "inbound"].inc()
            if item.outbound:
                await self._outbound(partition, item)
            else:
                await self._inbound(partition, item)
        else:
            self.accept(item.origin)

    # --- subscriptions (section 3) -------------------------------------------------------------------------------

    async def _outbound(self, partition: int, item: Handle) -> None:
        account, contact = item.account, bare_of(item.stanza.to)
        stanza = item.stanza.replace(
            from_=account, to=contact
        )  # sections 3.1.2, 3.1.5, 3.2.2, 3.3.2: bare JIDs
        if not contact or contact == account:
            self.accept(item.origin)
            return
        await self.domains.known()
        if stanza.type == "subscribe":
            try:
                self.addresses.destination(contact)
            except StanzaError as error:
                self._bounce(item, error.condition)
                return
        changed = await self._commit(partition, item.origin, account, contact, True, stanza.type, b"")
        if changed is None:
            self._bounce(item, "resource-constraint")
            return
        if changed.step.push:
            self.push(account, changed.account_id, changed.item)
        self._changed(account, contact, changed)
        shown = self._shown(account, contact, changed)
        if changed.step.forward and self.addresses.serves(contact):
            # The contact's roster worker accepts it, once the contact has heard of it. Presence comes after that (sections 3.1.5, 3.2.2).
            self.pass_on(partition, stanza, item.origin, shown)
        else:
            shown()
            self.accept(item.origin)

    async def _inbound(self, partition: int, item: Handle) -> None:
        invited = await self._redeemed(partition, item)
        await self._arrived(partition, item)
        if invited:
            # XEP-0379 section 3.5: and the account asks in return.
            contact = bare_of(item.stanza.from_)
            asking = Stanza.build("presence", type="subscribe", to=contact, from_=item.account)
            origin = self.derived(item.origin, "asks")
            await self._outbound(
                partition, item._replace(origin=origin, full="", outbound=True, stanza=asking)
            )

    async def _redeemed(self, partition: int, item: Handle) -> bool:
        """Whether a request shows a token of the account's invitation: then it is approved before it is looked at (XEP-0379)."""
        stanza, account = item.stanza, item.account
        shown = preauth_subscription.token(stanza) if stanza.type == "subscribe" else ""
        key, contact = digest(shown), bare_of(stanza.from_)
        if key is None or not contact or contact == account:
            return False
        if not await self.database(partition, lambda conn: store.redeem(conn, account, key)):
            return False
        before = self.derived(item.origin, "approves")
        changed = await self._commit(partition, before, account, contact, True, "subscribed", b"")
        if changed is not None and changed.step.push:
            self.push(account, changed.account_id, changed.item)
        return changed is not None

    async def _arrived(self, partition: int, item: Handle) -> None:
        account, contact = item.account, bare_of(item.stanza.from_)
        if not contact or contact == account:
            self.accept(item.origin)
            return
        stanza = item.stanza.replace(from_=contact, to=account)
        changed = await self._commit(
            partition, item.origin, account, contact, False, stanza.type, _pack(stanza)
        )
        if changed is not None:
            if changed.step.forward:
                which = "available" if stanza.type == "subscribe" else INTERESTED
                self.node.bus.post(
                    Kind.ROUTER, self.node.partition(account), ToResources(account, which, stanza)
                )
            if changed.step.push:
                self.push(account, changed.account_id, changed.item)
            self._changed(account, contact, changed)
            shown = self._shown(account, contact, changed)
            if changed.step.reply:
                reply = Stanza.build(
                    "presence", type=changed.step.reply, to=contact, from_=account, id=stanza.id
                )
                origin = self.derived(item.origin, changed.step.reply)
                self.pass_on(partition, reply, origin, partial(self._replied, item.origin, shown))
                return
            shown()
        self.accept(item.origin)

    def _replied(self, origin: Origin, shown: Callable[[], None]) -> None:
        """The contact has our server's answer: it sees the account now, and its request needs nothing more."""
        shown()
        self.accept(origin)

    async def _commit(
        self,
        partition: int,
        origin: Origin,
        account: str,
        contact: str,
        outbound: bool,
        type: str,
        pending: bytes,
    ) -> store.Changed | None:
        incarnation, key, limit = self.node.incarnation, uid(origin), self._limit
        self.quiet.discard(partition, account)
        try:
            return await self.database(
                partition,
                lambda conn: store.subscription(
                    conn, incarnation, account, contact, outbound, type, key, pending, limit
                ),
            )
        finally:
            self.quiet.discard(partition, account)

    def _changed(self, account: str, contact: str, changed: store.Changed) -> None:
        """After the commit: who may see whom has changed. The presence worker hears of it before presence is sent."""
        if changed.step.push:
            notices.subscription(self.node, account, contact, changed.item.subscription)

    def _shown(self, account: str, contact: str, changed: store.Changed) -> Callable[[], None]:
        """What shows the account's presence to the contact, or that there is none any more, if the change asks for it."""
        if not changed.step.presence:
            return _nothing
        available = changed.step.presence == "available"
        if changed.item.shared and not available:
            return _nothing
        return partial(notices.send_presence, self.node, account, contact, available)

    def _bounce(self, item: Handle, condition: str) -> None:
        self.answer(item.origin, item.stanza.replace(from_=item.full).error(StanzaError(condition)))

    # --- sessions and contacts that come and go ------------------------------------------------------------------

    async def _session_up(self, partition: int, item: SessionUp) -> None:
        """A resource that becomes available gets the open requests (section 3.1.3)."""
        since = self.quiet.changes(partition)
        waiting = await self.database(partition, lambda conn: store.pending(conn, item.account))
        if not waiting:
            self.quiet.add(partition, item.account, since)
        for packed in waiting:
            stanza = _unpack(packed)
            self.node.bus.post(
                Kind.ROUTER, self.node.partition(item.account), ToResources(item.account, item.full, stanza)
            )

    async def _contact_removed(self, partition: int, item: ContactRemoved) -> None:
        found = await self.database(partition, lambda conn: store.item(conn, item.account, item.contact))
        if found is None:
            return
        account_id, now = found
        router, partition = Kind.ROUTER, self.node.partition(item.account)
        # Its sessions could tell nobody that they ended: the subscriptions were gone before them.
        for which, type in (
            ("available", "unavailable"),
            (INTERESTED, "unsubscribe"),
            (INTERESTED, "unsubscribed"),
        ):
            stanza = Stanza.build("presence", type=type, to=item.account, from_=item.contact)
            self.node.bus.post(router, partition, ToResources(item.account, which, stanza))
        if now.listed or now.mark:
            self.push(item.account, account_id, now)
        notices.subscription(self.node, item.account, item.contact, now.subscription)


def _nothing() -> None:
    pass


def _pack(stanza: Stanza) -> bytes:
    if stanza.type != "subscribe":
        return b""
    if len(stanza.inner) > _KEPT_BYTES:
        stanza = stanza.replace(payloads=(), inner=b"")
    return bytes(msgpack.packb(tuple(stanza)))


def _unpack(packed: bytes) -> Stanza:
    return Stanza.unpack(msgpack.unpackb(packed, use_list=False))

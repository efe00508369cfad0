"""The roster worker: commits roster sets and subscription changes, then tells everybody whom they concern."""

from __future__ import annotations

from functools import partial
from typing import Final

import msgpack

from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import (
    ContactRemoved,
    Handle,
    Item,
    Kind,
    Origin,
    SessionUp,
    ToResources,
)
from rookery.shared.cluster.api import Node
from rookery.shared.observe.metrics import ROSTER_OPS
from rookery.shared.xeps.registry import INTERESTED
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid, bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import HostedWorker, uid
from rookery.workers.requests import is_request, serve
from rookery.workers.roster import notices, store
from rookery.workers.roster.quiet import Quiet
from rookery.workers.roster.requests import REQUESTS
from rookery.workers.roster.subscription import TYPES

#: What a kept request may carry (a status, a nick); a longer one is kept without it.
_KEPT_BYTES: Final = 4096
_OPS: Final = {op: ROSTER_OPS.labels(op) for op in ("get", "set", "outbound", "inbound")}


class RosterService(HostedWorker):
    """Rosters and subscriptions of the accounts in the held partitions (RFC 6121 sections 2 and 3)."""

    kind = Kind.ROSTER

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._limit = node.config.limits.roster_items
        self._quiet = Quiet()

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        """Queue an item in the lane of its account."""
        match item:
            case Handle():
                self.handle(partition, item, partial(self._handle, partition, item))
            case SessionUp() if self._quiet.known(partition, item.account):
                pass
            case SessionUp():
                self.job(partition, item.account, partial(self._session_up, partition, item))
            case ContactRemoved():
                self.job(partition, item.account, partial(self._contact_removed, partition, item))
            case Call():
                self.node.bus.reply(item, StanzaError("feature-not-implemented"))
            case _:
                pass

    def forget(self, partition: int) -> None:
        """Forget what was read of Postgres, too."""
        super().forget(partition)
        self._quiet.forget(partition)

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
        local = await self.hosts(Jid.trusted(contact).domain)
        if not contact or contact == account:
            self.accept(item.origin)
            return
        if not local and stanza.type == "subscribe":
            self._bounce(item, "remote-server-not-found")
            return
        changed = await self._commit(partition, item.origin, account, contact, True, stanza.type, b"")
        if changed is None:
            self._bounce(item, "resource-constraint")
            return
        if changed.step.push:
            notices.push(self.node, account, changed.account_id, changed.item)
        self._changed(account, contact, changed)
        if changed.step.forward and local:
            self.route(stanza, item.origin)  # the contact's roster worker accepts it
        else:
            self.accept(item.origin)

    async def _inbound(self, partition: int, item: Handle) -> None:
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
                notices.push(self.node, account, changed.account_id, changed.item)
            if changed.step.reply:
                self.route(
                    Stanza.build("presence", type=changed.step.reply, to=contact, from_=account, id=stanza.id)
                )
            self._changed(account, contact, changed)
        self.accept(item.origin)

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
        self._quiet.discard(partition, account)
        return await self.database(
            partition,
            lambda conn: store.subscription(
                conn, incarnation, account, contact, outbound, type, key, pending, limit
            ),
        )

    def _changed(self, account: str, contact: str, changed: store.Changed) -> None:
        """After the commit: who may see whom has changed (the presence worker first, then presence itself)."""
        if changed.step.push:
            notices.subscription(self.node, account, contact, changed.item.state.subscription)
        if changed.step.presence:
            notices.send_presence(self.node, account, contact, changed.step.presence == "available")

    def _bounce(self, item: Handle, condition: str) -> None:
        self.answer(item.origin, item.stanza.replace(from_=item.full).error(StanzaError(condition)))

    # --- sessions and contacts that come and go ------------------------------------------------------------------

    async def _session_up(self, partition: int, item: SessionUp) -> None:
        """A resource that becomes available gets the open requests (section 3.1.3)."""
        waiting = await self.database(partition, lambda conn: store.pending(conn, item.account))
        if not waiting:
            self._quiet.add(partition, item.account)
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
        if now.listed:
            notices.push(self.node, item.account, account_id, now)
        notices.subscription(self.node, item.account, item.contact, now.state.subscription)


def _pack(stanza: Stanza) -> bytes:
    if stanza.type != "subscribe":
        return b""
    if len(stanza.inner) > _KEPT_BYTES:
        stanza = stanza.replace(payloads=(), inner=b"")
    return bytes(msgpack.packb(tuple(stanza)))


def _unpack(packed: bytes) -> Stanza:
    return Stanza.unpack(msgpack.unpackb(packed, use_list=False))

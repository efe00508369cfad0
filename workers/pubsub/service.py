"""The pubsub worker: nodes of the accounts and services in the held partitions, each owner in its own lane."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import trio

from rookery.shared.bus.messages import (
    AccountChanged,
    ContactRemoved,
    Handle,
    Interest,
    Kind,
    Missed,
    NoLongerAway,
    Notified,
    RosterChanged,
    Route,
    TheirAnswer,
    TheirPresence,
)
from rookery.shared.cluster.api import Node
from rookery.shared.xeps.bookmarks import LEGACY
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import Handler, HostedWorker, uid
from rookery.workers.pubsub import approval, bookmarks, reader, store
from rookery.workers.pubsub.elsewhere import Elsewhere
from rookery.workers.pubsub.keeping import Keeping, Request
from rookery.workers.pubsub.last_items import LastItemsOf
from rookery.workers.pubsub.push.pushes import Pushes
from rookery.workers.pubsub.requests import answer

#: What was told so many seconds before a takeover is told again: longer than a death goes unnoticed, also when the next holder dies, too; and
#: shorter than edges and routers remember what sessions were told (`edge.sessions.recent_messages`).
AGAIN_SECONDS: Final = 40
#: How long requests are remembered that a former holder has committed, and how long after a takeover they are looked for.
REMEMBERED_SECONDS: Final = 120
_SWEEP_SECONDS: Final = 15.0
_REQUESTS: Final = frozenset({"get", "set"})


class PubsubService(HostedWorker):
    """Implements `shared.cluster.api.Service` for the kind pubsub (XEP-0060, XEP-0163)."""

    kind = Kind.PUBSUB

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.keeping = Keeping(self)
        self.last_items = LastItemsOf(self)
        self.pushes = Pushes(self)
        self.elsewhere = Elsewhere(self, self.keeping)
        self.keeping.on_bookmarks = partial(bookmarks.tell, self.keeping)
        self.keeping.on_push_changed = self.pushes.changed
        node.on_holder.append(self.keeping.notices.recent.on_holder)
        #: When each partition was acquired.
        self._since: dict[int, float] = {}

    def items(self) -> Mapping[type, Handler]:
        """Who handles what."""
        return {
            Missed: lambda partition, item: self.pushes.on_missed(partition, item),
            NoLongerAway: lambda partition, item: self.pushes.on_back(partition, item),
            Notified: lambda partition, item: self.pushes.on_notified(partition, item),
            Handle: self._on_handle,
            Route: self._on_route,
            Interest: self._on_interest,
            RosterChanged: self._on_roster_changed,
            AccountChanged: self._on_account_changed,
            ContactRemoved: self._on_contact_removed,
            TheirPresence: lambda partition, item: self.elsewhere.on_presence(partition, item),
            TheirAnswer: lambda _, item: self.elsewhere.on_answer(item),
        }

    # --- items ---------------------------------------------------------------------------------------------------

    def _on_handle(self, partition: int, item: Handle) -> None:
        self.handle(partition, item, partial(self._serve, partition, item))

    def _on_route(self, partition: int, item: Route) -> None:
        """Something for a service: it is handled as what a router forwards to an account."""
        stanza = item.stanza
        handle = Handle(item.origin, bare_of(stanza.to), stanza.from_, False, stanza)
        self.handle(partition, handle, partial(self._serve, partition, handle))

    def _on_interest(self, partition: int, item: Interest) -> None:
        if LEGACY in item.names:
            self.keeping.reads_old(partition, item.account)
        self.last_items.ask(partition, item)

    def _on_roster_changed(self, partition: int, item: RosterChanged) -> None:
        self.keeping.audiences.forget(item.account)
        if item.subscription in ("from", "both"):
            self.job(partition, item.account, partial(self._new_contact, partition, item))
        else:
            self.keeping.cancelled.add(item.account, item.contact, trio.current_time())
            self.elsewhere.forget_contact(item.account, item.contact)

    def _on_account_changed(self, partition: int, item: AccountChanged) -> None:
        if item.what in ("removed", "blocklist", "created", "roster"):
            self.job(partition, item.account, partial(self._account_changed, item))

    def _on_contact_removed(self, partition: int, item: ContactRemoved) -> None:
        """Nodes of this owner had the account in their lists: they are read again."""
        self.job(partition, item.account, partial(self._account_changed, item))

    async def _account_changed(self, item: AccountChanged | ContactRemoved) -> None:
        self.keeping.forget_owner(item.account)

    async def _new_contact(self, partition: int, item: RosterChanged) -> None:
        """A contact who may see the account from now on gets its last items (XEP-0163 section 4.3.2)."""
        self.keeping.audiences.forget(item.account)
        if self.addresses.account(item.contact):
            await self.keeping.show(partition, item.account, item.contact)
        elif item.subscription == "both" and await self.database(
            partition, lambda conn: reader.owns(conn, item.account)
        ):
            # What its presence said before it was let in was not looked at.
            self.elsewhere.probe(item.account, item.contact)

    # --- requests ------------------------------------------------------------------------------------------------

    async def _serve(self, partition: int, item: Handle) -> None:
        stanza = item.stanza
        request = Request(partition, item)
        # A result is what the router has answered for an account, to be completed.
        if stanza.kind == "iq" and (
            stanza.type in _REQUESTS or (stanza.type == "result" and self.addresses.account(request.owner))
        ):
            await self.serve_iq(item.origin, stanza, partial(self._answer, request))
            return
        if stanza.kind == "message" and stanza.type != "error" and not request.account:
            await self.serve_message(request)
        self.accept(item.origin)

    async def serve_message(self, request: Request) -> None:
        """A message to a service: perhaps an owner's approval of a subscription (section 8.6)."""
        try:
            await approval.answer(self.keeping, request)
        except StanzaError as exc:
            self.reply(request.stanza.error(exc), request.origin)

    async def _answer(self, request: Request) -> Stanza | None:
        stanza = request.stanza
        if not request.account and stanza.to != request.owner:
            raise StanzaError("service-unavailable")
        if request.account and not self.addresses.account(request.owner):
            # `somebody@pubsub.example.org`: there is nobody.
            raise StanzaError("service-unavailable")
        if stanza.type == "set" and self._recent(request.partition):
            done = await self.database(
                request.partition, lambda conn: store.done(conn, uid(request.origin)), request.deadline
            )
            if done is not None:
                reply, _ = done
                return stanza.result(parse_element(reply)) if reply else stanza.result()
        return await answer(self.keeping, request)

    def _recent(self, partition: int) -> bool:
        """Whether a request may come again that a former holder has committed."""
        return trio.current_time() - self._since.get(partition, 0.0) < REMEMBERED_SECONDS / 2

    # --- the service ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(super().run)
            nursery.start_soon(self.keeping.notices.recent.run)
            nursery.start_soon(self.last_items.run)
            nursery.start_soon(self.pushes.run)
            nursery.start_soon(self._sweep)

    async def acquire(self, partition: int, epoch: int) -> None:
        """Tell again what a former holder may not have told to everybody."""
        self._since[partition] = trio.current_time()
        await self.domains.known()
        told = await self.database(partition, lambda conn: reader.told(conn, partition, AGAIN_SECONDS))
        for node, data in told:
            await self.keeping.tell_again(partition, node, data)
        await self.pushes.acquire(partition)

    def forget(self, partition: int) -> None:
        """Forget what was read of Postgres, too."""
        super().forget(partition)
        self.keeping.forget(partition)
        self.pushes.forget(partition)
        self.elsewhere.forget(partition)
        self._since.pop(partition, None)

    async def _sweep(self) -> None:
        """Forget what was told long ago."""
        incarnation = self.node.incarnation
        while True:
            await trio.sleep(_SWEEP_SECONDS)
            self.elsewhere.tick()
            await self.database(0, lambda conn: store.forget(conn, incarnation, REMEMBERED_SECONDS))

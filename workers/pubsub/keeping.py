"""From a request to a commit: what the machine needs to know of nodes and of who asks, and what becomes of what it decides."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from rookery.shared.bus.messages import NOBODY, AccountChanged, Handle, Kind, Origin
from rookery.shared.xeps.avatar_conversion import METADATA
from rookery.shared.xeps.blocking import matches
from rookery.shared.xeps.bookmarks import NODE as BOOKMARKS
from rookery.shared.xeps.pubsub import Options
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.hosted import HostedWorker, uid
from rookery.workers.pubsub import notices, reader, store
from rookery.workers.pubsub.cancelled import Cancelled
from rookery.workers.pubsub.changes import Change, Deleted, Outcome, Published, event, evolve
from rookery.workers.pubsub.config import Limits
from rookery.workers.pubsub.errors import no_node
from rookery.workers.pubsub.node import Ask, Contact, Node
from rookery.workers.pubsub.nodes import MAX_AGE, Audiences, Nodes, Seen
from rookery.workers.pubsub.publisher import items_element

#: Owners whose used octets are remembered.
_USED: Final = 10_000
#: Accounts that are remembered for their clients of the old bookmarks.
_READERS: Final = 50_000
_NOBODY: Final = Seen(0, frozenset(), frozenset(), 0.0)


class Request:
    """One request: of whom to which owner, and what commits need of it."""

    __slots__ = ("account", "deadline", "from_", "origin", "owner", "partition", "stanza")

    def __init__(self, partition: int, item: Handle) -> None:
        self.partition = partition
        self.owner = item.account
        self.from_ = item.stanza.from_
        self.stanza = item.stanza
        self.origin: Origin = item.origin
        self.deadline = item.origin.deadline
        #: Whether the owner is an account (PEP), not a service.
        self.account = "@" in item.account

    def silent(self) -> Request:
        """The same for a change before the last one of a request: only the last one is what the request has done."""
        made = Request(self.partition, Handle(NOBODY, self.owner, self.from_, True, self.stanza))
        made.deadline = self.deadline
        return made

    @property
    def own(self) -> bool:
        """Whether the sender is the owner."""
        return bare_of(self.from_) == self.owner


class Keeping:
    """Nodes in use, and how they change."""

    def __init__(self, worker: HostedWorker) -> None:
        self.worker = worker
        self.options = worker.node.config.options(Options)
        self.limits = Limits(self.options.items_per_node, self.options.item_bytes)
        self.nodes = Nodes(self.options.cache_bytes)
        self.audiences = Audiences()
        self.notices = notices.Notices(worker)
        self.cancelled = Cancelled()
        #: Called with an account whose clients want to be notified, or do not any more.
        self.on_push_changed: Callable[[str], None] = _ignore
        #: Called when contacts of an account were told of something, with its partition and their bare JIDs.
        self.on_told: Callable[[int, str, Sequence[str]], None] = _nothing
        #: Called when the bookmarks of an account have changed that has clients of the old node (`bookmarks`), with its partition.
        self.on_bookmarks: Callable[[int, Node], Awaitable[None]] = _nobody
        #: Such accounts, with their partitions.
        self.old_readers: OrderedDict[str, int] = OrderedDict()
        self._used: OrderedDict[str, int] = OrderedDict()

    # --- what is known -----------------------------------------------------------------------------------------------

    async def find(self, partition: int, owner: str, name: str, deadline: int = 0) -> Node | None:
        """A node, None when there is none. Call it in the lane of the owner."""
        node = self.nodes.get(owner, name)
        if node is None:
            node = await self.worker.database(
                partition, lambda conn: reader.load(conn, owner, name), deadline
            )
            if node is not None:
                self.nodes.put(partition, node)
        return node

    async def need(self, request: Request, name: str | None) -> Node:
        """A node that a request names. Raises StanzaError."""
        node = await self.find(request.partition, request.owner, name or "", request.deadline)
        if node is None:
            raise no_node()
        return node

    async def seen(self, partition: int, owner: str) -> Seen:
        """Who sees the presence of an account."""
        known = self.audiences.get(owner, trio.current_time())
        if known is None:
            contacts, blocked = await self.worker.database(
                partition, lambda conn: reader.audience(conn, owner)
            )
            known = Seen(partition, frozenset(contacts), blocked, trio.current_time() + MAX_AGE)
            self.audiences.put(owner, known)
        return known

    async def ask(self, request: Request, node: Node | None = None) -> Ask:
        """Who asks. How the account stands to the sender is looked up only where that matters."""
        contact = Contact(False)
        bare = bare_of(request.from_)
        if request.account and not request.own and node is not None and node.affiliation(bare) == "none":
            model = node.config.text("access_model")
            if model in ("presence", "roster"):
                seen = await self.seen(request.partition, request.owner)
                contact = Contact(bare in seen.contacts and not matches(seen.blocked, bare))
            if model == "roster" and contact.sees:
                contact = await self.worker.database(
                    request.partition,
                    lambda conn: reader.contact(conn, request.owner, bare),
                    request.deadline,
                )
        return Ask(request.from_, time.time(), self.limits, contact, secrets.token_urlsafe(9))

    # --- quotas ------------------------------------------------------------------------------------------------------

    async def may_create(self, request: Request, ask: Ask) -> None:
        """Raises StanzaError when the sender may not make a node here, or has too many."""
        options = self.options
        if request.account:
            if not request.own:
                raise StanzaError("forbidden")
        elif options.create == "nobody" or (
            options.create == "local" and not self.worker.addresses.account(ask.bare)
        ):
            raise StanzaError("forbidden")
        counts = await self.worker.database(
            request.partition, lambda conn: reader.counts(conn, request.owner, ask.bare), request.deadline
        )
        most = options.nodes_per_account if request.account else options.nodes_per_service
        if counts.nodes >= most or (not request.account and counts.made >= options.nodes_per_creator):
            raise StanzaError("resource-constraint", "there are too many nodes")

    async def may_store(self, request: Request, size: int) -> None:
        """Raises StanzaError when an account's items would take too much. What is counted is read again before it says no."""
        if not request.account:
            return
        owner, most = request.owner, self.options.account_bytes
        used = self._used.get(owner)
        if used is None or used + size > most:
            used = await self.worker.database(
                request.partition, lambda conn: reader.used_bytes(conn, owner), request.deadline
            )
        if used + size > most:
            self._used.pop(owner, None)
            raise StanzaError("resource-constraint", f"the items of an account are limited to {most} bytes")
        self._used[owner] = used + size
        self._used.move_to_end(owner)
        if len(self._used) > _USED:
            self._used.popitem(last=False)

    # --- changes -----------------------------------------------------------------------------------------------------

    async def apply(self, request: Request, node: Node, outcome: Outcome) -> Element | None:
        """Commit what was decided, then tell it; returns the payload of the answer. Raises StanzaError, Fenced."""
        if not outcome.changes and not outcome.events:
            return outcome.reply
        worker, partition = self.worker, request.partition
        told = notices.written(outcome.events)
        deleted = any(isinstance(change, Deleted) for change in outcome.changes)
        whom: notices.Audience | None = None
        if deleted and told:
            whom = await self._audience(partition, node)
        n = max([node.n, *(one.n for one in told), *_numbers(outcome.changes)])
        if outcome.changes or n > node.n:
            reply = b"" if outcome.reply is None else outcome.reply.encode()
            record = store.Record(partition, uid(request.origin), reply, notices.pack(node, told, whom))
            await self._commit(request, node, outcome.changes, n, record)
        for change in outcome.changes:
            evolve(node, change)
        node.n = n
        if node.name == METADATA:
            self._avatar_changed(node.owner)
        if deleted:
            self.nodes.forget(node.owner, node.name)
        else:
            self.nodes.put(partition, node)
        if told:
            await worker.domains.known()
            whom = whom or await self._audience(partition, node)
            self.notices.tell(node.owner, node.name, node.id, told, whom)
            if whom.contacts:
                self.on_told(partition, node.owner, whom.contacts)
            if node.name == BOOKMARKS and node.owner in self.old_readers:
                await self.on_bookmarks(partition, node)
        return outcome.reply

    async def _commit(
        self, request: Request, node: Node, changes: Sequence[Change], n: int, record: store.Record
    ) -> None:
        incarnation = self.worker.node.incarnation
        only = changes[0] if len(changes) == 1 else None
        try:
            if isinstance(only, Published):
                trim = node.count >= only.keep or only.expire > 0
                await self.worker.database(
                    request.partition,
                    lambda conn: store.publish(
                        conn, incarnation, node, only, record, trim=trim and only.keep > 0
                    ),
                    request.deadline,
                )
            else:
                await self.worker.database(
                    request.partition,
                    lambda conn: store.commit(conn, incarnation, node, changes, n, record),
                    request.deadline,
                )
        except BaseException:
            # Whether it was committed is not known, or the node is not what it was thought to be.
            self.nodes.forget(node.owner, node.name)
            raise

    async def _audience(self, partition: int, node: Node) -> notices.Audience:
        if not node.account:
            return notices.audience(node, _NOBODY, None)
        seen = await self.seen(partition, node.owner)
        groups: frozenset[str] | None = None
        if node.config.text("access_model") == "roster":
            allowed = node.config.values("roster_groups_allowed")
            groups = await self.worker.database(
                partition, lambda conn: reader.in_groups(conn, node.owner, allowed)
            )
        return notices.audience(node, seen, groups)

    def reads_old(self, partition: int, account: str) -> None:
        """A client of the account wants to be told of its old bookmarks."""
        self.old_readers[account] = partition
        self.old_readers.move_to_end(account)
        if len(self.old_readers) > _READERS:
            self.old_readers.popitem(last=False)

    async def tell_again(self, partition: int, id: int, data: bytes) -> None:
        """What a former holder has committed, and perhaps not told to everybody."""
        owner, name, told, gone = notices.unpack(data)
        if name == METADATA:
            self._avatar_changed(owner)
        if gone is None:
            node = await self.find(partition, owner, name)
            if node is None or node.id != id:
                return
            gone = await self._audience(partition, node)
        self.notices.tell(owner, name, id, told, gone)

    def _avatar_changed(self, owner: str) -> None:
        """Presence of an account carries the hash of its avatar (XEP-0398): the router reads it again."""
        if "@" in owner:
            node = self.worker.node
            node.bus.post(Kind.ROUTER, node.partition(owner), AccountChanged(owner, "avatar"))

    async def show(
        self,
        partition: int,
        account: str,
        contact: str,
        full: str = "",
        wants: frozenset[str] = frozenset(),
    ) -> None:
        """Send the last items of an account to a contact who may see it from now on (XEP-0163 section 4.3.2); or those of nodes
        that a client at another server `wants`, which is there from now on, to that one alone."""
        again = self.cancelled.take(account, contact, trio.current_time())
        names = await self.worker.database(partition, lambda conn: reader.shown(conn, account))
        for name in names:
            if full and name not in wants:
                continue
            node = await self.find(partition, account, name)
            last = None if node is None else node.newest(time.time())
            if node is None or last is None:
                continue
            whom = await self._audience(partition, node)
            if contact in whom.contacts:
                only = notices.Audience(((full, ()),), ()) if full else notices.Audience((), (contact,))
                n = await self._next(partition, node) if again else last.n
                told = event(node, items_element(node, (last,)), n)
                self.notices.tell(account, name, node.id, notices.written((told,)), only)

    async def _next(self, partition: int, node: Node) -> int:
        """A new number of a node, committed: for what is told once more."""
        record = store.Record(partition, b"", b"", b"")
        incarnation, n = self.worker.node.incarnation, node.n + 1
        await self.worker.database(
            partition, lambda conn: store.commit(conn, incarnation, node, (), n, record)
        )
        node.n = n
        return n

    # --- the end of what is known ------------------------------------------------------------------------------------

    def forget(self, partition: int) -> None:
        """Another process holds the partition now."""
        self.nodes.forget_partition(partition)
        for account in [name for name, number in self.old_readers.items() if number == partition]:
            del self.old_readers[account]
        self.audiences.forget_partition(partition)

    def forget_owner(self, owner: str) -> None:
        """An account was removed, or has changed."""
        self.nodes.forget_owner(owner)
        self.audiences.forget(owner)
        self._used.pop(owner, None)


def _numbers(changes: Sequence[Change]) -> list[int]:
    return [change.item.n for change in changes if isinstance(change, Published)]


def result(request: Request, payload: Element | None) -> Stanza:
    """The answer to a request."""
    return request.stanza.result() if payload is None else request.stanza.result(payload)


def _ignore(account: str) -> None:
    pass


async def _nobody(partition: int, node: Node) -> None:
    pass


def _nothing(partition: int, owner: str, contacts: Sequence[str]) -> None:
    pass

"""What the small workers have in common: dispatch, answers, acceptance, patience with the database, the address book."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog
import trio

from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import NOBODY, Accepted, Handle, Item, Kind, Origin, Route, answering
from rookery.shared.bus.notices import Post
from rookery.shared.cluster.addresses import OWN, Addresses
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.domains import DomainReader, DomainRow, read_rows
from rookery.shared.cluster.federation import federated
from rookery.shared.custody.custodian import Custodian
from rookery.shared.custody.kept import Handed
from rookery.shared.db.api import DatabaseUnavailable, Fenced, UnitOfWork
from rookery.shared.observe.clients import ClientLog
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.lanes import Lanes
from rookery.workers.once import Once

T = TypeVar("T")
#: What handles an item: (partition, item). It must not block.
Handler = Callable[[int, Any], None]
#: What answers a request: (partition, call, request).
Answerer = Callable[[int, Call, Any], None]
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 0.5
log = structlog.get_logger()


class DeadlineError(Exception):
    """A request's deadline passed while the database could not be reached; nobody waits for the answer any more."""


class HostedWorker:
    """Base of the small workers' services: a table of handlers, and one lane for each bare JID.

    What a kind takes stands in `items` and `calls`, by type. Items of other types are ignored, since a later version may send them;
    calls of other types get feature-not-implemented.
    """

    kind: Kind

    def __init__(self, node: Node) -> None:
        self.node = node
        #: Lines about accounts.
        self.client_log = ClientLog(node.config.log.client_lines_per_second)
        self.lanes = Lanes()
        self.once = Once()
        self.addresses = Addresses(node.partition, federated=federated(node.config))
        self.domains = DomainReader(self.addresses, self._domain_rows)
        node.on_domains.append(self.domains.refresh)
        #: What was handed on with somebody waiting for its acceptance.
        self.custodian = Custodian(node, self._settled)
        #: What is done once a stanza that was handed on is accepted, by its uid, with the partition that it came to.
        self._then: dict[tuple[bytes, int], tuple[int, Callable[[], None]]] = {}
        self._handlers = self.items()
        self._answerers = self.calls()

    # --- dispatch ------------------------------------------------------------------------------------------------

    def items(self) -> Mapping[type, Handler]:
        """Who handles what."""
        return {}

    def calls(self) -> Mapping[type, Answerer]:
        """Who answers which requests."""
        return {}

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        """Handle an item or a call."""
        if isinstance(item, Call):
            answerer = self._answerers.get(type(item.request))
            if answerer is None:
                self.node.bus.reply(item, StanzaError("feature-not-implemented"))
            else:
                answerer(partition, item, item.request)
            return
        handler = self._handlers.get(type(item))
        if handler is not None:
            handler(partition, item)

    # --- the database --------------------------------------------------------------------------------------------

    async def database(self, partition: int, work: UnitOfWork[T], deadline: int = 0) -> T:
        """Run a unit of work, again and again while Postgres is away (`deadline` in Unix milliseconds, 0: for ever).

        Raises DeadlineError, Fenced, or what `work` raises.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self.node.db.run(partition, work, op=self.kind.label)
            except DatabaseUnavailable as exc:
                if deadline and time.time() * 1000 > deadline:
                    raise DeadlineError from exc
            except Fenced:
                self.node.fail("the fence is closed")
                raise
            await trio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def job(self, partition: int, key: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` in the lane of `key`; what goes wrong is logged and ends only this job."""

        async def guarded() -> None:
            try:
                await work()
            except (DeadlineError, Fenced):
                pass
            except Exception:
                log.exception("job_failed", kind=type(self).__name__)

        self.lanes.submit(partition, key, guarded)

    def handle(
        self, partition: int, item: Handle, work: Callable[[], Awaitable[None]], lane: str = ""
    ) -> None:
        """Do `work` for an item in the lane of its account, unless that is under way or done: it may be sent again.

        What takes long has a `lane` of its own.
        """
        origin, outbound, once = item.origin, item.outbound, self.once
        if once.is_done(origin):
            self.accept(origin)
        elif once.begin(partition, origin, outbound):

            async def tracked() -> None:
                try:
                    await work()
                finally:
                    once.end(partition, origin, outbound)

            self.job(partition, lane or item.account, tracked)

    async def _domain_rows(self) -> Sequence[DomainRow]:
        return await self.database(0, read_rows)

    # --- the bus -------------------------------------------------------------------------------------------------

    def route(self, stanza: Stanza, origin: Origin = NOBODY) -> None:
        """Hand a stanza to whoever serves its recipient; a router refuses what nobody serves."""
        self.node.bus.post(*self._place(stanza.to), Route(origin, stanza))

    def _place(self, to: str) -> tuple[Kind, int]:
        kind, partition = self.addresses.place(to)
        if partition == OWN or not self.addresses.serves(to):
            return Kind.ROUTER, self.node.partition(bare_of(to))
        return kind, partition

    def tell(self, posts: Iterable[Post]) -> None:
        """Post notices (`shared.bus.notices`)."""
        for kind, account, item in posts:
            self.node.bus.post(kind, self.node.partition(account), item)

    def pass_on(
        self, partition: int, stanza: Stanza, origin: Origin, then: Callable[[], None] | None = None
    ) -> None:
        """Hand a stanza that came to `partition` on to whoever serves its recipient; it is accepted when that has accepted it.

        `then` is called after that; at once for what nobody keeps.
        """
        if then is not None and origin.custodian:
            self._then[origin.stream, origin.n] = partition, then
        self.custodian.hand_on(partition, self._place(stanza.to), Route(origin, stanza), sent=True)
        if then is not None and not origin.custodian:
            then()

    def derived(self, origin: Origin, what: str) -> Origin:
        """The uid of a stanza that this worker makes because of another one, for `pass_on`; none for what has no uid itself."""
        if not origin.stream:
            return NOBODY
        return Origin(what.encode() + b":" + origin.stream, origin.n, self.node.incarnation)

    def _settled(self, handed: Handed) -> None:
        former = handed.former
        self.accept(former)
        found = self._then.pop((former.stream, former.n), None)
        if found is not None:
            found[1]()

    def accept(self, origin: Origin) -> None:
        """Tell the custodian that nothing more will be needed of it for this stanza."""
        self.once.done(origin)
        if origin.custodian:
            self.node.bus.post_to(origin.custodian, Accepted(((origin.stream, origin.n),)))

    def answer(self, origin: Origin, stanza: Stanza) -> None:
        """Send the answer of an iq and accept the request."""
        self.reply(stanza, origin)
        self.accept(origin)

    def reply(self, stanza: Stanza, origin: Origin) -> None:
        """Send the answer of the request with this origin. After its deadline the edge has answered it."""
        if stanza.to and not (origin.deadline and time.time() * 1000 > origin.deadline):
            self.route(stanza, answering(origin))

    async def serve_iq(
        self, origin: Origin, iq: Stanza, work: Callable[[], Awaitable[Stanza | None]]
    ) -> None:
        """Answer an iq with what `work` returns or with the error that it raises (RFC 6120 section 8.2.3).

        None means that `work` has sent the answer itself. Then the request is accepted.
        """
        reply: Stanza | None
        try:
            reply = await work()
        except StanzaError as exc:
            reply = iq.error(exc)
        except DeadlineError:
            reply = None  # the edge has answered it (config `limits.iq_seconds`)
        except Fenced:
            return
        except Exception:
            log.exception("iq_failed", kind=type(self).__name__)
            reply = iq.error(StanzaError("internal-server-error"))
        if reply is None:
            self.accept(origin)
        else:
            self.answer(origin, reply)

    # --- the service ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.domains.run)
            nursery.start_soon(self.lanes.run)
            nursery.start_soon(self.custodian.run)

    async def acquire(self, partition: int, epoch: int) -> None:
        """Nothing to hydrate: what is needed is read when it is needed."""

    async def release(self, partition: int) -> None:
        """Finish and commit what was received."""
        await self.lanes.drain(partition)
        for came, then in list(self._then.values()):
            if came == partition:
                then()  # rather a little early than never
        self.forget(partition)

    def drop(self, partition: int) -> None:
        """Forget the partition at once."""
        self.lanes.drop(partition)
        self.forget(partition)

    def forget(self, partition: int) -> None:
        """The partition is another process's now: nothing that is known of it stays true."""
        self.once.forget(partition)
        self.custodian.forget(partition)
        for key in [key for key, (came, _) in self._then.items() if came == partition]:
            del self._then[key]


def uid(origin: Origin) -> bytes:
    """The uid of a stanza as one key; empty for what the server made by itself."""
    return origin.stream + origin.n.to_bytes(8, "big") if origin.stream else b""

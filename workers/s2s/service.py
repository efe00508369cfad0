"""The s2s worker: other servers, as the cluster sees them.

Out: what is for a domain that is not hosted here comes to the holder of that domain's partition. What must not be lost has a row first, then
it is accepted, then it is sent. In: `incoming`. What cannot be brought becomes one error to its sender.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import structlog
import trio

from rookery.shared.bus.messages import NOBODY, Accepted, Fanout, Kind, Origin, Route, TryRemote
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.cluster.federation import federated
from rookery.shared.custody.kept import Handed
from rookery.shared.observe import metrics
from rookery.shared.store.holding import Held
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import Handler, HostedWorker
from rookery.workers.s2s.acquaintance import speaks
from rookery.workers.s2s.answers import domain_of, error_of, until
from rookery.workers.s2s.floods import Floods, Requests
from rookery.workers.s2s.incoming import Incoming
from rookery.workers.s2s.network import Network
from rookery.workers.s2s.outgoing.conditions import Condition
from rookery.workers.s2s.outgoing.remote import Remote
from rookery.workers.s2s.outgoing.remotes import Remotes
from rookery.workers.s2s.queue.entries import Entry, durable
from rookery.workers.s2s.queue.pair import Pair
from rookery.workers.s2s.queue.writer import QueueWriter
from rookery.workers.s2s.queues import Queues
from rookery.workers.s2s.returns import Returns
from rookery.workers.s2s.streams.policies import Domains, Policies, Policy

_log = structlog.get_logger()
#: How long a partition that is given away waits for other servers to acknowledge what they were sent.
RELEASE_SECONDS: Final = 3.0
DRAIN_SECONDS: Final = 5.0
#: A domain that comes by itself is tried at once, but not again within this time; how many such are remembered before old ones are dropped.
BACK_AGAIN_SECONDS: Final = 10.0
#: Seconds between looks at what accounts that write too fast have sent.
SLOWED_SECONDS: Final = 0.25
_TRIED: Final = 4096
_Uid = tuple[bytes, int]


class _Coming:
    """A stanza whose row is not committed, or that waits since its sender floods: who is to be told."""

    __slots__ = ("custodians", "partition")

    def __init__(self, custodian: str, partition: int) -> None:
        self.custodians = {custodian}
        self.partition = partition


class S2sService(HostedWorker):
    """Implements `shared.cluster.api.Service` for the kind s2s."""

    kind = Kind.S2S
    #: What is added to the number of a partition in the tables of the queues, which components use, too.
    rows = 0
    #: Whether it is remembered who was written to.
    friends = True

    def __init__(self, node: Node, *, network: bool = True) -> None:
        super().__init__(node)
        self._config = config = node.config.s2s
        self._writer = QueueWriter(node.db, node.incarnation, node.fail)
        self._writer.landed = self._landed
        #: What cannot be brought goes back this way.
        self.returns = Returns(self, self._place, self._forbidden)
        self.queues = self.returns.queues = Queues(self._writer, node.incarnation, self.returns.give_up)
        self.remotes = Remotes(self.queues, longest_pause=config.longest_pause_seconds)
        self.queues.remotes = self.remotes
        self.remotes.on_look = self.returns.look
        self.incoming = Incoming(node, self.addresses, self.custodian, self.returns.refuse)
        self.incoming.on_proved = self._back_again
        #: When a domain was last tried because it had come by itself.
        self._tried: dict[str, float] = {}
        self._coming: dict[_Uid, _Coming] = {}
        #: What accounts of ours send too fast: (partition, origin, stanza).
        self.floods: Floods[tuple[int, Origin, Stanza]] = Floods(
            config.account_stanzas_per_minute, config.account_stanzas_burst
        )
        self.incoming.requests = self.requests = Requests(config.subscriptions_per_minute)
        self._accepted: dict[str, list[_Uid]] = {}
        self._dirty: dict[str, Remote] = {}
        #: None where no other server is spoken to: what comes is refused.
        self._network: Network | None = None
        self._taken = 0
        self._measure()
        #: Who may speak with whom, by what is configured and what the rows of hosted domains say.
        self.policies = Policies(
            Policy(config.policy, Domains(config.allow_domains), Domains(config.block_domains))
        )
        self.domains.changed = self._learn
        self._off = not federated(node.config)
        if network and not self._off:
            self._network = Network(node, self.addresses, self.incoming, self.remotes, self.policies)

    def _measure(self) -> None:
        """What is counted, for whoever reads it."""
        for condition in Condition:
            metrics.S2S_DOMAINS.sample(partial(self.remotes.count_of, condition), condition.value)
        metrics.S2S_WAITING.sample(self.remotes.waiting)
        metrics.S2S_STANZAS.sample(lambda: self.incoming.count, "in")
        metrics.S2S_STANZAS.sample(lambda: self._taken, "out")
        metrics.S2S_RETURNED.sample(lambda: self.returns.count)
        metrics.S2S_SLOWED.sample(lambda: self.floods.slowed)
        metrics.S2S_SUBSCRIPTIONS_REFUSED.sample(lambda: self.requests.refused)
        metrics.S2S_STRANGERS.sample(lambda: len(self._network.streams.strangers()) if self._network else 0)
        for at, direction in enumerate(("out", "in")):
            metrics.S2S_STREAMS.sample(partial(self._streams, at), direction)

    def _streams(self, at: int) -> int:
        return 0 if self._network is None else self._network.streams.counts[at]

    @property
    def ports(self) -> dict[str, int]:
        """The ports that other servers connect to."""
        return {} if self._network is None else self._network.ports

    def items(self) -> Mapping[type, Handler]:
        """Who handles what."""
        return {Route: self._on_route, Fanout: self._on_fanout, TryRemote: self._on_try}

    # --- out ---------------------------------------------------------------------------------------------------------

    def _on_route(self, partition: int, item: Route) -> None:
        held = self.remotes.held(partition + self.rows)
        if held is not None:
            self._take(held, item.origin, item.stanza)

    def _on_fanout(self, partition: int, item: Fanout) -> None:
        """One stanza for many: each recipient has a uid of its own."""
        for to in item.recipients:
            origin = NOBODY
            if item.origin.stream:
                origin = Origin(item.origin.stream + b"/" + to.encode(), item.origin.n, "")
            place = self.addresses.place(to)
            held = self.remotes.held(place.partition + self.rows) if place.kind is self.kind else None
            if held is None:
                self.route(item.stanza.replace(to=to), origin)
            else:
                self._take(held, origin, item.stanza.replace(to=to))

    def _on_try(self, partition: int, item: TryRemote) -> None:
        peer = self.remotes.find(item.domain)
        if peer is not None:
            peer.retry()

    def _back_again(self, remote: str) -> None:
        """A domain that comes by itself is there: what waits for it need not wait for the end of a pause. Not for each of its streams."""
        now = trio.current_time()
        if now < self._tried.get(remote, 0.0):
            return
        if len(self._tried) > _TRIED:
            self._tried = {name: until for name, until in self._tried.items() if until > now}
        self._tried[remote] = now + BACK_AGAIN_SECONDS
        place = self.addresses.place(remote)
        if place.kind is not Kind.S2S:
            return
        if self.remotes.held(place.partition) is not None:
            self._on_try(place.partition, TryRemote(remote))
        else:
            self.node.bus.post(Kind.S2S, place.partition, TryRemote(remote))

    def _take(self, held: Held, origin: Origin, stanza: Stanza) -> None:
        """Put a stanza into the queue of its pair of domains."""
        uid = origin.stream, origin.n
        if origin.stream:
            if self.once.is_done(origin):
                self.accept(origin)
                return
            if (coming := self._coming.get(uid)) is not None:
                coming.custodians.add(origin.custodian)
                return
        local, remote = domain_of(stanza.from_), domain_of(stanza.to)
        error = self._forbidden(local, remote)
        if error is not None:
            self.returns.refuse(stanza, error, origin)
            self.accept(origin)
            return
        self._taken += 1
        if self._may_go_on(held, origin, stanza):
            self._go_on(held, origin, stanza)

    def _may_go_on(self, held: Held, origin: Origin, stanza: Stanza) -> bool:
        """An account that floods other servers is slowed: its stanzas are accepted later, in order, so its stream is read later."""
        account = bare_of(stanza.from_)
        if not self.addresses.account(account):
            return True
        before = self.floods.slowed
        verdict = self.floods.take(account, stanza, (held.partition, origin, stanza), trio.current_time())
        if verdict is None:
            self.returns.refuse(stanza, StanzaError("resource-constraint", "you write too fast"), origin)
            self.accept(origin)
        elif not verdict:
            if origin.stream:
                self._coming[origin.stream, origin.n] = _Coming(origin.custodian, held.partition)
            if self.floods.slowed > before:
                _log.warning("s2s_account_slowed", account=account)
        return verdict is True

    async def _unhurried(self) -> None:
        """What waited for its sender's rate goes on."""
        while True:
            await trio.sleep(SLOWED_SECONDS)
            for partition, origin, stanza in self.floods.due(trio.current_time()):
                held = self.remotes.held(partition)
                if held is not None:
                    self._go_on(held, origin, stanza)

    def _go_on(self, held: Held, origin: Origin, stanza: Stanza) -> None:
        local, remote = domain_of(stanza.from_), domain_of(stanza.to)
        peer = self.remotes.get(remote, held.partition).at(local)
        pair = peer.pair(local)
        if self.friends and not pair.spoken and speaks(stanza, self.addresses):
            self._spoke(held, pair)
        try:
            self._queue(held, peer, pair, origin, stanza)
        except StanzaError as refusal:
            self.returns.refuse(stanza, refusal, origin)
            self._accept_coming(origin)

    def _spoke(self, held: Held, pair: Pair) -> None:
        """A user of ours writes to this domain: it is no stranger."""
        pair.spoken = True
        self._writer.spoken(held.partition, pair.remote, pair.local, held)
        if self._network is not None:
            self._network.streams.befriend(pair.remote)

    def _accept_coming(self, origin: Origin) -> None:
        """Nothing waits for a commit, but whoever sent it meanwhile is told, too."""
        coming = self._coming.pop((origin.stream, origin.n), None)
        for custodian in coming.custodians if coming is not None else (origin.custodian,):
            self.accept(origin._replace(custodian=custodian))

    def _forbidden(self, local: str, remote: str) -> StanzaError | None:
        if not local or not remote:
            return StanzaError("jid-malformed")
        if self._off:
            return StanzaError("remote-server-not-found")
        if not self.policies.allows(remote, local):
            return StanzaError("not-allowed", f"{local} does not speak with {remote}")
        return None

    def _queue(self, held: Held, peer: Remote, pair: Pair, origin: Origin, stanza: Stanza) -> None:
        now = time.time()
        config = self._config
        if not durable(stanza):
            self._loose(peer, pair, Entry(stanza, origin, 0, now, until(stanza, origin, now)))
            return
        if self.queues.full:
            raise StanzaError("resource-constraint", "the server cannot store messages now")
        if pair.rows >= config.queue_stanzas:
            raise StanzaError("resource-constraint", "too much waits for that server")
        seconds = config.queue_seconds if peer.worked else config.queue_new_seconds
        entry = Entry(stanza, origin, held.ids.next(), now, now + seconds)
        pair.push(entry)
        if origin.stream:
            uid = origin.stream, origin.n
            self._coming.setdefault(uid, _Coming(origin.custodian, held.partition))
        self.queues.put(held, peer, pair.local, entry, partial(self._committed, peer, pair, entry))
        peer.pump()

    def _loose(self, peer: Remote, pair: Pair, entry: Entry) -> None:
        """What has no row: it waits in memory, and a request not at all when its answer could not come in time."""
        stanza = entry.stanza
        if stanza.kind == "iq" and peer.condition is Condition.PAUSED:
            left = entry.until - entry.at
            if peer.resume_at - trio.current_time() >= left:
                raise error_of(peer.trouble)
        if not pair.push(entry):
            raise StanzaError("resource-constraint", "too much waits for that server")
        self._accept_coming(entry.origin)
        peer.pump()

    def _committed(self, peer: Remote, pair: Pair, entry: Entry, new: bool) -> None:
        """Its row is in Postgres (`new`), or was there already: then it was sent before, or waits."""
        uid = entry.origin.stream, entry.origin.n
        if new:
            pair.committed(entry)
        else:
            pair.forget((entry.seq,))
        self._dirty[peer.name] = peer
        if not entry.origin.stream:
            return
        self.once.done(entry.origin)
        coming = self._coming.pop(uid, None)
        for custodian in coming.custodians if coming is not None else ():
            if custodian:
                self._accepted.setdefault(custodian, []).append(uid)

    def _landed(self) -> None:
        """A commit has ended: say what is accepted, and send what may be sent."""
        accepted, self._accepted = self._accepted, {}
        for custodian, uids in accepted.items():
            self.node.bus.post_to(custodian, Accepted(uids))
        dirty, self._dirty = self._dirty, {}
        for peer in dirty.values():
            peer.pump()

    # --- whom each domain speaks with --------------------------------------------------------------------------------

    def _learn(self, rows: Sequence[DomainRow]) -> None:
        """The rows of the hosted domains were read: what they forbid ends now."""
        self.policies.learn(rows)
        if self._network is not None:
            self._network.learn(rows)
        for peer in self.remotes:
            self._purge(peer)

    def _purge(self, peer: Remote) -> None:
        """What waits for a pair of domains that do not speak with one another goes back."""
        for one in peer.all():
            for local, pair in one.pairs.items():
                error = self._forbidden(local, peer.name) if pair.waits else None
                if error is None:
                    continue
                if pair.rows:
                    self.queues.hasten_soon((peer.name, local))
                for entry in pair.cull(float("inf")):
                    self.returns.refuse(entry.stanza, error, entry.origin)

    def _settled(self, handed: Handed) -> None:
        if not self.incoming.settled(handed) and not self.returns.settled(handed):
            self.accept(handed.former)

    # --- the service -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(super().run)
            nursery.start_soon(self.queues.run)
            nursery.start_soon(self.remotes.run)
            nursery.start_soon(self._unhurried)
            if self._network is not None:
                nursery.start_soon(self._network.run, self.domains.known)

    def reload(self) -> None:
        """Read changed certificates now (SIGHUP)."""
        if self._network is not None:
            self._network.reload()

    async def drain(self, limit: float) -> None:
        """Let nobody in, and see what came in through; the partitions are given away after this."""
        if self._network is None:
            return
        self._network.refuse()
        self.incoming.stop()
        with trio.move_on_after(min(limit, DRAIN_SECONDS)):
            while self.incoming.unaccepted:  # noqa: ASYNC110  many may change it, once in a life
                await trio.sleep(0.02)

    async def acquire(self, partition: int, epoch: int) -> None:
        """Know what waits for the domains of the partition."""
        await self.domains.known()
        held = Held(partition + self.rows, epoch)
        self.remotes.hold(held)
        await self.queues.load(held)
        for peer in self.remotes:
            if peer.partition == held.partition:
                self._purge(peer)
                peer.pump()

    async def release(self, partition: int) -> None:
        """Commit what was received, and wait a little for what is on its way; the rest is the next holder's."""
        peers = [
            one for peer in self.remotes if peer.partition == partition + self.rows for one in peer.all()
        ]
        for peer in peers:
            peer.hush()
        await self.queues.drain()
        with trio.move_on_after(RELEASE_SECONDS):
            while any(peer.unacknowledged for peer in peers):  # noqa: ASYNC110  many may change it, once in a life
                await trio.sleep(0.02)
        await self.queues.drain()
        self.drop(partition)

    def forget(self, partition: int) -> None:
        """The partition is another process's."""
        super().forget(partition)
        names = [peer.name for peer in self.remotes if peer.partition == partition + self.rows]
        self.remotes.drop(partition + self.rows)
        self.queues.forget(names)
        self._coming = {
            uid: one for uid, one in self._coming.items() if one.partition != partition + self.rows
        }
        self.returns.forget(names)

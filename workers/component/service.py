"""The component worker: external services, as the cluster sees them. What is for them waits in queues as for other servers.

The holder of a component's domain commits what must not be lost, accepts it, and gives it to a connection of the component, which may be at any
process of this kind. What a component sends is in this process's custody until the cluster has accepted it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
import trio

from rookery.shared.bus.messages import (
    NOBODY,
    ComponentAcked,
    ComponentGone,
    ComponentHere,
    DomainsChanged,
    Fanout,
    Handle,
    Item,
    Kind,
    Route,
    ShowUsers,
    Sighted,
    ToComponent,
)
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.db.secrets import shared_secrets
from rookery.shared.observe import metrics
from rookery.shared.xeps.namespace_delegation import QUESTION, REQUEST
from rookery.shared.xeps.privileged_entity import ANSWERS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.component.delegating import Delegating, Told, write_nested
from rookery.workers.component.door import Door
from rookery.workers.component.lines import Lines
from rookery.workers.component.privileges import Privileges
from rookery.workers.component.sightings import Sightings
from rookery.workers.hosted import Handler
from rookery.workers.s2s.floods import Floods
from rookery.workers.s2s.service import DRAIN_SECONDS, S2sService

#: What is added to the partitions of components in the tables of the queues.
ROWS: Final = 1 << 16
#: The longest pause between looks whether a component is there; it is tried at once when it comes.
LONGEST_PAUSE: Final = 30.0


class ComponentService(S2sService):
    """Implements `shared.cluster.api.Service` for the kind component."""

    kind = Kind.COMPONENT
    rows = ROWS
    #: Nobody is a stranger to a component.
    friends = False

    def __init__(self, node: Node) -> None:
        super().__init__(node, network=False)
        settings = node.config.component
        self._off = False
        # Gateways move what many people write.
        self.floods = Floods(0, 1)
        self.incoming.requests = None
        self.privileges = Privileges(self.addresses.account)
        self.incoming.special = self.privileges.special
        self.delegating = Delegating()
        self._sightings = Sightings()
        self.incoming.took = self._answered
        self.returns.turned = self.delegating.turned
        self._config = msgspec.structs.replace(
            self._config,
            queue_seconds=settings.queue_seconds,
            queue_new_seconds=settings.queue_seconds,
            queue_stanzas=settings.queue_stanzas,
        )
        self.lines = Lines(node.incarnation, node.bus.post_to, self._arrived)
        self.remotes.opener = self.lines
        self.remotes.longest_pause = LONGEST_PAUSE
        self.door = Door(node, self.addresses, self.incoming, self.privileges, self.delegating)
        self.domains.changed = self._domains_changed
        node.takers[ToComponent] = self._to_component
        node.on_lost.append(self.lines.lost)

    def _measure(self) -> None:
        metrics.COMPONENTS.sample(lambda: self.door.connections)
        metrics.COMPONENT_WAITING.sample(self.remotes.waiting)
        metrics.COMPONENT_STANZAS.sample(lambda: self.incoming.count, "in")
        metrics.COMPONENT_STANZAS.sample(lambda: self._taken, "out")
        metrics.COMPONENT_RETURNED.sample(lambda: self.returns.count)

    @property
    def ports(self) -> dict[str, int]:
        """The port that components connect to."""
        return {"component": self.door.port} if self.door.port else {}

    def items(self) -> Mapping[type, Handler]:
        """Who handles what."""
        return {
            Route: self._on_stanza,
            Fanout: self._on_fanout,
            Handle: self._on_handle,
            Sighted: self._on_sighted,
            ToComponent: lambda partition, item: self._to_component(item),
            ComponentHere: self._on_here,
            ComponentGone: lambda partition, item: self.lines.gone(item),
            ComponentAcked: lambda partition, item: self.lines.acked(item),
        }

    def _on_stanza(self, partition: int, item: Route) -> None:
        """Answers to what components asked for users are for these components (XEP-0356)."""
        stanza = item.stanza
        if stanza.kind == "iq" and stanza.id.startswith(ANSWERS) and stanza.type in ("result", "error"):
            answer = self.privileges.answered(stanza)
            if answer is None:
                self.accept(item.origin)
                return
            item = item._replace(stanza=answer)
        self._on_route(partition, item)

    def _on_handle(self, partition: int, item: Handle) -> None:
        """A request that is delegated to a component (XEP-0355)."""
        held = self.remotes.held(partition + self.rows)
        if held is None:
            return
        try:
            wrapped = self.delegating.wrapped(item)
        except StanzaError as error:
            if not self.once.is_done(item.origin):
                self.reply(item.stanza.error(error), item.origin)
            self.accept(item.origin)
        else:
            self._take(held, item.origin, wrapped)

    def _on_sighted(self, partition: int, item: Sighted) -> None:
        """Presence that several users see comes from each of them: the component gets it once (XEP-0356 section 8, rule 2)."""
        held = self.remotes.held(partition + self.rows)
        stanza = item.stanza.replace(to=item.component)
        if held is not None and self.privileges.observes(item.component) and self._sightings.fresh(stanza):
            self._take(held, NOBODY, stanza)

    def _answered(self, stanza: Stanza) -> bool:
        """Whether a component answers a request that was delegated to it, or a question of ours: then nobody else gets it."""
        if stanza.kind != "iq" or stanza.type not in ("result", "error"):
            return False
        if stanza.id.startswith(REQUEST):
            answer = self.delegating.answered(stanza, stanza.from_)
            if answer is not None:
                self.route(*answer)
            return True
        if not stanza.id.startswith(QUESTION):
            return False
        told = self.delegating.told(stanza)
        if told is not None:
            self.job(0, told.component, partial(self._nest, told))
        return True

    async def _nest(self, told: Told) -> None:
        work = partial(write_nested, incarnation=self.node.incarnation, told=told)
        if await self.database(0, work):
            self.node.bus.announce(DomainsChanged())

    def _to_component(self, item: Item) -> None:
        assert isinstance(item, ToComponent)
        self.door.deliver(item)

    def _on_here(self, partition: int, item: ComponentHere) -> None:
        if self.remotes.held(partition + self.rows) is not None:
            self.lines.here(item)

    def _arrived(self, domain: str) -> None:
        """A component is there: what waits for it goes out now. Users who came before it are shown to it (XEP-0356 section 8)."""
        self._sightings.forget(domain)
        if seen := self.privileges.sees(domain):
            for partition in range(self.node.partitions):
                self.node.bus.post(Kind.PRESENCE, partition, ShowUsers(domain, seen))
        peer = self.remotes.find(domain)
        if peer is not None:
            peer.retry()

    def _domains_changed(self, domains: Sequence[DomainRow]) -> None:
        self.privileges.learn(domains)
        self.delegating.learn(domains)
        self.door.domains_changed()

    def _forbidden(self, local: str, remote: str) -> StanzaError | None:
        if not local or not remote:
            return StanzaError("jid-malformed")
        if self.addresses.place(remote).kind is not Kind.COMPONENT:
            return StanzaError("remote-server-not-found")
        return None

    # --- the service ---

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(super().run)
            nursery.start_soon(self.lines.run)
            nursery.start_soon(self._read_secret)
            nursery.start_soon(partial(self.door.run, self.domains.known))

    async def _read_secret(self) -> None:
        while not self.privileges.secret:
            try:
                secret = (await shared_secrets(self.node.db, "privileged-iq"))[-1]
                self.privileges.secret = self.delegating.secret = secret
            except DatabaseUnavailable:
                await trio.sleep(1.0)

    def reload(self) -> None:
        """Read changed certificates now (SIGHUP)."""
        self.door.reload()

    async def drain(self, limit: float) -> None:
        """Let nobody in, see what came in through, and send the components elsewhere."""
        self.door.refuse()
        self.incoming.stop()
        with trio.move_on_after(min(limit, DRAIN_SECONDS)):
            while self.incoming.unaccepted:  # noqa: ASYNC110  many may change it, once in a life
                await trio.sleep(0.02)
        self.door.close()

    def forget(self, partition: int) -> None:
        """The partition is another process's."""
        names = {peer.name for peer in self.remotes if peer.partition == partition + self.rows}
        super().forget(partition)
        self.lines.forget(
            names | {name for name in self.lines.domains if self.node.partition(name) == partition}
        )

"""What all parts of the router share: the node, the held partitions, acceptance, and the ways back to a sender."""

from __future__ import annotations

import time
from collections.abc import Callable

from rookery.router.absences import Absences
from rookery.router.accounts.resources import Resources
from rookery.router.counters import Counters
from rookery.router.partition import Part
from rookery.shared.bus.messages import (
    NOBODY,
    Accepted,
    Copied,
    Gate,
    Handle,
    Item,
    Kind,
    Origin,
    Route,
    answering,
    ending,
)
from rookery.shared.cluster.addresses import OWN, Addresses
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.delegations import Delegated
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.cluster.federation import federated
from rookery.shared.custody.custodian import Custodian
from rookery.shared.custody.kept import Handed
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza


class Core:
    """Shared state. `clock` gives Unix seconds, `ticks` monotonic seconds."""

    def __init__(
        self,
        node: Node,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.node = node
        self.bus = node.bus
        self.limits = node.config.limits
        self.config = node.config.router
        self.clock = clock
        self.ticks = ticks
        self.started = clock()
        self.parts: dict[int, Part] = {}
        self.addresses = Addresses(node.partition, federated=federated(node.config))
        #: What the rows say of the hosted domains, by their names.
        self.domains: dict[str, DomainRow] = {}
        #: The services that each hosted domain lists.
        self.services: dict[str, tuple[str, ...]] = {}
        #: What each of them delegates to components (XEP-0355).
        self.delegated: dict[str, Delegated] = {}
        #: Domains of which a component hears whom their users see (XEP-0356).
        self.watched: frozenset[str] = frozenset()
        self.count = Counters()
        #: Hosted domains whose messages are accepted on receipt.
        self.relaxed: frozenset[str] = frozenset()
        self._accepted: dict[str, list[tuple[bytes, int]]] = {}
        self._copied: dict[str, list[tuple[bytes, int]]] = {}
        self._armed = False
        #: What is said of sessions that this process does not know.
        self.absences = Absences(clock)
        #: What this process has handed on to other routers and to workers.
        self.custodian = Custodian(node, self._settled, ticks)

    def acquiring(self) -> bool:
        """Whether items wait in this process for a partition that it is about to serve."""
        epoch, parts = self.node.epoch, self.parts
        return any(
            partition not in parts and epoch(Kind.ROUTER, partition) is not None
            for partition in range(self.node.partitions)
        )

    def tick(self) -> None:
        """Call about twice a second."""
        self.absences.tick()
        self.flush_accepted()

    # --- acceptance --------------------------------------------------------------------------------------------------

    def accept(self, part: Part, origin: Origin) -> None:
        """This router has taken responsibility for the stanza, or has refused it with an error."""
        if not origin.custodian:
            if origin.stream:
                # An answer: it is given once.
                part.recent.mark(origin.stream, origin.n, True)
            return
        part.recent.mark(origin.stream, origin.n, True)
        self._say(part, origin, self._accepted)
        if part.askers and (askers := part.askers.pop((origin.stream, origin.n), None)) is not None:
            for custodian in askers - {origin.custodian}:
                self._say(part, origin._replace(custodian=custodian), self._accepted)

    def _settled(self, handed: Handed) -> None:
        """What this router has handed on is accepted: so it is for whom it came from."""
        part = self.parts.get(handed.came)
        if part is not None:
            self.accept(part, handed.former)

    def copied(self, part: Part, origin: Origin) -> None:
        """This router, the sender's own, has done its part for the message."""
        if origin.custodian:
            part.copied.mark(origin.stream, origin.n, True)
            self._say(part, origin, self._copied)

    def _say(self, part: Part, origin: Origin, said: dict[str, list[tuple[bytes, int]]]) -> None:
        batch = said.get(origin.custodian)
        if batch is None:
            said[origin.custodian] = [(origin.stream, origin.n)]
        else:
            batch.append((origin.stream, origin.n))
        if not self._armed:
            # An item to ourselves is dispatched at the beginning of the bus's next turn: what a turn accepted then leaves as
            # one item per edge, behind the deliveries that it stands for.
            self._armed = True
            self.bus.post_to(
                self.bus.incarnation, Accepted(()), kind=Kind.ROUTER, partition=part.number, epoch=part.epoch
            )

    def flush_accepted(self) -> None:
        """Tell the custodians what was accepted, and the edges what was copied."""
        self._armed = False
        if self._copied:
            copied, self._copied = self._copied, {}
            for edge, uids in copied.items():
                self.bus.post_to(edge, Copied(uids))
        if self._accepted:
            accepted, self._accepted = self._accepted, {}
            post_to = self.bus.post_to
            for edge, uids in accepted.items():
                post_to(edge, Accepted(uids))

    def repeated(self, part: Part, origin: Origin) -> bool:
        """Whether this uid was taken before; if it is accepted, say so once more."""
        stream = origin.stream
        if not stream:
            return False
        state = part.recent.state(stream, origin.n)
        if state is None:
            return False
        if state:
            self.accept(part, origin)
        elif origin.custodian:
            # Perhaps from another one than before: whoever keeps it now is told after the commit, too.
            part.askers.setdefault((stream, origin.n), set()).add(origin.custodian)
        self.count.repeated += 1
        return True

    # --- custody -----------------------------------------------------------------------------------------------------

    def pass_on(
        self, part: Part, place: tuple[Kind, int], item: Route | Handle | Gate, *, sent: bool
    ) -> None:
        """Hand an item on, and keep it until its next hop accepts it; its custodian is told then.

        `sent`: it comes from the account of this partition, not to it. Raises StanzaError while too much is kept.
        """
        custodian = self.custodian
        if (
            custodian.kept.full
            and item.origin.custodian
            and not custodian.has(part.number, item.origin, sent=sent)
        ):
            raise StanzaError("resource-constraint", "too much waits for other parts of the server")
        stanza = item.stanza
        once = (
            "/" in stanza.to
            if stanza.kind == "iq"
            else stanza.kind == "message" and stanza.type in ("headline", "error")
        )
        once = once and isinstance(item, Route)
        custodian.hand_on(part.number, place, item, sent=sent, once=once)

    def passed_on(self, part: Part, origin: Origin, *, sent: bool) -> bool:
        """Whether this stanza was handed on before and is not accepted yet; it is not handed on again."""
        if not len(self.custodian.kept) or not self.custodian.has(part.number, origin, sent=sent):
            return False
        self.count.repeated += 1
        return True

    def onward(self, part: Part, stanza: Stanza, origin: Origin) -> None:
        """Hand a stanza of an account of this partition on to whoever serves its addressee. Raises StanzaError."""
        kind, partition = self.addresses.place(stanza.to)
        self.pass_on(part, (kind, partition), Route(origin, stanza), sent=True)

    # --- the ways out ------------------------------------------------------------------------------------------------

    def post(self, kind: Kind, bare: str, item: Item) -> None:
        """Post to the holder of an account."""
        self.bus.post(kind, self.node.partition(bare), item)

    def route(self, stanza: Stanza, origin: Origin = NOBODY) -> None:
        """Give a stanza to whoever serves its addressee; nobody gets it when nobody does, or when that is a domain of accounts."""
        kind, partition = self.addresses.place(stanza.to)
        self._give(kind, partition, stanza, origin)

    def route_end(self, stanza: Stanza, stream: bytes) -> None:
        """The same for what tells that the session `stream` is over: a room hears which one it was."""
        kind, partition = self.addresses.place(stanza.to)
        self._give(kind, partition, stanza, ending(stream) if kind is Kind.MUC else NOBODY)

    def _give(self, kind: Kind, partition: int, stanza: Stanza, origin: Origin) -> None:
        if partition != OWN and (kind is Kind.ROUTER or self.addresses.serves(stanza.to)):
            self.bus.post(kind, partition, Route(origin, stanza))

    def bounce(self, stanza: Stanza, error: StanzaError, origin: Origin = NOBODY) -> None:
        """Send an error to the stanza's sender, once for its uid; nothing for what must not be answered (RFC 6120 section 8.3.1)."""
        if stanza.type == "error" or (stanza.kind == "iq" and stanza.type == "result"):
            return
        self.count.bounced += 1
        self.route(stanza.error(error), answering(origin))

    def resources(self) -> Resources:
        """An empty set of resources under the configured policy."""
        return Resources(self.config.equal_priority)

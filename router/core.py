"""What all parts of the router share: the node, the held partitions, acceptance, and the ways back to a sender."""

from __future__ import annotations

import time
from collections.abc import Callable

from rookery.router.accounts.resources import Resources
from rookery.router.counters import Counters
from rookery.router.partition import Part
from rookery.shared.bus.messages import NOBODY, Accepted, Copied, Item, Kind, Origin, Route, answering
from rookery.shared.cluster.api import Node
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
        #: Hosted domains: name -> (registration is open, contact addresses).
        self.domains: dict[str, tuple[bool, tuple[tuple[str, tuple[str, ...]], ...]]] = {}
        self.count = Counters()
        #: Hosted domains whose messages are accepted on receipt.
        self.relaxed: frozenset[str] = frozenset()
        self._accepted: dict[str, list[tuple[bytes, int]]] = {}
        self._copied: dict[str, list[tuple[bytes, int]]] = {}
        self._armed = False

    # --- acceptance --------------------------------------------------------------------------------------------------

    def accept(self, part: Part, origin: Origin) -> None:
        """This router has taken responsibility for the stanza, or has refused it with an error."""
        if not origin.edge:
            if origin.stream:
                # An answer: it is given once.
                part.recent.mark(origin.stream, origin.n, True)
            return
        part.recent.mark(origin.stream, origin.n, True)
        self._say(part, origin, self._accepted)

    def copied(self, part: Part, origin: Origin) -> None:
        """This router, the sender's own, has done its part for the message."""
        if origin.edge:
            part.copied.mark(origin.stream, origin.n, True)
            self._say(part, origin, self._copied)

    def _say(self, part: Part, origin: Origin, said: dict[str, list[tuple[bytes, int]]]) -> None:
        batch = said.get(origin.edge)
        if batch is None:
            said[origin.edge] = [(origin.stream, origin.n)]
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
        """Tell the edges what was accepted, and what was copied."""
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
        self.count.repeated += 1
        return True

    # --- the ways out ------------------------------------------------------------------------------------------------

    def post(self, kind: Kind, bare: str, item: Item) -> None:
        """Post to the holder of an account."""
        self.bus.post(kind, self.node.partition(bare), item)

    def hosted(self, bare: str) -> bool:
        """Whether the address is in a domain of ours."""
        return bare.rpartition("@")[2] in self.domains

    def route(self, stanza: Stanza, origin: Origin = NOBODY) -> None:
        """Give a stanza to the router of its addressee, when that is a local account."""
        bare = stanza.to.partition("/")[0]
        if "@" in bare and bare.rpartition("@")[2] in self.domains:
            self.bus.post(Kind.ROUTER, self.node.partition(bare), Route(origin, stanza))

    def bounce(self, stanza: Stanza, error: StanzaError, origin: Origin = NOBODY) -> None:
        """Send an error to the stanza's sender, once for its uid; nothing for what must not be answered (RFC 6120 section 8.3.1)."""
        if stanza.type == "error" or (stanza.kind == "iq" and stanza.type == "result"):
            return
        self.count.bounced += 1
        self.route(stanza.error(error), answering(origin))

    def resources(self) -> Resources:
        """An empty set of resources under the configured policy."""
        return Resources(self.config.equal_priority)

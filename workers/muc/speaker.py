"""What a room says leaves here: numbered, to few items for many occupants, and once more for those who may not have it.

The numbers of a room grow. Each router gives a session what is above the highest number that the session has heard of the room, so what is
sent again is given once. What is not confirmed by every router that got it stays in the tail: it goes to the next holder of
such a router's partition, before anything newer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from rookery.shared.bus.messages import ROOM, Kind, Origin, ToSession
from rookery.shared.cluster import fanout
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.fanout import Load
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.outs import Say, Tell

#: Stanzas, and bytes of them, in one item for one occupant.
CHUNK: Final = 256
CHUNK_BYTES: Final = 131_072
_OVERHEAD: Final = 200
#: Calls of `tick` for which nothing is trimmed after something was sent again: a router may confirm what it got before, meanwhile.
HOLD: Final = 5
#: Occupants from which on they are kept sorted by partition: sorting all for each who comes in or goes would cost more than telling them.
SORTED: Final = 24
#: What is kept for routers that do not confirm: about a minute of a busy room. More is forgotten, oldest first.
MAX_TAIL: Final = 8192


class Said(NamedTuple):
    """What was sent under a number."""

    n: int
    out: Say | Tell


class Speaker:
    """One room's voice. `local` says whether an address is an account of this cluster, `route` sends to one that is not."""

    __slots__ = (
        "_confirmed",
        "_held",
        "_here",
        "_loads",
        "_local",
        "_lost",
        "_node",
        "_remote",
        "_route",
        "_sent",
        "_some",
        "_waiting",
        "jid",
        "since",
        "strangers",
        "stream",
        "tail",
    )

    def __init__(
        self, jid: str, node: Node, local: Callable[[str], bool], route: Callable[[Stanza], None]
    ) -> None:
        self.jid = jid
        self.stream = ROOM + jid.encode()
        #: Who hears what is said to all: full JID -> the number under which it was told that it is in.
        self.since: dict[str, int] = {}
        #: Of these, who is on other servers: domain -> full JIDs.
        self.strangers: dict[str, dict[str, None]] = {}
        self.tail: deque[Said] = deque()
        self._node = node
        self._local = local
        self._route = route
        self._loads: list[Load] | None = None
        self._remote: list[str] = []
        #: In a large room, who of this cluster is in it, by the partition of the bare JID; None until it is needed.
        self._here: dict[int, list[str]] | None = None
        #: The last audience that was not all, with its plan.
        self._some: tuple[Sequence[str], list[Load], list[str]] | None = None
        #: The last number that each router was sent, and the last that it has confirmed.
        self._sent: dict[str, int] = {}
        self._confirmed: dict[str, int] = {}
        #: Of these, who is gone, and until when what it had is kept for whoever holds its partitions next.
        self._lost: dict[str, float] = {}
        #: Partitions that no router holds -> the first number that waits for their next holder.
        self._waiting: dict[int, int] = {}
        #: Calls of `tick` until the tail may be trimmed.
        self._held = 0

    # --- who hears it ------------------------------------------------------------------------------------------------

    def enter(self, full: str, n: int) -> None:
        """Somebody is in the room from number `n` on."""
        if full not in self.since:
            self._loads = None
            if not self._local(full):
                self.strangers.setdefault(bare_of(full).rpartition("@")[2], {})[full] = None
            elif self._here is not None:
                self._here.setdefault(self._node.partition(bare_of(full)), []).append(full)
        self.since[full] = n

    def leave(self, full: str) -> None:
        """Somebody is not in the room any more."""
        if self.since.pop(full, None) is not None:
            self._loads = None
            domain = bare_of(full).rpartition("@")[2] if self.strangers else ""
            if (there := self.strangers.get(domain)) is not None:
                there.pop(full, None)
                if not there:
                    del self.strangers[domain]
            self._unsort(full)

    def rest(self) -> None:
        """Nothing was said for a while: plans are forgotten, and made anew when they are needed."""
        self._here = self._loads = self._some = None

    def _unsort(self, full: str) -> None:
        here = self._here
        if here is None:
            return
        if len(self.since) < SORTED // 2:
            self._here = None
        elif (these := here.get(self._node.partition(bare_of(full)))) and full in these:
            these.remove(full)

    def abroad(self) -> list[str]:
        """The occupants that are no accounts of this cluster."""
        return [full for fulls in self.strangers.values() for full in fulls]

    def _audience(self, out: Say) -> tuple[list[Load], list[str]]:
        """Who hears it. What is said to the same people as before needs no new plan."""
        since = self.since
        # (who comes in or goes is not among those who hear it, so usually nobody is left out)
        if out.but and (out.audience is not None or any(full in since for full in out.but)):
            if out.audience is None and len(since) >= SORTED:
                return self._without(out.but)
            but = frozenset(out.but)
            whole = since if out.audience is None else out.audience
            return self._planned([full for full in whole if full not in but])
        if out.audience is None:
            return self._all()
        some = self._some
        if some is not None and some[0] is out.audience and fanout.current(self._node.bus, some[1]):
            return some[1], some[2]
        loads, remote = self._planned(out.audience)
        self._some = out.audience, loads, remote
        return loads, remote

    def _all(self) -> tuple[list[Load], list[str]]:
        loads = self._loads
        if loads is None or not fanout.current(self._node.bus, loads):
            loads, self._remote = (
                self._without(()) if len(self.since) >= SORTED else self._planned(self.since)
            )
            self._loads = loads
        return loads, self._remote

    def _without(self, but: Sequence[str]) -> tuple[list[Load], list[str]]:
        """A plan for all of a large room but some."""
        partition, local = self._node.partition, self._local
        here = self._here
        if here is None:
            here = self._here = {}
            for full in self.since:
                if local(full):
                    here.setdefault(partition(bare_of(full)), []).append(full)
        gone = frozenset(but)
        touched = {partition(bare_of(full)) for full in but}
        left = {
            number: [full for full in fulls if full not in gone] if number in touched else fulls
            for number, fulls in here.items()
        }
        remote = [full for full in self.abroad() if full not in gone] if self.strangers else []
        return fanout.plan_sorted(self._node.bus, {n: fulls for n, fulls in left.items() if fulls}), remote

    def _planned(self, audience: Iterable[str]) -> tuple[list[Load], list[str]]:
        partition, local = self._node.partition, self._local
        here: list[tuple[str, int]] = []
        remote: list[str] = []
        for full in audience:
            if local(full):
                here.append((full, partition(bare_of(full))))
            else:
                remote.append(full)
        return fanout.plan(self._node.bus, here), remote

    # --- saying ------------------------------------------------------------------------------------------------------

    def say(self, n: int, out: Say) -> None:
        """Send one stanza to many, as number `n`; numbers only grow."""
        self._keep(n, out)
        stanza = out.stanza
        loads, remote = self._audience(out)
        origin = Origin(self.stream, n, "")
        post, bus = fanout.post, self._node.bus
        for load in loads:
            post(bus, load, stanza, origin)
            self._sent_to(load.process, load.partition, n)
        for full in remote:
            self._route(stanza.replace(to=full))

    def tell(self, numbers: Sequence[int], out: Tell) -> None:
        """Send stanzas to one occupant: as many items as `chunks` says, a number for each."""
        full = out.full
        partition = self._node.partition(bare_of(full))
        for n, some in zip(numbers, chunks(out.stanzas), strict=False):
            part = Tell(full, some, out.entrance, out.stream)
            self._keep(n, part)
            if not self._local(full):
                for stanza in some:
                    self._route(stanza)
                continue
            self._told(n, partition, part)

    def _told(self, n: int, partition: int, out: Tell) -> None:
        bus = self._node.bus
        holder = bus.holder(Kind.ROUTER, partition)
        item = ToSession(out.full, 0, out.stanzas, Origin(self.stream, n, ""), out.entrance, out.stream)
        bus.post(Kind.ROUTER, partition, item)
        self._sent_to(holder[0] if holder else "", partition, n)

    # --- who has it --------------------------------------------------------------------------------------------------

    def _keep(self, n: int, out: Say | Tell) -> None:
        tail = self.tail
        tail.append(Said(n, out))
        if len(tail) > MAX_TAIL:
            tail.popleft()

    def _sent_to(self, process: str, partition: int, n: int) -> None:
        if not process:
            # The bus keeps it for the next holder, but that is sent the tail first: so all of it must stand in the tail.
            self._waiting.setdefault(partition, n)
            return
        sent, confirmed = self._sent.get(process, 0), self._confirmed.get(process, 0)
        if sent <= confirmed:
            # Nothing was open: what it did not get until now is of no interest.
            self._confirmed[process] = n - 1
            sent = n
        self._sent[process] = max(sent, n)

    def confirmed(self, process: str, n: int) -> None:
        """A router has given everything up to `n` to edges."""
        if n > self._confirmed.get(process, 0):
            self._confirmed[process] = n
        self._trim()

    def returned(self, partition: int, n: int) -> None:
        """What was sent under a number came back: the partition has moved. It is kept until the next holder has been sent it."""
        self._waiting[partition] = min(n, self._waiting.get(partition, n))

    def lost(self, process: str, until: float) -> None:
        """A router is gone; what it has not confirmed is kept until then, for whoever holds its partitions next."""
        if process in self._sent:
            self._lost[process] = until

    def tick(self, now: float) -> None:
        """About a second has passed."""
        for partition in [one for one in self._waiting if self._node.bus.holder(Kind.ROUTER, one)]:
            self.again(partition)
        if self._held:
            self._held -= 1
            if not self._held:
                self._trim()
        for process in [process for process, until in self._lost.items() if until <= now]:
            del self._lost[process]
            self._sent.pop(process, None)
            self._confirmed.pop(process, None)
            self._trim()

    def _trim(self) -> None:
        if self._held:
            return
        confirmed = self._confirmed
        open_ = [n for process, sent in self._sent.items() if sent > (n := confirmed.get(process, 0))]
        lowest = min((*open_, *(n - 1 for n in self._waiting.values())), default=1 << 62)
        tail = self.tail
        while tail and tail[0].n <= lowest:
            tail.popleft()

    @property
    def unheard(self) -> int:
        """The lowest number that somebody may not have; 0 when there is none."""
        return self.tail[0].n if self.tail else 0

    def again(self, partition: int | None = None) -> None:
        """Send the tail once more, to the occupants of one partition of routers or to all."""
        self._loads = None
        self._held = HOLD
        if partition is None:
            self._waiting.clear()
        else:
            self._waiting.pop(partition, None)
        node = self._node
        mine = {
            full
            for full in self.since
            if self._local(full) and (partition is None or node.partition(bare_of(full)) == partition)
        }
        for n, out in list(self.tail):
            origin = Origin(self.stream, n, "")
            if isinstance(out, Tell):
                number = node.partition(bare_of(out.full))
                if self._local(out.full) and (partition is None or number == partition):
                    self._told(n, number, out)
                continue
            audience = (mine if out.audience is None else mine.intersection(out.audience)).difference(out.but)
            there = [(full, node.partition(bare_of(full))) for full in audience if self.since[full] < n]
            for load in fanout.plan(node.bus, there):
                fanout.post(node.bus, load, out.stanza, origin)
                self._sent_to(load.process, load.partition, n)


def chunks(stanzas: Sequence[Stanza]) -> list[Sequence[Stanza]]:
    """Stanzas for one occupant, as many at a time as go into one item."""
    found: list[Sequence[Stanza]] = []
    start = size = 0
    for at, stanza in enumerate(stanzas):
        size += len(stanza.inner) + _OVERHEAD
        if at > start and (at - start >= CHUNK or size > CHUNK_BYTES):
            found.append(stanzas[start:at])
            start, size = at, len(stanza.inner) + _OVERHEAD
    found.append(stanzas[start:])
    return found

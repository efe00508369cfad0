"""One stanza for many recipients, as few items as can be: one for each process that holds some of them, a router or an s2s worker.

Order from one sender to one partition is that of `Bus.post`: a partition whose items wait (nobody holds it, or it is on its way to another
process) gets an item of its own, which waits behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from rookery.shared.bus.messages import NOBODY, Fanout, Item, Kind, Origin
from rookery.shared.xmpp.stanza import Stanza

#: Recipients of one item, and the length of their names: an item has to fit into a bus message beside its stanza.
MAX_RECIPIENTS: Final = 4096
MAX_CHARACTERS: Final = 131_072


class Poster(Protocol):
    """What of the bus is needed (`shared.bus.api.Bus`)."""

    def holder(self, kind: Kind, partition: int) -> tuple[str, int] | None:
        """Who gets what is posted to the partition now; None while it would wait."""

    def post(self, kind: Kind, partition: int, item: Item) -> None:
        """Send to whoever holds the partition."""

    def post_to(
        self, incarnation: str, item: Item, *, kind: Kind = Kind.EDGE, partition: int = 0, epoch: int = 0
    ) -> None:
        """Send to one process."""


class Load(NamedTuple):
    """What one process gets: recipients, and `runs`, (partition, epoch, how many of them), in order. Without a process it waits."""

    kind: Kind
    process: str
    partition: int
    epoch: int
    recipients: Sequence[str]
    runs: Sequence[tuple[int, int, int]]


class _Growing:
    """A load that is not full."""

    __slots__ = ("characters", "recipients", "runs")

    def __init__(self) -> None:
        self.recipients: list[str] = []
        self.runs: list[tuple[int, int, int]] = []
        self.characters = 0

    def done(self, kind: Kind, process: str) -> Load:
        partition, epoch, _ = self.runs[0]
        return Load(kind, process, partition, epoch, self.recipients, self.runs)


def fan_out(
    bus: Poster,
    stanza: Stanza,
    recipients: Iterable[tuple[str, int]],
    origin: Origin = NOBODY,
    kind: Kind = Kind.ROUTER,
    notify: str = "",
) -> int:
    """Post `stanza` to the routers of (JID, partition of its bare JID); returns how many recipients there were.

    Recipients of other servers go to the `kind` S2S, with the partitions of their domains (`Addresses.place`). With an `origin` each
    recipient gets it once, however often it is posted; the numbers of its stream must grow. `notify` as in Fanout.
    """
    count = 0
    for load in plan(bus, recipients, kind):
        count += len(load.recipients)
        post(bus, load, stanza, origin, notify)
    return count


def plan(bus: Poster, recipients: Iterable[tuple[str, int]], kind: Kind = Kind.ROUTER) -> list[Load]:
    """Who gets which recipients, (JID, partition of its bare JID). It may be used again while it is `current`."""
    by_partition: dict[int, list[str]] = {}
    for jid, partition in recipients:
        by_partition.setdefault(partition, []).append(jid)
    return plan_sorted(bus, by_partition, kind)


def plan_sorted(bus: Poster, by_partition: Mapping[int, list[str]], kind: Kind = Kind.ROUTER) -> list[Load]:
    """The same for recipients that are sorted by partition already; the lists stay the caller's."""
    loads: list[Load] = []
    growing: dict[str, _Growing] = {}
    for partition, jids in by_partition.items():
        holder = bus.holder(kind, partition)
        for some in _cut(jids):
            if holder is None:
                loads.append(Load(kind, "", partition, 0, some, ()))
                continue
            process, epoch = holder
            size = sum(map(len, some))
            load = growing.setdefault(process, _Growing())
            if load.runs and (
                len(load.recipients) + len(some) > MAX_RECIPIENTS or load.characters + size > MAX_CHARACTERS
            ):
                loads.append(load.done(kind, process))
                load = growing[process] = _Growing()
            load.recipients += some
            load.characters += size
            load.runs.append((partition, epoch, len(some)))
    loads += [load.done(kind, process) for process, load in growing.items()]
    return loads


def current(bus: Poster, loads: Iterable[Load]) -> bool:
    """Whether everybody still holds what a plan says: order demands that it is made anew when not."""
    holder = bus.holder
    for load in loads:
        process = load.process
        if not process:
            return False
        for partition, epoch, _ in load.runs:
            if holder(load.kind, partition) != (process, epoch):
                return False
    return True


def post(bus: Poster, load: Load, stanza: Stanza, origin: Origin, notify: str = "") -> None:
    """Send one stanza to the recipients of one load."""
    if load.process:
        item = Fanout(stanza, load.recipients, origin, load.runs, notify)
        bus.post_to(load.process, item, kind=load.kind, partition=load.partition, epoch=load.epoch)
    else:
        bus.post(load.kind, load.partition, Fanout(stanza, load.recipients, origin, (), notify))


def _cut(jids: list[str]) -> Iterable[list[str]]:
    """Recipients of one partition, as many at a time as fit into one item; always new lists."""
    if len(jids) <= MAX_RECIPIENTS and sum(map(len, jids)) <= MAX_CHARACTERS:
        yield jids[:]
        return
    start = size = 0
    for at, jid in enumerate(jids):
        size += len(jid)
        if at > start and (at - start >= MAX_RECIPIENTS or size > MAX_CHARACTERS):
            yield jids[start:at]
            start, size = at, len(jid)
    yield jids[start:]

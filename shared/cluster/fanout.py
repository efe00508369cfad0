"""One stanza for many recipients, as few items as can be: one for each router process that holds some of them.

Order from one sender to one partition is that of `Bus.post`: a partition whose items wait (nobody holds it, or it is on its way to another
process) gets an item of its own, which waits behind them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

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


class _Load:
    """What one process gets next: recipients, and (partition, epoch, count) of them in order."""

    __slots__ = ("characters", "recipients", "runs")

    def __init__(self) -> None:
        self.recipients: list[str] = []
        self.runs: list[tuple[int, int, int]] = []
        self.characters = 0


def fan_out(
    bus: Poster,
    stanza: Stanza,
    recipients: Iterable[tuple[str, int]],
    origin: Origin = NOBODY,
    notify: str = "",
) -> int:
    """Post `stanza` to the routers of (JID, partition of its bare JID); returns how many recipients there were.

    With an `origin` each recipient gets it once, however often it is posted; the numbers of its stream must grow. `notify` as in Fanout.
    """
    by_partition: dict[int, list[str]] = {}
    count = 0
    for jid, partition in recipients:
        by_partition.setdefault(partition, []).append(jid)
        count += 1
    loads: dict[str, _Load] = {}
    for partition, jids in by_partition.items():
        holder = bus.holder(Kind.ROUTER, partition)
        for some in _cut(jids):
            if holder is None:
                bus.post(Kind.ROUTER, partition, Fanout(stanza, some, origin, (), notify))
                continue
            process, epoch = holder
            size = sum(map(len, some))
            load = loads.setdefault(process, _Load())
            if load.runs and (
                len(load.recipients) + len(some) > MAX_RECIPIENTS or load.characters + size > MAX_CHARACTERS
            ):
                _post(bus, process, load, Fanout(stanza, load.recipients, origin, load.runs, notify))
                load = loads[process] = _Load()
            load.recipients += some
            load.characters += size
            load.runs.append((partition, epoch, len(some)))
    for process, load in loads.items():
        _post(bus, process, load, Fanout(stanza, load.recipients, origin, load.runs, notify))
    return count


def _cut(jids: list[str]) -> Iterable[list[str]]:
    """Recipients of one partition, as many at a time as fit into one item."""
    start = size = 0
    for at, jid in enumerate(jids):
        size += len(jid)
        if at > start and (at - start >= MAX_RECIPIENTS or size > MAX_CHARACTERS):
            yield jids[start:at]
            start, size = at, len(jid)
    yield jids[start:]


def _post(bus: Poster, process: str, load: _Load, item: Fanout) -> None:
    partition, epoch, _ = load.runs[0]
    bus.post_to(process, item, kind=Kind.ROUTER, partition=partition, epoch=epoch)

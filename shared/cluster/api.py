"""What a kind implements to be held in partitions, and what the cluster offers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from rookery.shared.bus.api import Bus, Call
from rookery.shared.bus.messages import Item, Kind
from rookery.shared.cluster.orders import Orders
from rookery.shared.config import Config
from rookery.shared.db.api import Database


class Node(Protocol):
    """This process in the cluster: handed to every service."""

    incarnation: str
    config: Config
    bus: Bus
    #: None in an edge: edges have no database.
    db: Database
    partitions: int
    #: Called with the incarnation of a process that is gone (its beats stopped, or Left was heard).
    on_lost: list[Callable[[str], None]]
    #: Called with the incarnation of a process that was not known to live, and the kinds that it hosts.
    on_found: list[Callable[[str, frozenset[Kind]], None]]
    #: Called with (kind, partition) when another process holds it now, before anything else is sent there: send again what is
    #: kept for it and not accepted (the former holder may have lost it; repetitions are dropped by their uid).
    on_holder: list[Callable[[Kind, int], None]]
    #: Called with (kind, partition, item) when an item of this process came back because its partition has moved, or is moving.
    on_returned: list[Callable[[Kind, int, Item], None]]
    #: Called with the incarnation of a peer that gave this process up for lost and came back (`Bus.on_reset`).
    on_reset: list[Callable[[str], None]]
    #: Called with the uids, (stream, n), of stanzas of which this process was the custodian and that the next one has accepted. Each
    #: custodian of the process hears of all: whoever does not keep a uid has nothing to do.
    on_accepted: list[Callable[[Sequence[tuple[bytes, int]]], None]]
    #: Called with (kind, partition, epoch, incarnation) when a process has taken a partition from a dead holder, before it serves it:
    #: whoever still speaks for the partition under a lower epoch is deposed.
    on_claimed: list[Callable[[Kind, int, int, str], None]]
    #: Called with the seconds that this process stood still: the others may have given it up and done its work.
    on_frozen: list[Callable[[float], None]]
    #: Who takes an item that is for this process, not for the holder of a partition, by its type.
    takers: dict[type, Callable[[Item], None]]
    #: Called when the hosted domains may have changed.
    on_domains: list[Callable[[], None]]
    #: What operators ask of this process.
    orders: Orders

    def partition(self, bare: str) -> int:
        """The partition of a bare JID."""

    def epoch(self, kind: Kind, partition: int) -> int | None:
        """The epoch under which this process holds the partition, or None."""

    def edges(self) -> list[str]:
        """Incarnations of the live edges."""

    def fail(self, reason: str) -> None:
        """This process cannot go on holding anything (it was fenced): it stops at once and is started anew."""


class Service(Protocol):
    """One kind in one process. `shared.cluster.holder` calls it; everything runs in the process's one trio thread."""

    kind: Kind

    async def run(self) -> None:
        """Background work; runs until cancelled. Start work here, not in the constructor."""

    async def acquire(self, partition: int, epoch: int) -> None:
        """Hydrate. Items for the partition wait until this returns; they are then received in order."""

    async def release(self, partition: int) -> None:
        """Drain: finish and commit what was received. Items that come meanwhile go to the next holder."""

    def drop(self, partition: int) -> None:
        """Forget the partition at once, write nothing more for it (a higher epoch exists)."""

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        """Handle an item or a call for a held partition. Must not block: start lanes for I/O (`workers.lanes`)."""

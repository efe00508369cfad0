"""The bus as services see it. `shared.bus.nats` carries it over NATS, `shared.bus.memory` within one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rookery.shared.bus.messages import Item, Kind
from rookery.shared.xmpp.errors import StanzaError

#: (kind, partition) -> (incarnation of the holder, epoch), or None while nobody holds it.
Resolver = Callable[[Kind, int], "tuple[str, int] | None"]


class BusTimeout(Exception):  # noqa: N818  says what happened
    """A call had no answer in time (no holder, a dead holder, or a slow one)."""


class PeerLost(BusTimeout):
    """The process that was asked is gone. Whether it did what was asked is unknown; whoever may ask twice asks the next holder."""


class Call:
    """One request that waits for `Bus.reply`; it is handed to the service instead of a plain item."""

    __slots__ = ("id", "reply_to", "request")

    def __init__(self, id: int, reply_to: str, request: Item) -> None:
        self.id = id
        self.reply_to = reply_to
        self.request = request


#: Called for each item that arrives: (source incarnation, kind, partition, epoch, item or Call). Must not block.
Receiver = Callable[[str, Kind, int, int, "Item | Call"], None]


class Mark(Protocol):
    """What was posted until some moment."""

    def passed(self) -> bool:
        """Whether all of it has arrived, or has no receiver any more."""


class Bus(Protocol):
    """Sends items; what one turn of the caller's loop posts to a process leaves as one batch.

    Nothing here blocks or raises for a slow peer: what the peer's credit does not allow waits in the sender's queue, and
    `congested` says so. Order from one sender to one (kind, partition) is kept. Delivery is at most once; whoever needs more keeps the
    item until `Accepted`, and sends it again when told by `on_reset` or by a change of holder.
    """

    incarnation: str
    #: What to do with items that arrive for a (kind, partition); set by the cluster layer.
    receiver: Receiver
    #: What to do with items on the control subject: (item).
    on_control: Callable[[Item], None]
    #: Called with the incarnation of a peer when a link to it lost batches and starts anew.
    on_reset: Callable[[str], None]
    resolver: Resolver

    def post(self, kind: Kind, partition: int, item: Item) -> None:
        """Send to whoever holds the partition; parked for at most 30 s while nobody does."""

    def post_to(
        self, incarnation: str, item: Item, *, kind: Kind = Kind.EDGE, partition: int = 0, epoch: int = 0
    ) -> None:
        """Send to one process (deliveries to an edge, answers to a sender)."""

    def holder(self, kind: Kind, partition: int) -> tuple[str, int] | None:
        """Who gets what is posted to the partition now, and under which epoch; None while it would wait."""

    async def call(
        self, kind: Kind, partition: int, request: Item, *, timeout: float = 10.0, to: str = ""
    ) -> Item:
        """Ask the holder, or the process `to`, and wait. Raises BusTimeout, or the StanzaError that was replied."""

    def reply(self, call: Call, answer: Item | StanzaError) -> None:
        """Answer a Call."""

    def announce(self, item: Item) -> None:
        """Tell every process (control subject)."""

    def flush(self) -> None:
        """Send now what was posted in this turn (the bus also does so by itself before it next waits)."""

    @property
    def connected(self) -> bool:
        """Whether the transport is up."""

    def mark(self) -> Mark:
        """What was posted until now: it can be asked whether that has arrived."""

    def congested(self) -> bool:
        """Whether any link has more waiting than its credit allows."""

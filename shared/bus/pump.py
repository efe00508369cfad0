"""From a link to the transport: takes what credit allows and sends it as batches."""

from __future__ import annotations

from typing import Final, Protocol

import structlog

from rookery.shared.bus.batch import Entry, pack_batch, pack_item
from rookery.shared.bus.links import Link
from rookery.shared.bus.messages import VERSION
from rookery.shared.bus.oversize import lesser
from rookery.shared.bus.versions import Unspoken

_log = structlog.get_logger()

#: Room for the head of a batch: a source of at most 64 letters and eight numbers.
HEAD_BYTES: Final = 512


class Transport(Protocol):
    """Carries bytes. At most once, in order; nothing while it is not connected."""

    @property
    def connected(self) -> bool:
        """Whether it is up."""

    @property
    def max_payload(self) -> int:
        """Longest message in bytes."""

    @property
    def backlog(self) -> int:
        """Bytes that wait to be written."""

    def send(self, subject: str, payload: bytes) -> None:
        """Take a message; it is written at the next flush. Dropped while not connected."""

    def flush(self) -> None:
        """Write now what was taken."""


class Stats:
    """Running totals since start, for metrics and tests."""

    __slots__ = (
        "bad_batches",
        "bad_items",
        "batches_in",
        "batches_out",
        "expired",
        "items_in",
        "items_local",
        "items_out",
        "refused",
        "resets",
        "unsendable",
    )

    def __init__(self) -> None:
        self.bad_batches = self.bad_items = self.batches_in = self.batches_out = 0
        self.expired = self.items_in = self.items_local = self.items_out = 0
        self.refused = self.resets = self.unsendable = 0


class Pump:
    """Sends for one process. `version` is the version that it writes, `paused` whether it grants credit."""

    def __init__(self, source: str, transport: Transport, stats: Stats) -> None:
        self._source = source
        self._transport = transport
        self._stats = stats
        self._version = VERSION

    def run(self, link: Link, subject: str, version: int, *, paused: bool) -> None:
        """Send everything that may go, and the head alone when only that is due."""
        transport, source, stats = self._transport, self._source, self._stats
        limit = transport.max_payload - HEAD_BYTES
        self._version = version
        if link.unknown_due:
            transport.send(subject, pack_batch(link.head(version, source), ()))
        while (taken := link.take(self._pack, limit)) is not None:
            first, items = taken
            transport.send(subject, pack_batch(link.head(version, source, first, paused=paused), items))
            stats.batches_out += 1
            stats.items_out += len(items)
        if link.reply_due:
            transport.send(subject, pack_batch(link.head(version, source, paused=paused), ()))

    def _pack(self, entry: Entry, instead: bool = False) -> bytes | None:
        """The bytes of an item, or of what goes instead of one that is too long; None: nothing goes."""
        size = 0
        try:
            packed = pack_item(entry, self._version)
        except Unspoken:
            return (
                None  # somebody lives who does not know it: `shared.bus.versions` tells what happens instead
            )
        except (TypeError, ValueError, OverflowError, LookupError) as exc:
            error = type(exc).__name__
        else:
            size = len(packed)
            if size <= self._transport.max_payload - HEAD_BYTES:
                return packed
            error = "longer than the transport carries"
            kind, partition, epoch, item, call = entry
            less = None if instead else lesser(item)
            if less is not None:
                # (an answer of many items: whoever asked hears that it is too long)
                _log.warning("bus_answer_too_long", kind=kind.label, item=type(item).__name__, size=size)
                return self._pack((kind, partition, epoch, less, call), True)
        # A mistake of ours, not of a client: stanzas are bounded far below, and lists are chunked by who makes them.
        self._stats.unsendable += 1
        _log.error(
            "bus_item_unsendable", kind=entry[0].label, item=type(entry[3]).__name__, size=size, error=error
        )
        return None

"""A Fanout taken apart by its partitions: one that comes to a process whole may belong to several holders by now. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rookery.shared.bus.messages import Fanout


def by_partition(item: Fanout) -> Iterator[tuple[int, int, Fanout]]:
    """(partition, epoch, what belongs to it) of an item that has runs. Recipients that no run counts are left out."""
    stanza, recipients, origin, runs, notify = item
    start = 0
    for partition, epoch, count in runs:
        yield partition, epoch, Fanout(stanza, recipients[start : start + count], origin, (), notify)
        start += count

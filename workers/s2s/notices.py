"""What other kinds are told of remote domains."""

from __future__ import annotations

from rookery.shared.bus.messages import Kind, RemoteBroken
from rookery.shared.cluster.api import Node


def tell_rooms(node: Node, remote: str) -> None:
    """A stream to a remote domain broke: each process that holds rooms is told once, whatever else it holds."""
    bus = node.bus
    told = set()
    for partition in range(node.partitions):
        holder = bus.holder(Kind.MUC, partition)
        if holder is not None and holder[0] not in told:
            told.add(holder[0])
            bus.post(Kind.MUC, partition, RemoteBroken(remote))

"""What goes to the next holder when a process dies: what was never sent to it, and some of what it may not have handled. Pure.

A link's unacknowledged items are of unknown fate. What has a custodian is kept by it until it is accepted, and sent again by it in order
(`shared.custody`). Nobody keeps presence, roster pushes, answers of the server and notices between kinds: they are repeated from here,
since handling them twice does no harm and losing them leaves somebody wrong for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import msgpack

from rookery.shared.bus.batch import Entry, read_item
from rookery.shared.bus.fanout import by_partition
from rookery.shared.bus.links import Link
from rookery.shared.bus.messages import (
    Accepted,
    AccountChanged,
    Broadcast,
    CheckOccupants,
    ContactRemoved,
    Copied,
    End,
    FannedOut,
    Fanout,
    Gate,
    Gated,
    Handle,
    Interest,
    Item,
    Kind,
    LastItems,
    LastSeen,
    Missed,
    NoLongerAway,
    Note,
    Noted,
    Notified,
    Probe,
    RemoteBroken,
    RosterChanged,
    Route,
    Seen,
    SendPresence,
    SessionUp,
    SharedContacts,
    ShowUsers,
    Sighted,
    StillThere,
    TheirPresence,
    ToResources,
)
from rookery.shared.bus.parking import Key

#: Whoever handles these twice ends where handling them once ends.
_HARMLESS: Final = frozenset(
    {
        AccountChanged,
        Broadcast,
        CheckOccupants,
        ContactRemoved,
        FannedOut,
        Fanout,
        Gated,
        Interest,
        LastItems,
        LastSeen,
        Missed,
        NoLongerAway,
        Notified,
        Probe,
        RemoteBroken,
        RosterChanged,
        SendPresence,
        SessionUp,
        SharedContacts,
        Seen,
        ShowUsers,
        Sighted,
        StillThere,
        TheirPresence,
        ToResources,
    }
)

#: The same, for one process: (deliveries are repeated by the routers that number them).
_TOLD: Final = frozenset({Accepted, Copied, End, Note, Noted})


def repeatable(item: Item) -> bool:
    """Whether an item of unknown fate is sent again by the bus."""
    if isinstance(item, Route | Handle | Gate):
        # Without a custodian: presence settles by itself; a client ignores a second answer; an error is told once by its uid.
        return not item.origin.custodian
    return type(item) in _HARMLESS


def take_back(link: Link, wanted: Callable[[Key], bool], *, unsent: bool = False) -> list[Entry]:
    """What a dead process leaves behind of the `wanted` partitions, in order; what was not sent leaves the link's queue.

    With `unsent`, that is what was not sent of all partitions.
    """
    entries = _unknown(link, wanted)
    left: deque[Entry] = deque()
    for queued in link.queue:
        for entry in _apart(queued):
            (entries if _moves(entry, _any if unsent else wanted) else left).append(entry)
    link.queue = left
    return entries


def _apart(entry: Entry) -> Iterator[Entry]:
    """A fan-out goes to a process; what another process gets of it is what belongs to one partition."""
    kind, _, _, item, call = entry
    if isinstance(item, Fanout) and item.runs:
        for partition, epoch, one in by_partition(item):
            yield kind, partition, epoch, one, call
    else:
        yield entry


def restart(link: Link, generation: int) -> deque[Entry]:
    """Begin a link anew whose peer gave us up; returns what goes out behind what the services send again."""
    unknown = _unknown(link, _any, told=True)
    queued = link.restart(generation)
    queued.extendleft(reversed(unknown))
    return queued


def _unknown(link: Link, wanted: Callable[[Key], bool], *, told: bool = False) -> list[Entry]:
    """What was sent, may not have been handled, and may be handled twice; with `told` also what is for that process alone."""
    entries: list[Entry] = []
    for packed in link.unacknowledged:
        sent = read_item(msgpack.unpackb(packed, use_list=False))
        if sent is None or sent[4]:
            continue
        for entry in (sent,) if told else _apart(sent):
            if (_moves(entry, wanted) and repeatable(entry[3])) or (told and type(entry[3]) in _TOLD):
                entries.append(entry)  # noqa: PERF401  a comprehension of three parts reads worse
    return entries


def _moves(entry: Entry, wanted: Callable[[Key], bool]) -> bool:
    """Whether the entry is for a holder of partitions; everything else is for that process alone."""
    return entry[0] is not Kind.EDGE and wanted((entry[0], entry[1]))


def _any(key: Key) -> bool:
    return True

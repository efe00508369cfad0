"""What a client says it has when it resumes (XEP-0198 section 5) is remembered by its new edge, as what it acknowledges there. So is what it
had acknowledged before, where that is not committed: its former edge remembers it, which may be dead.

It may not be committed yet, or its senders may not know: they send it again to the next holder of the partition, which asks the edges. The session's former
edge does not know that its client has it, or is dead.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from rookery.router.accounts.kept import OVERHEAD
from rookery.router.accounts.session import Session
from rookery.shared.bus.messages import ROOM, Mirror
from rookery.shared.xmpp.stanza import Stanza

#: Bytes of messages in one item.
_MAX_BYTES: Final = 262_144


def bequest(session: Session, n: int, stored: int, partition: int) -> Iterator[Mirror]:
    """What the session was given up to its number `n`, for the edge where it goes on; rooms and nodes are told with `Resumed`.

    Its account's rows are committed up to the archive id `stored`.
    """
    late: list[tuple[bytes, int, Stanza]] = []
    iqs: list[tuple[bytes, int]] = []
    size = 0
    for number, parcel, to in chain(session.not_stored(stored), session.kept):
        if number > n:
            break
        stanza, (stream, origin_n, *_) = parcel.stanza, parcel.origin
        if not stream or stream.startswith(ROOM):
            continue
        if stanza.kind == "message":
            late.append((stream, origin_n, stanza.replace(to=to) if to else stanza))
            size += len(stanza.inner) + OVERHEAD
        elif stanza.kind:
            iqs.append((stream, origin_n))
        if size >= _MAX_BYTES:
            yield Mirror("", partition, (), False, late, iqs)
            late, iqs, size = [], [], 0
    if late or iqs:
        yield Mirror("", partition, (), False, late, iqs)

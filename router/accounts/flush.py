"""What one session is given of the messages that were stored for its account, and what waits behind them."""

from __future__ import annotations

from collections import deque

from rookery.router.accounts.kept import Parcel


class Flush:
    """Stored messages on their way to one session, page by page; live messages for it wait behind."""

    __slots__ = (
        "after",
        "again",
        "asked",
        "backlog",
        "backlog_bytes",
        "barrier",
        "grant",
        "live_waits",
        "read",
        "resource",
        "rewind",
        "since",
    )

    def __init__(self, resource: str, grant: int, now: float) -> None:
        self.resource = resource
        self.grant = grant
        #: The newest archive id that was given to it.
        self.after = 0
        #: When the page that is under way was asked for; 0 when none is.
        self.asked = 0.0
        #: When it last made progress.
        self.since = now
        #: Live messages behind it: (parcel, first); `first` when it decides the message's fate.
        self.backlog: deque[tuple[Parcel, bool]] = deque()
        self.backlog_bytes = 0
        #: False once live messages no longer wait (it took too long).
        self.live_waits = True
        #: All pages were read.
        self.read = False
        #: More was stored meanwhile: read once more after the last page.
        self.again = False
        #: The first archive id of that; 0 for none.
        self.barrier = 0
        #: Then from the beginning: another session died with older ones.
        self.rewind = False

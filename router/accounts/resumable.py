"""What a router keeps of a resumable stream (XEP-0198) besides its session."""

from __future__ import annotations

from collections.abc import Iterable

from rookery.router.accounts.kept import Kept
from rookery.shared.bus.messages import Management


class Resumable:
    """The stream's SM-ID, its numbers, and how it sleeps.

    `base_in` and `base_out` are where the client began to count, `frontier` the highest inbound number that is handled and may have been
    acknowledged. `requests` are as in Frontier.
    """

    __slots__ = (
        "base_in", "base_out", "former", "frontier", "requests", "seconds", "store_at", "stored", "token", "until",
    )  # fmt: skip

    def __init__(self, token: bytes, seconds: int, base_in: int, base_out: int) -> None:
        self.token = token
        self.seconds = seconds
        self.base_in = base_in
        self.base_out = base_out
        self.frontier = base_in
        self.requests: tuple[tuple[str, str, int], ...] = ()
        #: While it sleeps: when it ends (the router's ticks); the edge that still has its mirror, as (edge, sid).
        self.until = 0.0
        self.former = ("", 0)
        #: When its row has to be written (0.0: it is as it should be), and whether there is one.
        self.store_at = 0.0
        self.stored = False

    def describe(self) -> Management:
        """For an edge."""
        return Management(self.token, self.seconds, self.base_in, self.base_out, self.frontier, self.requests)

    @staticmethod
    def of(management: Management) -> Resumable:
        """What an edge's mirror says."""
        resumable = Resumable(
            bytes(management.token), management.seconds, management.base_in, management.base_out
        )
        resumable.frontier = max(management.frontier, management.base_in)
        resumable.requests = tuple((id_, to, deadline) for id_, to, deadline in management.requests)
        return resumable

    def answered(self, gone: Iterable[Kept]) -> None:
        """The client has these, or will have them: requests of its own that they answer are open no more."""
        answers = {
            (stanza.id, stanza.from_)
            for stanza in (one.parcel.stanza for one in gone)
            if stanza.kind == "iq" and stanza.type in ("result", "error")
        }
        if answers:
            ids = {id_ for id_, sender in answers if "/" not in sender}
            self.requests = tuple(
                request
                for request in self.requests
                if (request[0], request[1]) not in answers and (request[1] or request[0] not in ids)
            )

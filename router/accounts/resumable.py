"""What a router keeps of a resumable stream (XEP-0198) besides its session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rookery.router.accounts.kept import Kept
from rookery.shared.bus.messages import Management

#: What a copy lacked is owed since (`router.unclear`).
RESOLVED: Final = -1.0
#: So many answered requests are remembered for one stream.
MOST_ANSWERED: Final = 1000


class Resumable:
    """The stream's SM-ID, its numbers, and how it sleeps.

    `base_in` and `base_out` are where the client began to count, `frontier` the highest inbound number that is handled and may have been
    acknowledged. `requests` are as in Frontier.
    """

    __slots__ = (
        "_answered", "base_in", "base_out", "copied", "copier", "former", "frontier", "known", "requests", "row", "seconds", "store_at", "stored", "token", "until",
    )  # fmt: skip

    def __init__(self, token: bytes, seconds: int, base_in: int, base_out: int) -> None:
        self.token = token
        self.seconds = seconds
        self.base_in = base_in
        self.base_out = base_out
        self.frontier = base_in
        self.requests: tuple[tuple[str, str, int], ...] = ()
        #: Requests that were answered, (id, `to`), and the inbound number at or below which each is (0: not known yet). None for none.
        self._answered: dict[tuple[str, str], int] | None = None
        #: A copy woke it after its router and its edge were lost: the highest outbound number of that copy, -1 otherwise. A client that
        #: has more went on after the copy was made: other stanzas have its numbers now.
        self.known = -1
        #: When that copy was made (Unix seconds): what came since is not in it; RESOLVED: that is owed; 0.0: the copy was complete.
        self.copied = 0.0
        #: The epoch of the holder that made it.
        self.copier = 0
        #: While it sleeps: when it ends (the router's ticks); the edge that still has its mirror, as (edge, sid).
        self.until = 0.0
        self.former = ("", 0)
        #: When its row has to be written (0.0: it is as it should be), and whether there is one.
        self.store_at = 0.0
        self.stored = False
        #: Whether there may be a row that has to be deleted, also one that is being written.
        self.row = False

    def describe(self) -> Management:
        """For an edge."""
        answered = () if self._answered is None else tuple(self._answered)
        return Management(
            self.token,
            self.seconds,
            self.base_in,
            self.base_out,
            self.frontier,
            self.requests,
            False,
            answered,
        )

    @staticmethod
    def of(management: Management) -> Resumable:
        """What an edge's mirror says."""
        resumable = Resumable(
            bytes(management.token), management.seconds, management.base_in, management.base_out
        )
        resumable.frontier = max(management.frontier, management.base_in)
        resumable.requests = tuple((id_, to, deadline) for id_, to, deadline in management.requests)
        for id_, to in management.answered:
            resumable.answer(id_, to)
        return resumable

    def answer(self, id: str, to: str) -> None:
        """The client was given the answer to this request (`to` is "" for its account)."""
        answered = self._answered
        if answered is None:
            answered = self._answered = {}
        elif len(answered) >= MOST_ANSWERED:
            del answered[next(iter(answered))]
        answered[id, to] = 0

    def handled(self, n: int, taken: int) -> None:
        """All up to inbound number `n` is handled, and `taken` has come: requests at or below `n` are never sent again."""
        self.frontier = max(self.frontier, n)
        if self._answered is not None:
            # An answer that was given before this came is that of a request that had come then.
            known = {key: at or max(taken, n) for key, at in self._answered.items()}
            self._answered = {key: at for key, at in known.items() if at > n} or None

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

"""The inbound side of a stream, for whoever takes its stanzas. Implements `api.Source`."""

from __future__ import annotations

from collections import deque

from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.streams.api import Taker
from rookery.workers.s2s.streams.stream import Stream


class Inlet:
    """Stanzas go to `taker` once it is set. It counts what it was given; the other side counts answers to our pings, too."""

    __slots__ = ("_done", "_open", "_stream", "taker")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.taker: Taker | None = None
        #: How many the taker has accepted, and which of the stream's stanzas those are that it has not.
        self._done = 0
        self._open: deque[int] = deque()

    @property
    def remotes(self) -> tuple[str, ...]:
        """The domains that have proved themselves."""
        return tuple(sorted(self._stream.machine.pairs.remotes))

    def take(self, stanza: Stanza) -> None:
        """Give it on."""
        assert self.taker is not None
        self._open.append(self._stream.machine.inbound.received)
        self.taker.take(stanza, self._stream.machine.told.take())

    def skip(self) -> None:
        """The newest stanza was for us alone."""
        self._stream.machine.told.take()
        if not self._open:
            self._tell()

    def closed(self) -> None:
        """Nothing more will come."""
        if self.taker is not None:
            self.taker.closed()

    def hold(self) -> None:
        """Do not read."""
        self._stream.hold()

    def release(self) -> None:
        """Read again."""
        self._stream.release()

    def handled(self, n: int) -> None:
        """The first `n` stanzas that were taken are accepted: the other side may be told."""
        while self._done < n and self._open:
            self._open.popleft()
            self._done += 1
        self._tell()

    def _tell(self) -> None:
        stream, inbound = self._stream, self._stream.machine.inbound
        stream.apply(inbound.accepted(self._open[0] - 1 if self._open else inbound.received))
        stream.look()

"""Stream management of one stream (XEP-0198): what may be acknowledged, when to ask, what the client has. A pure machine.

Inbound: `noted` is the highest number that the stream's own router has recorded as handled; only that is told to the client, so that a
resumption on any edge never says less. Outbound: the mirror holds the numbers; this machine counts what was not asked about.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from rookery.shared.xeps.stream_management import Options, advance

#: A note that the router has not confirmed in this time is sent again: it was lost where nobody told us.
NOTE_SECONDS: Final = 10.0


class Look(Enum):
    """What a deadline asks for."""

    NOTHING = "nothing"
    ASK = "write <r/>"
    DEAD = "give the socket up"


class StreamManagement:
    """The machine. Numbers are those of the stream (unwrapped); `base_in` and `base_out` are where the client began to count.

    `options` say when the client is asked for an acknowledgement, and when one that was asked and was not heard is gone.
    """

    __slots__ = (
        "_ask_stanzas", "_asked_at", "_asked_n", "_dead_seconds", "_posted", "_posted_at", "_since", "_unasked", "_wanted", "ask_seconds", "base_in", "base_out", "noted", "seconds",
        "token",
    )  # fmt: skip

    def __init__(
        self, options: Options, base_in: int, base_out: int, token: bytes = b"", seconds: int = 0
    ) -> None:
        self._ask_stanzas = options.ask_stanzas
        self.ask_seconds = options.ask_seconds
        self._dead_seconds = options.answer_seconds
        self.base_in = base_in
        self.base_out = base_out
        #: The SM-ID; b"" while the stream cannot be resumed.
        self.token = token
        self.seconds = seconds
        self.noted = base_in
        #: The frontier that the router was told, when, and the number up to which the client waits for an answer (0: none).
        self._posted = base_in
        self._posted_at = 0.0
        self._wanted = 0
        #: Deliveries since the last <r/>, when the first of them was, when an unanswered <r/> was written, and what it covers.
        self._unasked = 0
        self._since = 0.0
        self._asked_at = 0.0
        self._asked_n = 0

    # --- inbound ---

    @property
    def h(self) -> int:
        """What the client may be told now, unwrapped."""
        return max(0, self.noted - self.base_in)

    @property
    def wanted(self) -> bool:
        """Whether the client waits for more than it was told."""
        return self._wanted > self.noted

    def request(self, n: int) -> int:
        """`<r/>` came behind inbound number `n`: answer at once with this; the rest is told when it is noted."""
        self._wanted = n
        return self.h

    def moved(self, frontier: int, now: float) -> bool:
        """Everything up to `frontier` is handled. True when the router shall be told now (one note is under way at a time)."""
        if frontier <= self.noted:
            return False
        if not self.token:
            # Nobody else will ever have to know it.
            return self.note(frontier)
        if self._posted > self.noted and now - self._posted_at < NOTE_SECONDS:
            return False
        self._posted = frontier
        self._posted_at = now
        return True

    def note(self, n: int) -> bool:
        """The router has recorded `n`. True when the client waits for it: tell it `h`."""
        if n <= self.noted:
            return False
        waited = self._wanted > self.noted
        self.noted = n
        self._posted = max(self._posted, n)
        return waited and (n >= self._wanted)

    def lost(self) -> None:
        """What was told to the router may be lost: tell it again."""
        self._posted = self.noted

    # --- outbound ---

    def sent(self, n: int, now: float) -> Look:
        """Delivery `n` is written. ASK when it is time for `<r/>`."""
        self._unasked += 1
        if self._unasked >= self._ask_stanzas:
            self.ask(n, now)
            return Look.ASK
        if self._unasked == 1:
            self._since = now
        return Look.NOTHING

    @property
    def first_unasked(self) -> bool:
        """Whether the delivery that was just written begins a wait of `ask_seconds`."""
        return self._unasked == 1

    def ask(self, n: int, now: float) -> None:
        """`<r/>` is written behind delivery `n`."""
        self._unasked = 0
        self._asked_n = n
        if not self._asked_at:
            self._asked_at = now

    def answer(self, h: int, acked: int, n: int, now: float) -> int | None:
        """`<a h>` came: the delivery up to which the client has everything; None when it never was sent so many.

        `acked` is what it had before, `n` the newest delivery.
        """
        total = max(0, acked - self.base_out)
        count = advance(total, n - self.base_out, h)
        if count is None:
            return None
        reached = self.base_out + count
        if reached >= n:
            self._unasked = 0
        self._asked_at = 0.0 if reached >= self._asked_n else now
        return reached

    def look(self, n: int, heard: float, now: float) -> tuple[Look, float]:
        """What a deadline asks for at `now`, and when to look again (0.0: not before something happens)."""
        following = 0.0
        if self._asked_at:
            dead_at = max(self._asked_at, heard) + self._dead_seconds
            if now >= dead_at:
                return Look.DEAD, 0.0
            following = dead_at
        if self._unasked:
            ask_at = self._since + self.ask_seconds
            if now >= ask_at:
                self.ask(n, now)
                return Look.ASK, now + self._dead_seconds
            following = min(following, ask_at) if following else ask_at
        return Look.NOTHING, following

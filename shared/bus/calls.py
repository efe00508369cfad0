"""Requests of this process that wait for their answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, cast

import trio

from rookery.shared.bus.api import BusTimeout, PeerLost
from rookery.shared.bus.batch import BadBatch, read_fields
from rookery.shared.bus.messages import TAGS, Failed, Item, Kind, Return
from rookery.shared.observe.metrics import REQUEST_SECONDS
from rookery.shared.xmpp.errors import STANZA_CONDITIONS, StanzaError

#: To find a label's histogram takes longer than to observe.
_seconds: Final = lru_cache(maxsize=64)(REQUEST_SECONDS.labels)
#: A call that may take so many seconds is timed with all others once a second: a scope of its own would cost more than all else of it.
COARSE: Final = 5.0
_TYPES: Final = frozenset({"auth", "cancel", "continue", "modify", "wait"})


class Waiter:
    """One open call: `peer` is the process that was asked last; `until` is when it is given up, 0.0 when something else looks after that."""

    __slots__ = ("answer", "began", "error", "event", "peer", "until")

    def __init__(self, began: float) -> None:
        self.began = began
        self.until = 0.0
        self.event = trio.Event()
        self.answer: Item | None = None
        self.error: Exception | None = None
        self.peer = ""


class Calls:
    """The open calls by number. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[int, Waiter] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._open

    def begin(self, number: int) -> Waiter:
        """Open a call."""
        waiter = self._open[number] = Waiter(self._clock())
        return waiter

    async def finish(self, number: int, kind: Kind, partition: int, timeout: float) -> Item:
        """Wait for the answer, then close the call. Raises BusTimeout (PeerLost) or the StanzaError of the answer."""
        waiter = self._open[number]
        try:
            if timeout < COARSE:
                with trio.move_on_after(timeout):
                    await waiter.event.wait()
            else:
                waiter.until = waiter.began + timeout
                await waiter.event.wait()
        finally:
            del self._open[number]
        _seconds(kind.label).observe(self._clock() - waiter.began)
        if waiter.error is not None:
            raise waiter.error
        if waiter.answer is None:
            raise BusTimeout(f"{kind.label} {partition}: no answer within {timeout:g} s")
        return waiter.answer

    def tick(self) -> None:
        """Give up what has waited too long. Call it about once a second."""
        now = self._clock()
        for waiter in self._open.values():
            if 0.0 < waiter.until <= now:
                waiter.event.set()

    def asked(self, number: int, peer: str) -> None:
        """The request goes to this process (now)."""
        if (waiter := self._open.get(number)) is not None:
            waiter.peer = peer

    def lost(self, peer: str) -> None:
        """The process is gone and will not answer."""
        for waiter in self._open.values():
            if waiter.peer == peer and not waiter.event.is_set():
                waiter.error = PeerLost("the process that was asked is lost")
                waiter.event.set()

    def on_return(self, source: str, item: Item) -> None:
        """An answer came. An answer to a call that was given up is ignored."""
        assert isinstance(item, Return)
        if (waiter := self._open.get(item.call)) is not None and not waiter.event.is_set():
            try:
                # What this very process has answered was never packed.
                local = type(item.fields) in TAGS
                waiter.answer = (
                    cast("Item", item.fields) if local else read_fields(item.tag, tuple(item.fields))
                )
            except BadBatch:
                waiter.error = BusTimeout("the answer cannot be read")
            waiter.event.set()

    def on_failed(self, source: str, item: Item) -> None:
        """A stanza error came."""
        assert isinstance(item, Failed)
        if (waiter := self._open.get(item.call)) is not None and not waiter.event.is_set():
            condition = item.condition if item.condition in STANZA_CONDITIONS else "undefined-condition"
            app = (str(item.app[0]), str(item.app[1])) if len(item.app) == 2 else None
            type_ = item.type if item.type in _TYPES else None
            waiter.error = StanzaError(condition, item.text or None, type=type_, app=app)
            waiter.event.set()


def answer_item(number: int, answer: Item | StanzaError) -> Item:
    """What goes back to the caller."""
    if isinstance(answer, StanzaError):
        return Failed(number, answer.condition, answer.type, answer.text or "", answer.app or ())
    return Return(number, TAGS[type(answer)], answer)

"""The streams that remote domains open to the server: before the load, one after another, and again when the server has ended one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from rookery.bench.driver.driver import SECOND, Driver
from rookery.bench.remotes.house import House, server_place
from rookery.bench.remotes.outgoing import Outgoing
from rookery.bench.scenarios._exchanges import Correspondent

#: A stream that the server ended is opened again after this time.
_AGAIN_NS: Final = SECOND // 2


class Openings:
    """Streams of the domains `there`, each with its correspondent as `hold`."""

    def __init__(self, driver: Driver, house: House, there: Sequence[Correspondent]) -> None:
        self._driver = driver
        self._house = house
        self._there = there
        #: Streams that are being opened for the first time.
        self.opening = 0
        self._refused: Counter[str] = Counter()
        self._closed = False

    def gather(self) -> None:
        """Open all of them, at the ramp rate."""
        driver = self._driver
        loop, gap = driver.loop, int(SECOND * driver.order.of / driver.plan.ramp)
        self.opening = len(self._there)
        for number, there in enumerate(self._there):
            loop.at(loop.clock() + number * gap, lambda _now, there=there: self._connect(there, self._first))  # type: ignore[misc]

    def _connect(self, there: Correspondent, done: Callable[[Outgoing, str], None]) -> None:
        if not self._closed:
            there.stream = self._house.open(there.domain, done)
            there.stream.hold = there

    def _first(self, _stream: Outgoing, condition: str) -> None:
        self.opening -= 1
        if condition:
            self._refused[condition] += 1
        if self.opening:
            return
        driver, refused = self._driver, self._refused.total()
        told = ", ".join(f"{count} {found}" for found, count in self._refused.items())
        text = f"{refused} of {len(self._there)} remote domains could not open a stream: {told}"
        if refused == len(self._there):
            host, port = server_place(driver.plan)
            driver.impossible = (
                f"{text}; is {host}:{port} its port for servers (--s2s-target), and does it trust --ca?"
            )
        elif told:
            driver.notes.append(text)

    def lost(self, stream: Outgoing, condition: str) -> None:
        """A stream to the server ended: the domain opens another one."""
        there = stream.hold
        if self._closed or not isinstance(there, Correspondent):
            return
        if condition != "closed":
            self._driver.recorder.error("stream", condition)
        loop = self._driver.loop
        loop.at(loop.clock() + _AGAIN_NS, lambda _now: self._connect(there, self._reopened))

    def _reopened(self, stream: Outgoing, condition: str) -> None:
        if condition:
            self.lost(stream, condition)

    def close(self) -> None:
        """End all of them, for good."""
        self._closed = True
        for there in self._there:
            if there.stream is not None:
                there.stream.close()

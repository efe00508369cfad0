"""Several buses joined within one process, for tests and stories: the real core, batches and links, with faults to order.

`Network.settle()` runs everything to rest synchronously, so a unit test needs no tasks; `Network.run` is the task that does
it whenever something is posted, for tests that await calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from rookery.shared.bus.core import BusCore
from rookery.shared.bus.messages import VERSION
from rookery.shared.bus.subjects import Subjects

#: What a fault says of a message: None loses it, (1,) delivers it, (1, 1) twice, (3,) after two later rounds.
Fate = tuple[int, ...] | None
#: (source incarnation, subject, payload) -> fate.
Fault = Callable[[str, str, bytes], Fate]

_NORMAL: Final[Fate] = (1,)


class MemoryBus(BusCore):
    """One process's bus on a `Network`."""

    def __init__(self, network: Network, incarnation: str, *, window_items: int, window_bytes: int) -> None:
        super().__init__(
            incarnation,
            network.subjects,
            window_items=window_items,
            window_bytes=window_bytes,
            clock=network.clock,
        )
        self.version = VERSION  # all buses of a network are of this version, unless a test says otherwise
        self._network = network
        self.up = True
        self.wanted = False
        self.attach(_Transport(network, self))
        self.wake = self._wake

    def _wake(self) -> None:
        self.wanted = True
        self._network.wake()

    def disconnect(self) -> None:
        """As if the connection to NATS were lost: what is sent to and from this process is gone."""
        self.up = False

    def reconnect(self) -> None:
        """The connection is back."""
        self.up = True
        self.reconnected()


class _Transport:
    max_payload = 1024 * 1024
    backlog = 0

    def __init__(self, network: Network, bus: MemoryBus) -> None:
        self._network = network
        self._bus = bus

    @property
    def connected(self) -> bool:
        return self._bus.up

    def send(self, subject: str, payload: bytes) -> None:
        if self._bus.up:
            self._network.carry(self._bus.incarnation, subject, payload)

    def flush(self) -> None:
        pass


class Network:
    """What NATS is to the real bus. `fault` decides the fate of each message; `clock` gives the buses their time."""

    def __init__(self, *, prefix: str = "test", clock: Callable[[], float] = trio.current_time) -> None:
        self.subjects = Subjects(prefix)
        self.clock = clock
        self.buses: dict[str, MemoryBus] = {}
        self.fault: Fault | None = None
        #: Every message carried since start: (source, subject, payload).
        self.carried = 0
        self._rounds: deque[list[tuple[str, bytes]]] = deque()
        self._event: trio.Event | None = None

    def bus(
        self, incarnation: str, *, window_items: int = 4096, window_bytes: int = 2 * 1024 * 1024
    ) -> MemoryBus:
        """A new process on this network."""
        bus = MemoryBus(self, incarnation, window_items=window_items, window_bytes=window_bytes)
        self.buses[incarnation] = bus
        return bus

    def kill(self, incarnation: str) -> None:
        """The process is gone: nothing reaches it any more."""
        self.buses.pop(incarnation).up = False

    def carry(self, source: str, subject: str, payload: bytes) -> None:
        """Take a message on its way."""
        self.carried += 1
        for rounds in (_NORMAL if self.fault is None else self.fault(source, subject, payload)) or ():
            while len(self._rounds) < rounds:
                self._rounds.append([])
            self._rounds[rounds - 1].append((subject, payload))
        self.wake()

    def wake(self) -> None:
        """Something is to be done."""
        if self._event is not None:
            self._event.set()

    def step(self) -> bool:
        """One turn of every bus that wants one, one round of messages. False when nothing was to be done."""
        busy = False
        for bus in list(self.buses.values()):
            if bus.wanted:
                busy, bus.wanted = True, False
                bus.turn()
        if self._rounds:
            busy = True
            for subject, payload in self._rounds.popleft():
                self._deliver(subject, payload)
        return busy

    def _deliver(self, subject: str, payload: bytes) -> None:
        for bus in list(self.buses.values()):
            if not bus.up:
                continue
            if subject == self.subjects.control:
                bus.take_control(payload)
            elif subject == self.subjects.node(bus.incarnation):
                bus.take_batch(payload)

    def settle(self) -> None:
        """Run until nothing is to be done."""
        while self.step():
            pass

    def tick(self) -> None:
        """A second has passed for every bus; then settle."""
        for bus in list(self.buses.values()):
            bus.tick()
        self.settle()

    async def run(self) -> None:
        """Carry on whenever something is posted, and tick once a second, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ticks)
            while True:
                self._event = trio.Event()
                self.settle()
                await self._event.wait()

    async def _ticks(self) -> None:
        while True:
            await trio.sleep(1)
            for bus in list(self.buses.values()):
                bus.tick()

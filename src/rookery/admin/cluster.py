"""A running cluster, as an operator's process reaches it: the bus, and who holds which partition by the leases."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import trio

from rookery.admin.errors import Invalid, Unreachable
from rookery.shared.bus.api import Bus, BusTimeout
from rookery.shared.bus.kinds import Kind
from rookery.shared.bus.messages import AskHolds, AskProcess, Item, ProcessTold
from rookery.shared.bus.nats import NatsBus, open_bus
from rookery.shared.bus.subjects import partition_of
from rookery.shared.config import Config
from rookery.shared.db.api import Connection, Database
from rookery.shared.xmpp.errors import StanzaError

CONNECT_SECONDS: Final = 3.0
CALL_SECONDS: Final = 5.0
#: Partitions that are asked at once.
AT_ONCE: Final = 32
#: Whoever is asked what it holds answers at once.
ANSWER_SECONDS: Final = 0.5
_LEASES: Final = "SELECT kind, partition, incarnation, epoch FROM lease WHERE incarnation IS NOT NULL"

T = TypeVar("T", bound=Item)


class Cluster:
    """An open way to a cluster."""

    def __init__(self, bus: Bus, partitions: int = 256) -> None:
        self.bus = bus
        self._count = partitions

    async def ask(self, account: str, request: Item, answer: type[T], kind: Kind = Kind.ROUTER) -> T:
        """Ask the holder of an account. Raises Unreachable, StanzaError."""
        return await self._ask(kind, partition_of(account), request, answer)

    async def ask_all(self, request: Item, answer: type[T], kind: Kind = Kind.ROUTER) -> dict[int, T]:
        """Ask every holder; the answers by partition. Raises Unreachable when one does not answer."""
        found: dict[int, T] = {}
        limit = trio.CapacityLimiter(AT_ONCE)

        async def one(partition: int) -> None:
            async with limit:
                found[partition] = await self._ask(kind, partition, request, answer)

        try:
            async with trio.open_nursery() as nursery:
                for partition in self._partitions(kind):
                    nursery.start_soon(one, partition)
        except* Unreachable as group:
            raise _first(group) from None
        return found

    async def ask_process(
        self, incarnation: str, what: str, detail: Mapping[str, object] | None = None
    ) -> Any:
        """Ask one process what its memory knows. Raises Unreachable, Invalid."""
        request = AskProcess(what, json.dumps(detail) if detail else "")
        try:
            found = await self.bus.call(Kind.EDGE, 0, request, timeout=CALL_SECONDS, to=incarnation)
        except BusTimeout as error:
            raise Unreachable(f"{incarnation}: {error}") from None
        except StanzaError as error:
            if error.condition == "feature-not-implemented":
                raise Unreachable(f"{incarnation} is of a version that cannot tell") from None
            raise Invalid(error.text or error.condition) from None
        assert isinstance(found, ProcessTold)
        return json.loads(found.text)

    async def ask_processes(
        self, incarnations: Iterable[str], what: str, detail: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Ask several at once; who does not answer is left out."""
        answers: dict[str, Any] = {}

        async def one(name: str) -> None:
            with suppress(Unreachable):
                answers[name] = await self.ask_process(name, what, detail)

        async with trio.open_nursery() as nursery:
            for name in incarnations:
                nursery.start_soon(one, name)
        return answers

    async def sent(self, seconds: float) -> bool:
        """Wait until what was posted has left; False when it has not in time."""
        return await self.bus.drain(seconds) if isinstance(self.bus, NatsBus) else True

    def _partitions(self, kind: Kind) -> Iterable[int]:
        return [number for number in range(self._count) if self.bus.resolver(kind, number) is not None]

    async def _ask(self, kind: Kind, partition: int, request: Item, answer: type[T]) -> T:
        if self.bus.resolver(kind, partition) is None:
            raise Unreachable(
                f"no {kind.label} holds partition {partition}: `rookery status` tells what runs"
            )
        try:
            found = await self.bus.call(kind, partition, request, timeout=CALL_SECONDS)
        except BusTimeout as error:
            raise Unreachable(f"{error}: `rookery status` tells what runs") from None
        except StanzaError as error:
            if error.condition == "feature-not-implemented":
                raise Unreachable(
                    f"the {kind.label} of partition {partition} is of a version that cannot tell"
                ) from None
            raise
        assert isinstance(found, answer)
        return found


def _first(group: BaseExceptionGroup[Unreachable]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def open_cluster(config: Config, db: Database) -> AsyncIterator[Cluster]:
    """Reach the cluster of this configuration. Raises Unreachable, DatabaseUnavailable."""

    async def read(conn: Connection) -> list[tuple[str, int, str, int]]:
        return [tuple(row) for row in await conn.fetch(_LEASES)]

    holders = {(kind, number): (name, epoch) for kind, number, name, epoch in await db.run(0, read)}
    async with open_bus(f"cli{secrets.token_hex(6)}", config.bus) as bus:
        with trio.move_on_after(CONNECT_SECONDS):
            while not bus.connected:  # noqa: ASYNC110  a state of the transport, asked for a moment
                await trio.sleep(0.02)
        if not bus.connected:
            raise Unreachable("NATS does not answer")
        await learn_version(bus)
        bus.resolver = lambda kind, partition: holders.get((kind.label, partition))
        yield Cluster(bus)


async def learn_version(bus: NatsBus) -> None:
    """Write what all processes read: the version of what they answer. Who does not answer gets what any version reads."""
    bus.announce(AskHolds(bus.incarnation))
    with trio.move_on_after(ANSWER_SECONDS):
        while not bus.heard:  # noqa: ASYNC110  the bus has no event for it
            await trio.sleep(0.005)
        bus.version = max(bus.version, min(bus.heard, bus.speaks))

"""A running cluster, as an operator's process reaches it: the bus, and who holds which partition by the leases."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import trio

from rookery.admin.errors import Invalid, Unreachable
from rookery.admin.holders import Leases
from rookery.shared.bus.api import Bus, BusTimeout, PeerLost
from rookery.shared.bus.kinds import Kind
from rookery.shared.bus.messages import AskHolds, AskProcess, Item, ProcessTold
from rookery.shared.bus.nats import NatsBus, open_bus
from rookery.shared.bus.subjects import partition_of
from rookery.shared.config import Config
from rookery.shared.db.api import Database, DatabaseUnavailable
from rookery.shared.xmpp.errors import StanzaError

CONNECT_SECONDS: Final = 3.0
CALL_SECONDS: Final = 5.0
#: How long the holder of a partition is asked, the next one included when it moves meanwhile: a takeover takes some seconds.
HOLDER_SECONDS: Final = 12.0
#: A command looks this often who holds what, while it waits for answers.
LEASES_SECONDS: Final = 0.5
#: Partitions that are asked at once.
AT_ONCE: Final = 32
#: Whoever is asked what it holds answers at once.
ANSWER_SECONDS: Final = 0.5

T = TypeVar("T", bound=Item)


class Cluster:
    """An open way to a cluster.

    A partition may move while its holder is asked, or have none for a moment: the question then goes to the next holder, within
    `HOLDER_SECONDS`. What was asked of a process that died meanwhile may have been done; so such a question is put again only when
    it may be handled twice.
    """

    def __init__(self, bus: Bus, partitions: int = 256) -> None:
        self.bus = bus
        #: Questions that wait for their answers.
        self.open = 0
        self._count = partitions

    async def ask(
        self, account: str, request: Item, answer: type[T], kind: Kind = Kind.ROUTER, *, twice: bool = True
    ) -> T:
        """Ask the holder of an account; `twice`: it may be handled twice. Raises Unreachable, StanzaError."""
        return await self._ask(kind, partition_of(account, self._count), request, answer, twice)

    async def ask_all(self, request: Item, answer: type[T], kind: Kind = Kind.ROUTER) -> dict[int, T]:
        """Ask every holder what may be asked twice; the answers by partition. Raises Unreachable when one does not answer."""
        found: dict[int, T] = {}
        limit = trio.CapacityLimiter(AT_ONCE)

        async def one(partition: int) -> None:
            async with limit:
                found[partition] = await self._ask(kind, partition, request, answer, True)

        try:
            async with trio.open_nursery() as nursery:
                for partition in range(self._count):
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

    async def _ask(self, kind: Kind, partition: int, request: Item, answer: type[T], twice: bool) -> T:
        until = trio.current_time() + HOLDER_SECONDS
        self.open += 1
        try:
            while True:
                try:
                    left = max(0.0, until - trio.current_time())
                    found = await self.bus.call(kind, partition, request, timeout=left)
                except PeerLost as error:
                    if not twice:
                        raise Unreachable(f"{error}; whether it was done is unknown") from None
                else:
                    assert isinstance(found, answer)
                    return found
        except BusTimeout as error:
            holder = self.bus.resolver(kind, partition)
            reason = str(error) if holder else f"no {kind.label} holds partition {partition}"
            raise Unreachable(f"{reason}: `rookery status` tells what runs") from None
        except StanzaError as error:
            if error.condition == "feature-not-implemented":
                raise Unreachable(
                    f"the {kind.label} of partition {partition} is of a version that cannot tell"
                ) from None
            raise
        finally:
            self.open -= 1


def _first(group: BaseExceptionGroup[Unreachable]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def open_cluster(config: Config, db: Database) -> AsyncIterator[Cluster]:
    """Reach the cluster of this configuration. Raises Unreachable, DatabaseUnavailable."""
    leases = Leases(db)
    await leases.read()
    async with open_bus(f"cli{secrets.token_hex(6)}", config.bus) as bus:
        with trio.move_on_after(CONNECT_SECONDS):
            while not bus.connected:  # noqa: ASYNC110  a state of the transport, asked for a moment
                await trio.sleep(0.02)
        if not bus.connected:
            raise Unreachable("NATS does not answer")
        await learn_version(bus)
        bus.resolver = leases.holder
        cluster = Cluster(bus)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_follow, leases, bus, cluster)
            yield cluster
            nursery.cancel_scope.cancel()


async def _follow(leases: Leases, bus: NatsBus, cluster: Cluster) -> None:
    while True:
        await trio.sleep(LEASES_SECONDS)
        if cluster.open:
            with suppress(DatabaseUnavailable):
                await leases.read_again(bus)


async def learn_version(bus: NatsBus) -> None:
    """Write what all processes read: the version of what they answer. Who does not answer gets what any version reads."""
    bus.announce(AskHolds(bus.incarnation))
    with trio.move_on_after(ANSWER_SECONDS):
        while not bus.heard:  # noqa: ASYNC110  the bus has no event for it
            await trio.sleep(0.005)
        bus.version = max(bus.version, min(bus.heard, bus.speaks))

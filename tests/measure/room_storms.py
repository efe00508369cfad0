"""What a flood of joins and leaves in one room costs those who talk in others.

Starts `rookery up --ephemeral` with its defaults (`make compile` first, for figures that count)::

    python -m tests.measure.room_storms --stays 10000 --rate 50

50 people in one room hear 60 messages a second, by turns alone and while 20 guests, in a process of their own, enter and leave another room:
at a rate of stays a second, or as fast as they are let (`--rate 0`, which takes all of the machine that is left). Printed: the time until each heard
each, what became of the stays, and the ratio of the medians of the turns.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from statistics import median

import trio
from tests.measure.rooms import Person, Site, cluster, crowd, occupy, quantile

from rookery.shared.observe import log

TALKERS = 50
GUESTS = 20
#: Seconds that the talk is measured alone.
ALONE = 15.0


class Guest(Person):
    """One who comes and goes. `stays`, and joins that the room `refused` (there are limits for those)."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.stays = 0
        self.refused = 0
        self._answered = trio.Event()

    async def listen(self) -> None:
        """Hear until cancelled."""
        tail = b""
        while True:
            data = await self._stream.receive_some(65536)
            if not data:
                return
            data = tail + data
            if b"code='110'" in data or b"type='error'" in data:
                self.refused += b"type='error'" in data
                self.stays += b"code='110'" in data
                self._answered.set()
                data = b""
            tail = data[-600:]

    async def host(self, room: str) -> None:
        """Enter, and open the room."""
        self._answered = trio.Event()
        await self.send(
            f"<presence to='{room}@conference.localhost/host'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        )
        await self._answered.wait()
        await self.open(room)

    async def flood(self, room: str, until: int, everybody: Sequence[Guest], rate: float) -> None:
        """Enter and leave, so many times a second or as fast as can be, until all together have stayed so often."""
        address = f"{room}@conference.localhost/g{self.number}"
        x = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>"
        began, times = time.monotonic(), 0
        while sum(one.stays for one in everybody) < until:
            times += 1
            if rate:
                await trio.sleep(max(0.0, began + times / rate - time.monotonic()))
            for presence in (
                f"<presence to='{address}'>{x}</presence>",
                f"<presence to='{address}' type='unavailable'/>",
            ):
                self._answered = trio.Event()
                await self.send(presence)
                with trio.move_on_after(10):
                    await self._answered.wait()
            if self.refused:
                await trio.sleep(0.01)


async def flood(port: int, stays: int, rate: float) -> tuple[int, int, float]:
    """Stays, refused joins, seconds."""
    async with trio.open_nursery() as nursery:
        guests = [Guest(TALKERS + number) for number in range(GUESTS)]
        for guest in guests:
            await guest.login(port)
            nursery.start_soon(guest.listen)
        # One of them opens the room and stays: it is neither locked nor gone meanwhile.
        host = guests.pop()
        await host.host("flood")
        began = time.monotonic()
        async with trio.open_nursery() as coming:
            for guest in guests:
                # (each presence of a stay has code 110, the one that ends it, too)
                coming.start_soon(guest.flood, "flood", 2 * stays, guests, rate / len(guests))
        nursery.cancel_scope.cancel()
    return (
        sum(one.stays for one in guests) // 2,
        sum(one.refused for one in guests),
        time.monotonic() - began,
    )


def flooding(answers: Connection, port: int, stays: int, rate: float) -> None:
    """The process of the guests."""
    answers.send(trio.run(flood, port, stays, rate))


async def talk(people: Sequence[Person], scope: trio.CancelScope, said: list[int]) -> None:
    """60 messages a second, by turns; `said` counts them."""
    began = time.monotonic()
    with scope:
        while True:
            await people[said[0] % 10].say("talk0", said[0])
            said[0] += 1
            await trio.sleep(max(0.0, began + said[0] / 60 - time.monotonic()))


def told(people: Sequence[Person], what: str) -> tuple[float, float]:
    """Print the delays since the last call; the median and the 99th percentile, in ms."""
    late = [one for person in people for one in person.late]
    for person in people:
        person.late.clear()
    p50, p99 = quantile(late, 0.5) * 1000, quantile(late, 0.99) * 1000
    print(f"{what}: p50 {p50:.1f} ms, p99 {p99:.1f} ms of {len(late)} deliveries", flush=True)
    return p50, p99


def ratio(turns: Sequence[tuple[tuple[float, float], tuple[float, float]]], at: int) -> float:
    """The median over the turns of (with the flood / alone)."""
    return median(beside[at] / alone[at] for alone, beside in turns)


async def measure(site: Site, stays: int, rate: float, rounds: int) -> None:
    """Alone, then beside the flood, by turns."""
    async with trio.open_nursery() as nursery:
        people = await crowd(site, TALKERS, nursery)
        await occupy(people, 1, "talk")  # (the room is talk0)
        scope, said = trio.CancelScope(), [0]
        nursery.start_soon(talk, [*people], scope, said)
        await trio.sleep(3)
        turns = []
        for number in range(rounds):
            for person in people:
                person.late.clear()
            await trio.sleep(ALONE)
            alone = told(people, f"{number + 1}: alone")
            ours, theirs = multiprocessing.Pipe()
            guests = multiprocessing.get_context("spawn").Process(
                target=flooding, args=(theirs, site.port, stays // rounds, rate)
            )
            guests.start()
            await trio.to_thread.run_sync(guests.join, 300)
            came, refused, seconds = ours.recv()
            turns.append(
                (alone, told(people, f"   beside {came} stays in {seconds:.0f} s, {refused} refused"))
            )
        print(f"median ratio: p50 {ratio(turns, 0):.2f}x, p99 {ratio(turns, 1):.2f}x")
        scope.cancel()
        await trio.sleep(10)
        one_order = len({tuple(person.order) for person in people}) == 1
        whole = sum(sorted(person.order) == list(range(said[0])) for person in people)
        print(f"one order for all: {one_order}; {whole} of {len(people)} heard all of {said[0]} once")
        nursery.cancel_scope.cancel()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stays", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=50.0, help="stays a second; 0: no limit")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    gc.freeze()
    log.configure(level="warning", form="console")
    with cluster(TALKERS + GUESTS, "--workers", "1") as site:
        trio.run(measure, site, args.stays, args.rate, args.rounds)


if __name__ == "__main__":
    main()

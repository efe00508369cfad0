"""What a flood of joins and leaves in one room costs those who talk in others.

Starts `rookery up --ephemeral` with its defaults (`make compile` first, for figures that count)::

    python -m tests.measure.room_storms --stays 10000

50 people in one room hear 60 messages a second, alone at first, then while 20 guests enter and leave another room as fast as they are
let. Printed: the time until each heard each, and what became of the stays.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Sequence

import trio
from tests.measure.rooms import Person, Site, cluster, crowd, occupy, quantile

from rookery.shared.observe import log

TALKERS = 50
GUESTS = 20
#: Seconds that the talk is measured alone.
ALONE = 20.0


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

    async def flood(self, room: str, until: int, everybody: Sequence[Guest]) -> None:
        """Enter and leave until all together have stayed so often."""
        address = f"{room}@conference.localhost/g{self.number}"
        x = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>"
        while sum(one.stays for one in everybody) < until:
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


async def talk(people: Sequence[Person], scope: trio.CancelScope) -> None:
    """60 messages a second, by turns."""
    number, began = 0, time.monotonic()
    with scope:
        while True:
            await people[number % 10].say("talk0", number)
            number += 1
            await trio.sleep(max(0.0, began + number / 60 - time.monotonic()))


def told(people: Sequence[Person]) -> str:
    """The delays since the last call."""
    late = [one for person in people for one in person.late]
    for person in people:
        person.late.clear()
    return f"p50 {quantile(late, 0.5) * 1000:.1f} ms, p99 {quantile(late, 0.99) * 1000:.1f} ms of {len(late)} deliveries"


async def measure(site: Site, stays: int) -> None:
    """Alone, then beside the flood."""
    async with trio.open_nursery() as nursery:
        people = await crowd(site, TALKERS, nursery)
        guests = [Guest(TALKERS + number) for number in range(GUESTS)]
        for guest in guests:
            await guest.login(site.port)
            nursery.start_soon(guest.listen)
        await occupy(people, 1, "talk")  # (the room is talk0)
        scope = trio.CancelScope()
        nursery.start_soon(talk, [*people], scope)
        await trio.sleep(3)
        told(people)
        await trio.sleep(ALONE)
        print("alone:", told(people), flush=True)
        began = time.monotonic()
        async with trio.open_nursery() as flood:
            for guest in guests:
                # (each presence of a stay has code 110, the one that ends it, too)
                flood.start_soon(guest.flood, "flood", 2 * stays, guests)
        seconds = time.monotonic() - began
        print(
            f"beside {sum(one.stays for one in guests) // 2} stays within {seconds:.0f} s, {sum(one.refused for one in guests)} joins refused:",
            told(people),
            flush=True,
        )
        scope.cancel()
        await trio.sleep(2)
        orders = {tuple(person.order) for person in people}
        print(
            "one order for all, nothing lost:",
            len(orders) == 1 and list(orders.pop()) == sorted(people[0].order),
        )
        nursery.cancel_scope.cancel()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stays", type=int, default=10_000)
    args = parser.parse_args()
    gc.freeze()
    log.configure(level="warning", form="console")
    with cluster(TALKERS + GUESTS, "--workers", "1") as site:
        trio.run(measure, site, args.stays)


if __name__ == "__main__":
    main()

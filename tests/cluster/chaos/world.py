"""What clients need of whoever runs them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol

from tests.cluster.chaos.ledger import Ledger
from tests.cluster.chaos.loop import Loop
from tests.cluster.chaos.press import PressBook
from tests.cluster.chaos.rooms import RoomBook

if TYPE_CHECKING:
    from tests.cluster.chaos.client import Client


class World(Protocol):
    """The runner, as its clients see it."""

    loop: Loop
    ledger: Ledger
    rooms: RoomBook
    press: PressBook
    rng: random.Random
    managed: bool

    def port(self) -> int:
        """The plain port of some edge, 0 while there is none."""

    def cut(self) -> int:
        """After how many bytes sent the next attempt is cut, 0 for never."""

    def resumed(self, client: Client, seconds: float) -> None:
        """A stream was resumed, so long after it broke."""

    def chain_of(self, client: int) -> int:
        """The session that this client has now, 0 for none."""

"""How many log lines clients may cause: what is too much in a window is counted, and told in one line when the window ends. Pure.

Each event has a bound of its own: a million failed logins hide neither a login nor the removal of an account. Of events that somebody
without an account can cause, one address has a small share, so that it cannot hide another address.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: Length of a window, in seconds.
WINDOW: Final = 10.0
#: Lines of one event that one address may cause in a window, where addresses are counted.
PER_ADDRESS: Final = 20
#: Addresses that are counted one by one; those of a larger flood share what is left.
MAX_ADDRESSES: Final = 4096


class Suppressed(NamedTuple):
    """What was not written of one event: how many lines, of how many addresses, and the address that caused most of them."""

    event: str
    lines: int
    addresses: int
    address: str


class _Count:
    __slots__ = ("addresses", "lines", "suppressed")

    def __init__(self) -> None:
        self.lines = 0
        self.suppressed = 0
        #: address -> its lines, written or not
        self.addresses: dict[str, int] = {}


class Flood:
    """Counts of the current window; `lines` is the bound of each event in it."""

    __slots__ = ("_counts", "_lines", "until")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._counts: dict[str, _Count] = {}
        #: When the window ends; 0.0 while nothing has been counted in one.
        self.until = 0.0

    def admits(self, event: str, address: str, now: float) -> bool:
        """Count a line; False when it is one too many. With `address` "" addresses are not counted."""
        if not self.until:
            self.until = now + WINDOW
        count = self._counts.get(event)
        if count is None:
            count = self._counts[event] = _Count()
        of_address = 0
        if address:
            of_address = count.addresses.get(address, 0)
            if of_address or len(count.addresses) < MAX_ADDRESSES:
                count.addresses[address] = of_address + 1
        if count.lines < self._lines and of_address < PER_ADDRESS:
            count.lines += 1
            return True
        count.suppressed += 1
        return False

    def ended(self, now: float) -> list[Suppressed]:
        """What the window suppressed, once it is over; a new one begins with the next line."""
        if not self.until or now < self.until:
            return []
        counts, self._counts = self._counts, {}
        self.until = 0.0
        return [
            Suppressed(
                event,
                count.suppressed,
                len(count.addresses),
                max(count.addresses, key=count.addresses.__getitem__, default=""),
            )
            for event, count in counts.items()
            if count.suppressed
        ]

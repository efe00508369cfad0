"""Guesses at the password of one account, from however many addresses (XEP-0205). No clock: `now` is an argument, in seconds.

Every question for keys is a guess until its login succeeds, so nobody gains by asking often before he tries. Beyond some of them the
answers for the account are spaced, the wider the more there were. Nobody who guesses elsewhere keeps the user out: an address from which the
account was logged in to has guesses of its own, and one that has hardly asked for the account waits, but in no queue behind those that ask
again and again. No wait is longer than a part of the time that an edge has for a login.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

#: Accounts, addresses with guesses at one, and addresses from which one was logged in to that are remembered; the oldest go first.
MAX_ACCOUNTS: Final = 65_536
MAX_GUESSING: Final = 65_536
MAX_KNOWN: Final = 8
#: Guesses of one address at one account that wait in no queue.
FRESH: Final = 3
#: The first spacing and the widest, and how long an answer is delayed at most, in seconds; beyond it there is none.
FIRST, WIDEST, LONGEST = 0.25, 2.0, 5.0
#: The same as parts of the time that there is for a login, where that is short.
WIDEST_PART, LONGEST_PART = 1 / 8, 1 / 4


class _Count:
    """Guesses in a window that begins with the first of them."""

    __slots__ = ("guesses", "since")

    def __init__(self, now: float) -> None:
        self.guesses = 0
        self.since = now

    def add(self, now: float, window: float) -> int:
        if now - self.since >= window:
            self.guesses, self.since = 0, now
        self.guesses += 1
        return self.guesses


class _Account:
    __slots__ = ("free_at", "known", "others")

    def __init__(self, now: float) -> None:
        self.others = _Count(now)
        #: Addresses from which somebody has logged in.
        self.known: OrderedDict[str, _Count] = OrderedDict()
        #: When the next answer may be given.
        self.free_at = 0.0


class Guesses:
    """What is remembered of all accounts of a process. `free` guesses in `window` seconds are answered at once; a login ends after `patience`."""

    def __init__(self, free: int, window: float, patience: float = 30.0) -> None:
        self._free = free
        self._window = window
        self._widest = min(WIDEST, patience * WIDEST_PART)
        self._longest = min(LONGEST, patience * LONGEST_PART)
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        #: By account and address.
        self._guessing: OrderedDict[tuple[str, str], _Count] = OrderedDict()

    def pause(self, account: str, address: str, now: float) -> float | None:
        """Note a guess; for how many seconds to delay the answer, None to give none."""
        it = self._of(account, now)
        known = it.known.get(address)
        if known is not None and known.add(now, self._window) <= self._free:
            return 0.0
        own = self._own(account, address, now).add(now, self._window)
        beyond = it.others.add(now, self._window) - self._free
        if beyond <= 0:
            return 0.0
        spacing: float = min(self._widest, FIRST * (1 << min(beyond - 1, 8)))
        if own <= FRESH:
            return spacing
        at = max(now, it.free_at) + spacing
        if at - now > self._longest:
            it.others.guesses -= 1
            return None
        it.free_at = at
        return at - now

    def right(self, account: str, address: str, now: float) -> None:
        """Somebody has logged in from this address: that was no guess."""
        it = self._of(account, now)
        self._guessing.pop((account, address), None)
        if address not in it.known:
            it.others.guesses = max(0, it.others.guesses - 1)
        it.known[address] = _Count(now)
        it.known.move_to_end(address)
        if len(it.known) > MAX_KNOWN:
            it.known.popitem(last=False)

    def _of(self, account: str, now: float) -> _Account:
        found = self._accounts.get(account)
        if found is None:
            found = self._accounts[account] = _Account(now)
            if len(self._accounts) > MAX_ACCOUNTS:
                self._accounts.popitem(last=False)
        else:
            self._accounts.move_to_end(account)
        return found

    def _own(self, account: str, address: str, now: float) -> _Count:
        found = self._guessing.get((account, address))
        if found is None:
            found = self._guessing[account, address] = _Count(now)
            if len(self._guessing) > MAX_GUESSING:
                self._guessing.popitem(last=False)
        else:
            self._guessing.move_to_end((account, address))
        return found

    def __len__(self) -> int:
        return len(self._accounts)

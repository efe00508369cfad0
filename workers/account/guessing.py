"""Guesses at the password of one account, from however many addresses (XEP-0205). No clock: `now` is an argument, in seconds.

Every question for keys is a guess until its login succeeds, so nobody gains by asking often before he tries. Beyond some of them the
answers for the account are spaced, the wider the more there were. Nobody who guesses elsewhere keeps the user out: a client and an address
that have logged in to the account have guesses of their own, and so has the network around such an address, once for all of it. An address
that has hardly asked for the account waits, but in no queue behind those that ask again and again.

Somebody with any number of addresses has a bound, too: strangers who have hardly asked share some answers of a window. Beyond them, and in
the windows after one with so many guesses, they get one now and then, and so do those that ask again and again: each such window makes both
rarer, down to about three thousand answers a day. No wait is longer than a part of the time that an edge has for a login.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

#: Accounts, addresses with guesses at one, clients and addresses that have logged in to one, and networks of these: the oldest go first.
MAX_ACCOUNTS: Final = 65_536
MAX_GUESSING: Final = 65_536
MAX_KNOWN: Final = 16
MAX_NEAR: Final = 8
#: Guesses of one address at one account that wait in no queue.
FRESH: Final = 3
#: Guesses of such addresses that are answered in one window before they are rare; so many in a window are an attack.
STRANGERS: Final = 100
#: How often attacks make answers rarer. Each time strangers get half as many, and those that ask again and again a quarter.
DEEPEST: Final = 3
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
    __slots__ = ("depth", "free_at", "known", "near", "others", "strangers", "strangers_at", "tried")

    def __init__(self, now: float) -> None:
        self.others = _Count(now)
        #: Addresses and clients that have logged in.
        self.known: OrderedDict[str, _Count] = OrderedDict()
        #: The networks around such addresses.
        self.near: OrderedDict[str, _Count] = OrderedDict()
        #: When the next answer may be given, and the next one to strangers once they had theirs of this window.
        self.free_at = self.strangers_at = 0.0
        #: Of this window: guesses of strangers who have hardly asked, and all that were not free.
        self.strangers = self.tried = 0
        #: How many windows in a row were attacks.
        self.depth = 0

    def turn(self, now: float, window: float) -> None:
        """A window that is over says whether it was an attack; each quiet one takes one back."""
        passed = int((now - self.others.since) // window)
        if not passed:
            return
        attacked = self.tried > STRANGERS
        self.depth = max(0, (min(DEEPEST, self.depth + 1) if attacked else self.depth - 1) - (passed - 1))
        self.strangers = self.tried = 0


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

    def pause(self, account: str, address: str, now: float, agent: str = "") -> float | None:
        """Note a guess of the client `agent` ("": it has not said who it is); for how many seconds to delay the answer, None to give none."""
        it = self._of(account, now)
        if self._is_known(it, address, agent, now):
            return 0.0
        it.turn(now, self._window)
        own = self._own(account, address, now).add(now, self._window)
        beyond = it.others.add(now, self._window) - self._free
        if beyond <= 0 and not it.depth:
            return 0.0
        it.tried += 1
        step = 8 if it.depth else min(beyond - 1, 8)
        spacing: float = min(self._widest, FIRST * (1 << step))
        pause = self._stranger(it, spacing, now) if own <= FRESH else self._queued(it, spacing, now)
        if pause is None:
            it.others.guesses -= 1
        return pause

    def _is_known(self, it: _Account, address: str, agent: str, now: float) -> bool:
        """Whether this is a guess of a client, an address or a network that has some of its own."""
        client = it.known.get(_client(agent)) if agent else None
        if client is not None and client.add(now, self._window) <= self._free:
            return True
        found = it.known.get(address)
        if found is None and it.near:
            found = it.near.get(around(address))
        return found is not None and found.add(now, self._window) <= self._free

    def _stranger(self, it: _Account, spacing: float, now: float) -> float | None:
        """An address that has hardly asked: it waits for nobody, while there are not too many of its kind."""
        it.strangers += 1
        if it.depth or it.strangers > STRANGERS:
            if now < it.strangers_at:
                return None
            it.strangers_at = now + self._window / (STRANGERS >> it.depth)
        return spacing

    def _queued(self, it: _Account, spacing: float, now: float) -> float | None:
        """An address that asks again and again: behind the others of its kind."""
        begin = max(now, it.free_at)
        if begin + spacing - now > self._longest:
            return None
        it.free_at = begin + (spacing if not it.depth else self._widest * (4**it.depth))
        return begin + spacing - now

    def client(self, account: str, agent: str, now: float) -> bool:
        """This client holds a token of the account, as the database says; whether this guess is one of its own."""
        it = self._of(account, now)
        _remember(it.known, _client(agent), it.known.get(_client(agent)) or _Count(now), MAX_KNOWN)
        return it.known[_client(agent)].add(now, self._window) <= self._free

    def right(self, account: str, address: str, now: float, agent: str = "") -> None:
        """Somebody has logged in from this address, with this client: that was no guess."""
        it = self._of(account, now)
        self._guessing.pop((account, address), None)
        if address not in it.known:
            it.others.guesses = max(0, it.others.guesses - 1)
        _remember(it.known, address, _Count(now), MAX_KNOWN)
        _remember(it.near, around(address), _Count(now), MAX_NEAR)
        if agent:
            _remember(it.known, _client(agent), _Count(now), MAX_KNOWN)

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


def around(address: str) -> str:
    """The network of an address that its user is likely to come from again: the first 16 bits, of IPv6 the first 32."""
    if ":" not in address:
        return ".".join(address.split(".")[:2])
    return str(ipaddress.ip_network((address.partition("/")[0], 32), strict=False))


def _client(agent: str) -> str:
    return f"client {agent}"


def _remember(known: OrderedDict[str, _Count], key: str, count: _Count, most: int) -> None:
    known[key] = count
    known.move_to_end(key)
    if len(known) > most:
        known.popitem(last=False)

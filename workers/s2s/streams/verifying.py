"""Asking authoritative servers about dialback keys (XEP-0220 section 2.1.2), each on a stream of its own.

How many questions are under way is bounded: in all, for each domain, and for each host that makes us ask, so that forged keys neither flood a domain
nor keep honest servers from being asked about. What comes beyond that is told that it could not be checked; so is, for a while, whatever is of a
domain that could not be asked.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

import trio

from rookery.shared.net.timers import NEVER
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.streams import troubles
from rookery.workers.s2s.streams.api import Trouble
from rookery.workers.s2s.streams.dialback import Key, Pair
from rookery.workers.s2s.streams.effects import Effect, Verified
from rookery.workers.s2s.streams.finding import NotFoundError
from rookery.workers.s2s.streams.ground import Ground
from rookery.workers.s2s.streams.initiating import Initiating, Terms
from rookery.workers.s2s.streams.names import ascii_name
from rookery.workers.s2s.streams.reaching import Way, connect, ways
from rookery.workers.s2s.streams.stream import Stream

#: Questions under way in this process, about one domain, and for one host.
QUESTIONS: Final = 128
QUESTIONS_EACH: Final = 4
QUESTIONS_HOST: Final = 32
#: Seconds for which a domain that could not be asked is not asked again, first and at most; how many such are remembered.
PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
PAUSES: Final = 4096


class _Paused(NamedTuple):
    """A domain that could not be asked, until a moment of the clock."""

    until: float
    seconds: float


class Verifier:
    """All questions of this process. `spawn` runs a task."""

    def __init__(self, ground: Ground, spawn: Callable[[Callable[[], Awaitable[object]]], None]) -> None:
        self._ground = ground
        self._spawn = spawn
        self._each: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()
        self._paused: OrderedDict[str, _Paused] = OrderedDict()
        #: Keys that were not asked about, since too much was under way or their domain could not be asked a moment ago.
        self.skipped = 0

    def ask(self, key: Key, host: str, tell: Callable[[bool | None], None]) -> None:
        """Ask about a key that `host` showed; `tell` gets the answer in a later turn."""
        domain = key.pair.sender
        if not self._may(domain, host):
            self.skipped += 1
            self._spawn(partial(_tell, tell))
            return
        self._each[domain] += 1
        self._hosts[host] += 1

        async def question() -> None:
            valid: bool | None = None
            try:
                valid = await self._question(key)
            finally:
                _less(self._each, domain)
                _less(self._hosts, host)
            self._learn(domain, asked=valid is not None)
            tell(valid)

        self._spawn(question)

    def _may(self, domain: str, host: str) -> bool:
        paused = self._paused.get(domain)
        if paused is not None and trio.current_time() < paused.until:
            return False
        return (
            self._hosts.total() < QUESTIONS
            and self._each[domain] < QUESTIONS_EACH
            and self._hosts[host] < QUESTIONS_HOST
        )

    def _learn(self, domain: str, *, asked: bool) -> None:
        """A domain that is away is not asked for each key that somebody shows: pauses double."""
        before = self._paused.pop(domain, None)
        if asked:
            return
        seconds = PAUSE if before is None else min(LONGEST_PAUSE, 2 * before.seconds)
        self._paused[domain] = _Paused(trio.current_time() + seconds, seconds)
        if len(self._paused) > PAUSES:
            self._paused.popitem(last=False)

    async def _question(self, key: Key) -> bool | None:
        domain = key.pair.sender
        try:
            with trio.move_on_after(self._ground.settings.negotiate_seconds * 0.8):
                async for way in ways(self._ground, domain):
                    if isinstance(way, Way):
                        lookup = _Lookup(self._ground, key)
                        if await lookup.run(way):
                            return lookup.valid
        except NotFoundError:
            pass
        return None


class _Lookup:
    """One stream that asks one question. The listener of a `Stream`."""

    def __init__(self, ground: Ground, key: Key) -> None:
        self._ground = ground
        self._key = key
        self._done = trio.Event()
        self._heard = False
        self.valid: bool | None = None

    async def run(self, way: Way) -> bool:
        """Whether the server has spoken; `valid` says what."""
        channel = await connect(self._ground, way)
        if isinstance(channel, Trouble):
            return False
        ground, key = self._ground, self._key
        pair = Pair(key.pair.receiver, key.pair.sender)
        # Only listed domains are asked: what their certificate says counts for nothing.
        terms = Terms(pair, True, False, _no_key, ground.hosted, key)
        machine = Initiating(terms, direct=way.tls)
        stream = Stream(ground, machine, self)
        channel.peer = stream
        stream.begin(channel)
        stream.apply(machine.begin())
        if way.tls:
            stream.offer_tls(direct=True)
        try:
            await self._done.wait()
        finally:
            if not self._done.is_set():
                stream.abort(troubles.SILENT)
        return self._heard

    def on_effect(self, effect: Effect) -> None:
        """The answer."""
        if isinstance(effect, Verified):
            self._heard, self.valid = True, effect.valid
            self._done.set()

    def on_stanza(self, stanza: Stanza) -> None:
        """None is let in."""

    def on_ended(self, trouble: Trouble) -> None:
        """There will be no answer."""
        self._done.set()

    def on_gone(self) -> None:
        """Nothing more will come."""

    def on_drained(self) -> None:
        """Nothing waits for that."""

    def on_deadline(self, now: float) -> float:
        """The stream's own deadline is enough."""
        return NEVER

    def server_name(self) -> str:
        """The domain's own."""
        try:
            return ascii_name(self._key.pair.sender)
        except ValueError:
            return ""


async def _tell(tell: Callable[[bool | None], None]) -> None:
    tell(None)


def _less(counts: Counter[str], name: str) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]


def _no_key(_pair: Pair, _id: str) -> str:
    raise AssertionError("a stream that asks proves nothing")

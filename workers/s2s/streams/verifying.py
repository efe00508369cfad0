"""Asking authoritative servers about dialback keys (XEP-0220 section 2.1.2), each on a stream of its own.

How many questions are under way is bounded, in all and for each domain: what comes beyond that is told that it could not be checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

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

#: Questions under way in this process, and about one domain.
QUESTIONS: Final = 128
QUESTIONS_EACH: Final = 4


class Verifier:
    """All questions of this process. `spawn` runs a task."""

    def __init__(self, ground: Ground, spawn: Callable[[Callable[[], Awaitable[object]]], None]) -> None:
        self._ground = ground
        self._spawn = spawn
        self._each: Counter[str] = Counter()

    def ask(self, key: Key, tell: Callable[[bool | None], None]) -> None:
        """Ask about a key; `tell` gets the answer in a later turn."""
        domain = key.pair.sender
        crowded = self._each.total() >= QUESTIONS or self._each[domain] >= QUESTIONS_EACH

        async def question() -> None:
            tell(None if crowded else await self._question(key))

        self._spawn(question)

    async def _question(self, key: Key) -> bool | None:
        domain = key.pair.sender
        self._each[domain] += 1
        try:
            with trio.move_on_after(self._ground.settings.negotiate_seconds * 0.8):
                async for way in ways(self._ground, domain):
                    if isinstance(way, Way):
                        lookup = _Lookup(self._ground, key)
                        if await lookup.run(way):
                            return lookup.valid
        except NotFoundError:
            pass
        finally:
            self._each[domain] -= 1
            if not self._each[domain]:
                del self._each[domain]
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


def _no_key(_pair: Pair, _id: str) -> str:
    raise AssertionError("a stream that asks proves nothing")

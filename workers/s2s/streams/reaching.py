"""Connecting to a domain: its servers in order, their addresses a quarter of a second apart (RFC 8305), the first that answers wins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

import trio

from rookery.shared.config import S2s
from rookery.shared.net.channel import Channel
from rookery.shared.net.dial import Address, dial
from rookery.workers.s2s.streams import troubles
from rookery.workers.s2s.streams.api import Trouble
from rookery.workers.s2s.streams.dane import Expected
from rookery.workers.s2s.streams.finding import NotFoundError
from rookery.workers.s2s.streams.ground import Ground

#: Between two attempts at one server's addresses.
STAGGER: Final = 0.25
#: Servers of one domain that are connected to in one go.
MAX_WAYS: Final = 6


class Way(NamedTuple):
    """One server: its addresses by turns of family, whether TLS comes first, and what the DNS says of its certificate."""

    addresses: Sequence[str]
    port: int
    tls: bool
    expected: Expected | None = None


class _Attempt:
    """The peer of a channel that is not connected yet. `changed` is set when it is, or never will be."""

    __slots__ = ("changed", "channel", "connected", "reason")

    def __init__(self, changed: trio.Event) -> None:
        self.changed = changed
        self.channel: Channel | None = None
        self.connected = False
        self.reason = ""

    def on_connected(self) -> None:
        """The kernel says so."""
        self.connected = True
        self.changed.set()

    def on_data(self, data: bytes) -> None:
        """A server of XMPP does not speak first."""
        if self.channel is not None:
            self.channel.abort("reset")

    def on_again(self) -> None:
        """Nothing is left."""

    def on_secure(self, binding: bytes | None) -> None:
        """There is no TLS yet."""

    def on_progress(self, drained: bool) -> None:
        """Nothing is written yet."""

    def on_lost(self, reason: str) -> None:
        """It failed."""
        self.connected = False
        self.reason = reason
        self.changed.set()


async def ways(ground: Ground, domain: str) -> AsyncIterator[Way | Trouble]:
    """The servers of a domain one after another; a server without a usable address gives its trouble. Raises NotFoundError."""
    finder = ground.finder
    routed = finder.routed(domain)
    for record in (await finder.servers(domain))[:MAX_WAYS]:
        try:
            addresses = await finder.addresses(record.target, routed=routed)
        except NotFoundError as error:
            yield error.trouble
            continue
        yield Way(addresses, record.port, record.tls, await finder.expected(domain, record))


async def connect(ground: Ground, way: Way) -> Channel | Trouble:
    """Connect to the first address that answers. The channel's peer is nobody of note: the caller takes it over at once."""
    attempts: list[_Attempt] = []
    reason = "unreachable"
    left = list(way.addresses)
    settings: S2s = ground.settings
    deadline = trio.current_time() + settings.connect_seconds
    try:
        while True:
            changed = trio.Event()
            for attempt in attempts:
                attempt.changed = changed
            if left:
                attempt = _Attempt(changed)
                try:
                    attempt.channel = _dial(ground, Address(left.pop(0), way.port), attempt)
                    attempts.append(attempt)
                except (OSError, ValueError):
                    continue
            with trio.move_on_at(min(deadline, trio.current_time() + STAGGER) if left else deadline):
                if not any(each.connected or each.reason for each in attempts):
                    await changed.wait()
            for attempt in list(attempts):
                if attempt.connected and attempt.channel is not None and attempt.channel.open:
                    attempts.remove(attempt)
                    return attempt.channel
                if attempt.reason:
                    reason = attempt.reason
                    attempts.remove(attempt)
            if trio.current_time() >= deadline:
                return troubles.lost("timeout")
            if not attempts and not left:
                return troubles.lost(reason)
    finally:
        for attempt in attempts:
            if attempt.channel is not None:
                attempt.channel.abort("closed")


def _dial(ground: Ground, address: Address, attempt: _Attempt) -> Channel:
    return dial(ground.reactor, address, attempt, ground.tls, attempt.on_connected)

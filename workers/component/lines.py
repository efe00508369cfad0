"""What the holder of a component's domain sees of its connections, whichever processes they are at. Implements `outgoing.conditions.Opener`.

Each process says of its connections that they are there, when they come and each second. What is sent on one is acknowledged by the process that
has it; when a connection ends, or its process says nothing any more, what was under way goes to another one, and back into the queue without one.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import structlog
import trio

from rookery.shared.bus.messages import ComponentAcked, ComponentGone, ComponentHere, ToComponent
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.component.spread import Key, Sending, Spread
from rookery.workers.s2s.streams.api import Link, Owner, Trouble

_log = structlog.get_logger()
#: A connection whose process has not spoken of it for so long is gone, in seconds.
SILENT_SECONDS: Final = 4.0
LOOK_SECONDS: Final = 0.5
AWAY: Final = Trouble("service-unavailable", "the component is not connected", kind="refused")
_LEFT: Final = Trouble("service-unavailable", "the component has disconnected", kind="closed")


class Post(Protocol):
    """`Bus.post_to`, for what has no partition."""

    def __call__(self, incarnation: str, item: ToComponent, /) -> None:
        """Send it to one process."""


class Lines:
    """All components whose domains this process holds. `arrived` is called with a domain that has its first connection."""

    def __init__(self, incarnation: str, post: Post, arrived: Callable[[str], None]) -> None:
        self.incarnation = incarnation
        self.post = post
        self._arrived = arrived
        self._heard: dict[str, dict[Key, float]] = {}
        self._links: dict[str, ComponentLink] = {}
        self._numbers = itertools.count(1)
        self._todo: deque[Callable[[], None]] = deque()
        self._some = trio.Event()

    @property
    def connections(self) -> int:
        """Connections that are known."""
        return sum(map(len, self._heard.values()))

    @property
    def domains(self) -> list[str]:
        """The components that have a connection."""
        return list(self._heard)

    def open(self, remote: str, local: str, owner: Owner) -> Link:
        """A link over all connections of a component; the owner hears in a later turn whether there is one."""
        link = ComponentLink(self, remote, owner, next(self._numbers))
        former = self._links.get(remote)
        self._links[remote] = link
        if former is not None:
            former.end(_LEFT)
        for key in self._heard.get(remote, ()):
            link.spread.add(key)
        self.later(link.begin)
        return link

    def here(self, item: ComponentHere) -> None:
        """A connection is there."""
        connections = self._heard.setdefault(item.domain, {})
        key = item.process, item.connection
        fresh = key not in connections
        connections[key] = trio.current_time()
        if not fresh:
            return
        if (link := self._links.get(item.domain)) is not None:
            link.spread.add(key)
        self._arrived(item.domain)

    def gone(self, item: ComponentGone) -> None:
        """A connection has ended."""
        self._lost(item.domain, (item.process, item.connection))

    def acked(self, item: ComponentAcked) -> None:
        """A component has what it was sent."""
        link = self._links.get(item.domain)
        if link is not None and link.number == item.link:
            link.acked((item.process, item.connection), item.n)

    def lost(self, process: str) -> None:
        """A process is gone, and its connections."""
        for domain, connections in list(self._heard.items()):
            for key in [key for key in connections if key[0] == process]:
                self._lost(domain, key)

    def forget(self, domains: set[str]) -> None:
        """These domains are another process's now."""
        for domain in domains:
            self._heard.pop(domain, None)
            self._links.pop(domain, None)

    def closed(self, link: ComponentLink) -> None:
        """A link is over."""
        if self._links.get(link.remote) is link:
            del self._links[link.remote]

    def _lost(self, domain: str, key: Key) -> None:
        connections = self._heard.get(domain, {})
        if connections.pop(key, None) is None:
            return
        if not connections:
            del self._heard[domain]
        if (link := self._links.get(domain)) is not None:
            link.lost(key)

    # --- time ---

    def later(self, what: Callable[[], None]) -> None:
        """Call it in a later turn: whoever asks is not called back from within."""
        self._todo.append(what)
        self._some.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            with trio.move_on_after(LOOK_SECONDS):
                await self._some.wait()
            self._some = trio.Event()
            while self._todo:
                try:
                    self._todo.popleft()()
                except Exception:
                    _log.exception("component_link_failed")
            self._look(trio.current_time())

    def _look(self, now: float) -> None:
        for domain, connections in list(self._heard.items()):
            for key, heard in list(connections.items()):
                if now - heard > SILENT_SECONDS:
                    self._lost(domain, key)


class ComponentLink:
    """Implements `streams.api.Link`: acknowledgements come by themselves, one connection after the other may end below it."""

    __slots__ = ("_closed", "_lines", "_owner", "number", "open", "remote", "spread")

    def __init__(self, lines: Lines, remote: str, owner: Owner, number: int) -> None:
        self.remote = remote
        self.number = number
        self.spread = Spread()
        self.open = False
        self._lines = lines
        self._owner = owner
        self._closed = False

    managed: Final = True
    waiting: Final = 0
    unconfirmed: Final = 0

    def begin(self) -> None:
        """Tell the owner whether there is a connection."""
        if self._closed:
            return
        if not self.spread:
            self.end(AWAY)
            return
        self.open = True
        self._owner.on_open(self)

    def authenticate(self, local: str) -> None:
        """A component gets what everybody sends."""
        self._lines.later(lambda: None if self._closed else self._owner.on_pair(local, None))

    def send(self, stanza: Stanza, n: int = 0) -> None:
        """Give it to the connection of its sender."""
        if self.open and self.spread:
            self._write(self.spread.send(stanza))

    def _write(self, sending: Sending) -> None:
        (process, connection), n, stanza = sending
        lines = self._lines
        lines.post(process, ToComponent(self.remote, connection, lines.incarnation, self.number, n, stanza))

    def mark(self) -> None:
        """The process of each connection asks by itself."""

    def acked(self, key: Key, n: int) -> None:
        """The first `n` stanzas of a connection are with the component."""
        if not self._closed and self.spread.acked(key, n):
            self._owner.on_acked(self, self.spread.handled)

    def lost(self, key: Key) -> None:
        """A connection has ended."""
        for sending in self.spread.remove(key):
            self._write(sending)
        if not self.spread:
            self.end(_LEFT)

    def close(self) -> None:
        """The owner wants no more of it; the connections stay."""
        self.end(_LEFT)

    def end(self, trouble: Trouble) -> None:
        """Tell the owner, once."""
        if self._closed:
            return
        self._closed, self.open = True, False
        self._lines.closed(self)
        self._lines.later(lambda: self._owner.on_closed(self, trouble))

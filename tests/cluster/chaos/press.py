"""The judge over nodes: what was published, what was answered, who was told, in which order. No I/O and no clock of its own.

What is promised (XEP-0060 as this server does it): a publication that was answered is in the node; each session that listens is told of it once,
and of those of one publishing session in their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Published(NamedTuple):
    """One numbered item of a node."""

    node: str
    n: int

    @property
    def name(self) -> str:
        """As it stands in its payload."""
        return f"{self.node}:{self.n}"


class Outcome:
    """What became of a publication; times are the loop's, 0.0 for "not yet"."""

    __slots__ = ("answered", "chain", "error", "sent")

    def __init__(self, chain: int, now: float) -> None:
        self.chain = chain
        self.sent = now
        self.answered = 0.0
        self.error = ""


class Listener:
    """One session that is told of a node, from `since` on."""

    __slots__ = ("by", "client", "ended", "heard", "since")

    def __init__(self, client: int, now: float) -> None:
        self.client = client
        self.since = now
        self.ended = 0.0
        self.heard: list[int] = []
        #: The notification of each, and when it came.
        self.by: list[str] = []


class PressVerdict(NamedTuple):
    """Each of the first five must be empty; the figures follow."""

    lost: Sequence[str]
    doubled: Sequence[str]
    turned: Sequence[str]
    missing: Sequence[str]
    invented: Sequence[str]
    published: int = 0
    answered: int = 0
    refused: int = 0
    notifications: int = 0

    @property
    def zero(self) -> bool:
        """Whether the promise was kept."""
        return not any(self[:5])


class PressBook:
    """All that clients saw of nodes."""

    def __init__(self) -> None:
        self.outcomes: dict[Published, Outcome] = {}
        #: When the run began: times are told from there.
        self.started = 0.0
        #: By session and node.
        self.listeners: dict[tuple[int, str], Listener] = {}
        self._invented: list[str] = []

    def sent(self, item: Published, chain: int, now: float) -> None:
        """A client publishes."""
        self.outcomes[item] = Outcome(chain, now)

    def answered(self, item: Published, now: float, error: str = "") -> None:
        """The service has answered; `error` is the condition of a refusal."""
        outcome = self.outcomes[item]
        outcome.error = error
        if not error:
            outcome.answered = now

    def listens(self, client: int, chain: int, node: str, now: float) -> Listener:
        """A session is told of a node from now on."""
        found = self.listeners.get((chain, node))
        if found is None:
            found = self.listeners[chain, node] = Listener(client, now)
        return found

    def told(self, client: int, chain: int, item: Published, now: float, by: str = "") -> None:
        """A session was told of an item, with the notification `by`; before it listens by what it knows, it does from now on."""
        if item not in self.outcomes:
            self._invented.append(f"client {client} was told of {item.name}, which nobody published")
            return
        listener = self.listens(client, chain, item.node, now)
        listener.heard.append(item.n)
        listener.by.append(f"{by} at {now - self.started:.2f} s")

    def ended(self, chain: int, now: float) -> None:
        """A session is over: nobody is owed anything."""
        for (number, _), listener in self.listeners.items():
            if number == chain and not listener.ended:
                listener.ended = now

    def unheard(self) -> list[str]:
        """Answered publications that a session that listens has not been told of."""
        found = []
        for (chain, node), listener in self.listeners.items():
            if listener.ended:
                continue
            heard = set(listener.heard)
            found += [
                f"{item.name} by client {listener.client} (session {chain})"
                for item, outcome in self.outcomes.items()
                if item.node == node
                and outcome.answered
                and outcome.sent > listener.since
                and item.n not in heard
            ]
        return found

    def open(self) -> int:
        """Publications of sessions that are alive without an answer."""
        return sum(not one.answered and not one.error for one in self.outcomes.values())

    def _life(self, node: str, n: int) -> str:
        outcome = self.outcomes[Published(node, n)]
        return f"({outcome.sent - self.started:.2f} s, answered {outcome.answered - self.started:.2f} s)"

    def verdict(self, kept: Mapping[str, Sequence[int]] | None) -> PressVerdict:
        """`kept`: which items each node has, None when that is not known. One that keeps a single item has the newest that was answered, or a later one."""
        doubled, turned = [], []
        for (chain, node), listener in self.listeners.items():
            seen: set[int] = set()
            highest: dict[int, int] = {}
            for n, by in zip(listener.heard, listener.by, strict=True):
                what = f"{node}:{n} by client {listener.client} (session {chain})"
                publisher = self.outcomes[Published(node, n)].chain
                if n in seen:
                    times = [how for one, how in zip(listener.heard, listener.by, strict=True) if one == n]
                    doubled.append(f"{what}: {', '.join(times)}")
                elif n < highest.get(publisher, 0):
                    late, early = (self._life(node, one) for one in (n, highest[publisher]))
                    turned.append(f"{what} {late}, after {highest[publisher]} {early}, told {by}")
                seen.add(n)
                highest[publisher] = max(n, highest.get(publisher, 0))
        answered = [item for item, outcome in self.outcomes.items() if outcome.answered]
        return PressVerdict(
            self.unheard(),
            doubled,
            turned,
            [] if kept is None else [item.name for item in answered if not _is_kept(item, kept)],
            self._invented,
            len(self.outcomes),
            len(answered),
            sum(bool(one.error) for one in self.outcomes.values()),
            sum(len(one.heard) for one in self.listeners.values()),
        )


def _is_kept(item: Published, kept: Mapping[str, Sequence[int]]) -> bool:
    there = kept.get(item.node, ())
    return item.n in there or (len(there) == 1 and there[0] > item.n and item.node.startswith("own"))

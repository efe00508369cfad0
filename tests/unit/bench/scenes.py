"""A scenario without sockets: clients that keep what they are told to write, and a clock that stands until it is set."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.loop import Loop
from rookery.bench.driver.recorder import Recorder
from rookery.bench.driver.scan import MARK, REQUEST
from rookery.bench.plan import Plan, make
from rookery.bench.scenarios._scenario import Window
from rookery.bench.users import accounts

SECOND = 1_000_000_000
WINDOW = Window(0, 0, 60 * SECOND)


@dataclass
class Named:
    """A session."""

    account: Any
    jid: str


@dataclass(eq=False)
class Person:
    """A client."""

    session: Named
    written: list[bytes] = field(default_factory=list)
    sink: Any = None
    tail: bytes = b""
    xmlns: bytes = b""
    hold: Any = None
    open: bool = True
    busy: bool = False

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written.append(data)

    def said(self) -> list[bytes]:
        """What it wrote since the last call."""
        found, self.written = self.written, []
        return found

    def hear(self, data: bytes) -> None:
        """Give it bytes."""
        self.sink(cast("Client", self), data)


class Ordered(NamedTuple):
    """Which process of how many."""

    number: int = 0
    of: int = 1


class Scene:
    """What a scenario sees of a driver."""

    def __init__(self, **plan: Any) -> None:
        self.plan: Plan = make({"scenario": "chat", "users": 4, "transport": "plain"}, plan)
        self.now = 0
        self.loop = Loop()
        self.loop.clock = lambda: self.now
        self.recorder = Recorder()
        self.rng = random.Random(1)
        self.notes: list[str] = []
        self.strange: list[bytes] = []
        self.accounts = accounts(self.plan)
        self.people = [Person(Named(account, f"{account.bare}/bench"), []) for account in self.accounts]
        self.clients = self.people
        self.rate = self.plan.rate
        self.order = Ordered()

    @property
    def driver(self) -> Driver:
        """As scenarios take it."""
        return cast("Driver", self)

    def other(self, _client: Client, element: bytes) -> None:
        """Keep what no scenario knows."""
        self.strange.append(element)
        assert not REQUEST.search(element)

    def errors(self, operation: str) -> dict[str, int]:
        """Errors by condition since the last call."""
        parts = self.recorder.tick(0).parts
        return parts[operation].errors if operation in parts else {}

    def close(self) -> None:
        """Free the loop."""
        self.loop.close()


def arrives(stanza: bytes) -> bytes:
    """A stanza as its receiver gets it."""
    return stanza.replace(b" to=", b" from='someone' to=", 1)


def comes_back(stanza: bytes, condition: str, *, whole: bool) -> bytes:
    """The error that a stanza comes back as, `whole` with what was in it (RFC 6120 section 8.3.1)."""
    name = stanza[1:].replace(b">", b" ").split(b" ", 1)[0]
    found = stanza.split(b" id='", 1)
    id = b" id='%b'" % found[1].split(b"'", 1)[0] if len(found) > 1 else b""
    mark = MARK.search(stanza)
    body = b"<body>%b</body>" % mark[0] if whole and mark is not None else b""
    return (
        b"<%b from='someone'%b type='error'>%b<error type='wait'>"
        b"<%b xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></%b>"
        % (name, id, body, condition.encode(), name)
    )

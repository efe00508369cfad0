"""All streams of a process with other servers: what the worker opens, what others open to it, and their end."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import trio

from rookery.shared.config import Core
from rookery.shared.net.certificates import CertificateStore
from rookery.shared.net.handshakes import HandshakePool
from rookery.shared.net.reactor import Reactor
from rookery.workers.s2s.streams import dialback
from rookery.workers.s2s.streams.api import Link, Owner, Taker, Trouble
from rookery.workers.s2s.streams.dialback import Pair
from rookery.workers.s2s.streams.finding import Finder
from rookery.workers.s2s.streams.ground import Ground
from rookery.workers.s2s.streams.incoming import Door
from rookery.workers.s2s.streams.initiating import Terms
from rookery.workers.s2s.streams.marks import Marks
from rookery.workers.s2s.streams.outgoing import OutgoingLink
from rookery.workers.s2s.streams.policies import Domains
from rookery.workers.s2s.streams.posh import Posh
from rookery.workers.s2s.streams.source import Inlet
from rookery.workers.s2s.streams.trust import Tls
from rookery.workers.s2s.streams.verifying import Verifier
from rookery.workers.s2s.streams.vouching import Voucher


class Surroundings(NamedTuple):
    """What the worker hands in.

    `name` tells this process from the others of the cluster. `hosted`: is it a domain of ours that speaks with others. `allowed`: may
    (remote, local) exchange stanzas. `secrets`: for dialback keys, newest first; all processes have the same. `queues`: what our queues are
    called, "" before that is known.
    """

    reactor: Reactor
    pool: HandshakePool
    config: Core
    certificates: CertificateStore
    name: str
    hosted: Callable[[str], bool]
    allowed: Callable[[str, str], bool]
    secrets: Callable[[], Sequence[bytes]]
    queues: Callable[[], str] = str


class Streams:
    """See the module's text. Set `on_inbound` before the door is used. Raises ValueError or OSError for settings that cannot be used."""

    def __init__(self, surroundings: Surroundings) -> None:
        given = surroundings
        settings = given.config.s2s
        finder = Finder(settings)
        self._ground = Ground(
            reactor=given.reactor,
            tls=Tls(given.pool, given.certificates, settings),
            finder=finder,
            settings=settings,
            limits=given.config.limits,
            name=given.name,
            hosted=given.hosted,
            allowed=given.allowed,
            secrets=given.secrets,
            token=lambda: secrets.token_urlsafe(18),
            dialback=Domains(settings.dialback_domains),
            posh=Posh(finder.open_addresses, settings.ca_file) if settings.posh else None,
        )
        self._queues = given.queues
        self.marks = Marks(given.name)
        self._nursery: trio.Nursery | None = None
        #: What was asked before `run`.
        self._early: list[Callable[[], Awaitable[object]]] = []
        verifier, voucher = Verifier(self._ground, self._spawn), Voucher(self._ground, self._spawn)
        self.door = Door(self._ground, verifier.ask, voucher.ask, self.marks)
        self._links: set[OutgoingLink] = set()

    @property
    def on_inbound(self) -> Callable[[Inlet], Taker]:
        """Called with each stream that brings stanzas, when its first pair is proved; returns who takes them."""
        return self.door.on_inbound

    @on_inbound.setter
    def on_inbound(self, value: Callable[[Inlet], Taker]) -> None:
        self.door.on_inbound = value

    def _spawn(self, task: Callable[[], Awaitable[object]]) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(task)
        else:
            self._early.append(task)

    async def run(self) -> None:
        """Until cancelled: DNS and connections are tasks in here."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            while self._early:
                nursery.start_soon(self._early.pop(0))
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def open(self, remote: str, local: str, owner: Owner) -> Link:
        """Begin to connect to `remote` and to prove `local`; the owner is told in later turns."""
        ground = self._ground
        terms = Terms(
            pair=Pair(local, remote),
            weak=remote in ground.dialback,
            bidi=ground.settings.bidi,
            key=self._key,
            hosted=ground.hosted,
            name=self._queues,
            shares=partial(ground.tls.same, local),
        )
        link = OutgoingLink(ground, terms, _Watched(owner, self._links), self.marks, self.on_inbound)
        self._links.add(link)
        self._spawn(link.reach)
        return link

    def strangers(self) -> list[str]:
        """Remote domains that nobody here has written to, as far as is known."""
        return self._ground.strangers()

    def befriend(self, remote: str) -> None:
        """Somebody here has written to this domain: it may send as others."""
        self._ground.befriend(remote)

    def follow_new(self, told: Callable[[str], None]) -> None:
        """Call `told` with each remote domain of which it is to be found out whether it is a stranger."""
        self._ground.on_new = told

    def enforce(self) -> None:
        """Who may speak with whom has changed: end the streams of pairs that may not any more."""
        allowed = self._ground.allowed
        for link in list(self._links):
            if not all(allowed(remote, local) for remote, local in link.proved):
                link.close()
        self.door.enforce()

    def _key(self, pair: Pair, id: str) -> str:
        return dialback.make_key(self._ground.secrets()[0], pair, id)

    def close(self) -> None:
        """End all streams in order: this process stops."""
        for link in list(self._links):
            link.close()
        self.door.close()

    @property
    def counts(self) -> tuple[int, int]:
        """Streams out and in."""
        return len(self._links), len(self.door.streams)


class _Watched:
    """An owner whose link is forgotten when it has closed."""

    __slots__ = ("_links", "_owner", "on_acked", "on_drained", "on_open", "on_pair")

    def __init__(self, owner: Owner, links: set[OutgoingLink]) -> None:
        self._owner = owner
        self._links = links
        self.on_open = owner.on_open
        self.on_pair = owner.on_pair
        self.on_acked = owner.on_acked
        self.on_drained = owner.on_drained

    def on_closed(self, link: Link, trouble: Trouble) -> None:
        """Nothing more may be sent."""
        if isinstance(link, OutgoingLink):
            self._links.discard(link)
        self._owner.on_closed(link, trouble)

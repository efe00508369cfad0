"""What came in from other servers: it behaves as what a client of ours sent, with a uid for each stanza and custody until it is accepted.

Each stream has an id of its own, its stanzas are numbered. Whoever serves the address gets it directly; this process keeps it, and sends it
again to a next holder, until that has accepted it. Only then is it acknowledged to the other server (XEP-0198).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

import trio

from rookery.shared.bus.messages import Handle, Kind, Origin, Route
from rookery.shared.bus.oversize import LARGEST, fitting, too_large
from rookery.shared.cluster.addresses import OWN, Addresses
from rookery.shared.cluster.api import Node
from rookery.shared.custody.custodian import Custodian
from rookery.shared.custody.kept import Handed
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.floods import Requests
from rookery.workers.s2s.streams import numbers
from rookery.workers.s2s.streams.numbers import Number

#: The partition that a stanza of another server came to: none.
ABROAD: Final = -1
#: Stanzas of one stream that are not accepted, before it is not read.
OPEN: Final = 1024
_REQUESTS: Final = frozenset({"get", "set"})
_ONCE: Final = frozenset({"headline", "error"})


class Source(Protocol):
    """The stream that they came on."""

    @property
    def remotes(self) -> tuple[str, ...]:
        """The domains that have proved themselves."""

    def hold(self) -> None:
        """Do not read."""

    def release(self) -> None:
        """Read again."""

    def handled(self, n: int) -> None:
        """The first `n` stanzas are accepted: the other side may be told."""


class Inlet:
    """One inbound stream."""

    __slots__ = ("_incoming", "_open", "held", "n", "name", "source")

    def __init__(self, incoming: Incoming, source: Source) -> None:
        self.name = secrets.token_bytes(16)
        self.n = 0
        self.source = source
        self.held = False
        self._incoming = incoming
        #: Numbers that are not accepted, in order.
        self._open: dict[int, None] = {}

    def take(self, stanza: Stanza, number: Number | None = None) -> None:
        """One stanza of a proved pair of domains; its addresses are prepared."""
        self.n += 1
        self._open[self.n] = None
        if len(self._open) >= OPEN or self._incoming.full:
            self.held = True
            self.source.hold()
        self._incoming.give(self, self.n, stanza, number)

    def accepted(self, n: int) -> None:
        """The cluster has this one."""
        first = next(iter(self._open), 0)
        self._open.pop(n, None)
        if n == first:
            self.source.handled(next(iter(self._open), self.n + 1) - 1)
        if self.held and len(self._open) <= OPEN // 2 and not self._incoming.full:
            self.held = False
            self.source.release()

    def __len__(self) -> int:
        """Stanzas that are not accepted."""
        return len(self._open)

    def closed(self) -> None:
        """Nothing more will come; what came is seen through."""
        self._incoming.closed(self)


class _Came(NamedTuple):
    """A stanza of an inbound stream: its number there, the number that its server gave it, and what we call it."""

    inlet: Inlet
    n: int
    number: Number | None
    origin: Origin


class Incoming:
    """All inbound streams of this process. `refuse` tells the sender of a stanza an error, by the way to its server."""

    def __init__(
        self,
        node: Node,
        addresses: Addresses,
        custodian: Custodian,
        refuse: Callable[[Stanza, StanzaError, Origin], None],
    ) -> None:
        self._node = node
        self._addresses = addresses
        self._custodian = custodian
        self._refuse = refuse
        self._inlets: dict[bytes, Inlet] = {}
        #: By uid, where the other side gave the number: on which streams it came, and as which of their stanzas.
        self._numbered: dict[tuple[bytes, int], list[tuple[Inlet, int]]] = {}
        self.count = 0
        self.stopping = False
        #: Called with a remote domain that has proved itself on a new stream.
        self.on_proved: Callable[[str], None] = _ignore
        #: What strangers may ask; None where there are none.
        self.requests: Requests | None = None
        #: Whether a stanza is about a list of senders, which nobody else gets.
        self.took: Callable[[Stanza], bool] | None = None
        #: Whether a stanza is one of a listed sender, of which something says sooner or later whether it passes.
        self.judges: Callable[[Stanza, Callable[[StanzaError | None], None]], bool] | None = None
        #: What stanzas of a component mean that need a privilege (XEP-0356); raises StanzaError.
        self.special: Callable[[Origin, Stanza], Stanza | Handle | None] = _ordinary

    def open(self, source: Source) -> Inlet:
        """A stream has proved its first pair of domains."""
        inlet = Inlet(self, source)
        self._inlets[inlet.name] = inlet
        for remote in source.remotes:
            self.on_proved(remote)
        return inlet

    def stop(self) -> None:
        """Read nothing more: this process is about to end."""
        self.stopping = True
        for inlet in self._inlets.values():
            inlet.held = True
            inlet.source.hold()

    @property
    def unaccepted(self) -> int:
        """Stanzas of open streams that the cluster has not accepted."""
        return sum(len(inlet) for inlet in self._inlets.values())

    def closed(self, inlet: Inlet) -> None:
        """The stream has ended."""
        self._inlets.pop(inlet.name, None)

    @property
    def full(self) -> bool:
        """Whether so much is not accepted that no stream should be read."""
        return self.stopping or self._custodian.kept.full

    def give(self, inlet: Inlet, n: int, stanza: Stanza, number: Number | None = None) -> None:
        """Give it to whoever serves its address. With a number it counts once, on whatever streams it comes."""
        self.count += 1
        uid = inlet.name, n
        if number is not None:
            uid = numbers.uid(number, _domain(stanza.from_), _domain(stanza.to))
            self._numbered.setdefault(uid, []).append((inlet, n))
        origin = Origin(*uid, self._node.incarnation)
        came = _Came(inlet, n, number, origin)
        if self.took is not None and self.took(stanza):
            self._over(came)
            return
        error = _wrong(stanza)
        if len(stanza.inner) > LARGEST:
            less = fitting(stanza)
            error, stanza = (too_large(), stanza) if less is None else (None, less)
        if error is None:
            try:
                meant = self.special(origin, stanza)
            except StanzaError as refusal:
                error = refusal
            else:
                if isinstance(meant, Handle):
                    place = Kind.ROSTER, self._node.partition(meant.account)
                    self._custodian.hand_on(ABROAD, place, meant, sent=True)
                    return
                stanza = stanza if meant is None else meant
        if error is None and not self._addresses.serves(stanza.to):
            error = StanzaError("service-unavailable")
        if error is None and stanza.type == "subscribe" and stanza.kind == "presence":
            error = self._too_many(stanza)
        if (
            error is None
            and self.judges is not None
            and self.judges(stanza, partial(self._judged, came, stanza))
        ):
            return
        self._judged(came, stanza, error)

    def _judged(self, came: _Came, stanza: Stanza, error: StanzaError | None) -> None:
        """Refuse a stanza, or give it to whoever serves its address."""
        origin = came.origin
        if error is not None:
            self._refuse(stanza, error, origin)
            self._over(came)
            return
        kind, partition = self._addresses.place(stanza.to)
        if partition == OWN:
            # The domain itself: the router of whoever asks, as for users of this server.
            partition = self._node.partition(bare_of(stanza.from_))
        once = (
            "/" in stanza.to
            if stanza.kind == "iq"
            else stanza.kind == "message" and stanza.type in _ONCE and kind is Kind.ROUTER
        )
        self._custodian.hand_on(ABROAD, (kind, partition), Route(origin, stanza), sent=True, once=once)

    def _over(self, came: _Came) -> None:
        """Nobody else needs to have this one."""
        self._accepted((came.origin.stream, came.origin.n))
        if came.number is None:
            came.inlet.accepted(came.n)

    def _too_many(self, stanza: Stanza) -> StanzaError | None:
        """Whether this request for a subscription is one too many."""
        if self.requests is None:
            return None
        remote = _domain(stanza.from_)
        if self.requests.allows(remote, bare_of(stanza.to), trio.current_time()):
            return None
        return StanzaError("resource-constraint", "too many requests: try again later")

    def settled(self, handed: Handed) -> bool:
        """The cluster has accepted what this process kept. False when it did not come from another server."""
        if handed.came != ABROAD:
            return False
        uid = handed.former.stream, handed.former.n
        inlet = self._inlets.get(uid[0])
        if inlet is not None:
            inlet.accepted(uid[1])
        else:
            self._accepted(uid)
        return True

    def _accepted(self, uid: tuple[bytes, int]) -> None:
        for inlet, n in self._numbered.pop(uid, ()):
            if inlet.name in self._inlets:
                inlet.accepted(n)


def _wrong(stanza: Stanza) -> StanzaError | None:
    """What makes an iq one that nobody should answer (RFC 6120 section 8.2.3)."""
    if stanza.kind == "iq":
        if stanza.type in _REQUESTS:
            if not stanza.id or len(stanza.payloads) != 1:
                return StanzaError("bad-request")
        elif stanza.type not in ("result", "error"):
            return StanzaError("bad-request")
    return None


def _domain(address: str) -> str:
    """That of an address that is prepared."""
    return bare_of(address).rpartition("@")[2]


def _ordinary(_origin: Origin, _stanza: Stanza) -> None:
    return


def _ignore(_remote: str) -> None:
    return

"""Stanzas that a user sends to several addresses through the domain (XEP-0033): one stanza becomes some, each with a uid of its own.

The router keeps each until its recipient's router has it, and accepts the stanza when all are accepted. A router that takes over gets the
stanza once more from the edge and sends the same again under the same uids, which count once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rookery.router.accounts.account import Account
from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.shared.bus.kinds import Kind
from rookery.shared.bus.messages import Origin
from rookery.shared.cluster.addresses import OWN
from rookery.shared.xeps import multicast
from rookery.shared.xeps.blocking import matches, outbound_error
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

#: What the uids of the parts begin with, before their number and the uid of the whole.
_PART: Final = b"multicast"

#: A uid without its custodian.
Uid = tuple[bytes, int]


class _Whole:
    __slots__ = ("missing", "origin", "partition")

    def __init__(self, partition: int, origin: Origin, missing: set[bytes]) -> None:
        self.partition = partition
        self.origin = origin
        self.missing = missing


class Multicast:
    """What is under way to several."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._options = core.node.config.options(multicast.Options)
        self._whole: dict[Uid, _Whole] = {}
        core.node.on_accepted.append(self._on_accepted)

    def send(self, part: Part, account: Account, origin: Origin, stanza: Stanza) -> None:
        """Send a message to all whom it names; it is accepted when they are served. Raises StanzaError before anybody gets it."""
        known = self._whole.get((origin.stream, origin.n))
        if known is not None and known.partition == part.number:
            known.origin = origin  # it comes again, perhaps from another custodian
            return
        sent = self.recipients(account, stanza)
        core = self._core
        if not origin.custodian:
            for one in sent:
                core.onward(part, one.stanza, origin)
            return
        if core.custodian.kept.full:
            raise StanzaError("resource-constraint", "too much waits for other parts of the server")
        streams = [_PART + b"%d:" % at + origin.stream for at in range(len(sent))]
        self._forget()
        self._whole[origin.stream, origin.n] = _Whole(part.number, origin, set(streams))
        for stream, one in zip(streams, sent, strict=True):
            core.onward(part, one.stanza, Origin(stream, origin.n, core.bus.incarnation))

    def recipients(self, account: Account, stanza: Stanza) -> Sequence[multicast.Sent]:
        """Who gets what. Raises StanzaError when not all may have it: then nobody gets it (section 3)."""
        sent = multicast.copies(stanza, self._options.addresses)
        for one in sent:
            if account.blocked is not None and matches(account.blocked, one.to):
                raise outbound_error()
            place = self._core.addresses.destination(one.to)
            if place.partition == OWN or (place.kind is Kind.S2S and not self._options.other_servers):
                raise StanzaError("forbidden", f"not to {one.to}")
        return sent

    def _on_accepted(self, uids: Sequence[Uid]) -> None:
        if not self._whole:
            return
        for stream, n in uids:
            if stream.startswith(_PART):
                self._accepted(stream, n)

    def _accepted(self, stream: bytes, n: int) -> None:
        key = stream.partition(b":")[2], n
        whole = self._whole.get(key)
        if whole is None:
            return
        whole.missing.discard(stream)
        if not whole.missing:
            del self._whole[key]
            part = self._core.parts.get(whole.partition)
            if part is not None:
                self._core.accept(part, whole.origin)

    def _forget(self) -> None:
        """What came to a partition that is another process's now is that one's."""
        gone = [key for key, whole in self._whole.items() if whole.partition not in self._core.parts]
        for key in gone:
            del self._whole[key]

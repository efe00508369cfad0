"""Tells subscribers: what was decided becomes messages, and each goes once to each of those whom it concerns.

A notification has the uid (node, number). So routers give it once to each recipient, also when it is told again: by the next holder of
the partition, or as the last item beside the publication.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgpack

from rookery.shared.bus.messages import NODE, Kind, Origin
from rookery.shared.cluster.fanout import fan_out
from rookery.shared.xeps.blocking import matches
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.hosted import HostedWorker
from rookery.workers.pubsub.changes import Event
from rookery.workers.pubsub.node import INSIDE, OUTCAST, PUBLISH_ONLY, Node
from rookery.workers.pubsub.nodes import Seen
from rookery.workers.pubsub.recent import Notice, Recent

#: Who has one of these reads nothing (section 4.1).
_DEAF: Final = (OUTCAST, PUBLISH_ONLY)
_SHIM: Final = "http://jabber.org/protocol/shim"


class Told(NamedTuple):
    """One notification as it is kept: `names` are those of its children. `to` as in Event, `implicit` as there."""

    n: int
    type: str
    names: Sequence[tuple[str, str]]
    inner: bytes
    to: Sequence[str]
    implicit: bool


class Audience(NamedTuple):
    """Who is told of a node's events: JIDs with the ids of their subscriptions, and bare JIDs whose clients may want to know."""

    subscribers: Sequence[tuple[str, Sequence[str]]]
    contacts: Sequence[str]


def stream_of(node_id: int) -> bytes:
    """The stream of a node's notifications."""
    return NODE + node_id.to_bytes(8, "big")


def written(events: Iterable[Event]) -> list[Told]:
    """Events as they are kept and sent."""
    return [
        Told(
            one.n,
            one.type,
            tuple((child.ns, child.name) for child in one.children),
            b"".join(child.encode() for child in one.children),
            tuple(one.to),
            one.implicit,
        )
        for one in events
    ]


def pack(node: Node, told: Sequence[Told], gone: Audience | None) -> bytes:
    """For the database; `gone` is the audience of a node that ends."""
    if not told:
        return b""
    return bytes(msgpack.packb((node.owner, node.name, [tuple(one) for one in told], gone)))


def unpack(data: bytes) -> tuple[str, str, list[Told], Audience | None]:
    """From the database: owner and name of a node, what was told, and the audience of one that is gone."""
    owner, name, told, gone = msgpack.unpackb(data, use_list=False)
    return owner, name, [Told._make(one) for one in told], None if gone is None else Audience._make(gone)


def audience(node: Node, seen: Seen, groups: frozenset[str] | None) -> Audience:
    """Whom the node's events concern. `groups` are the contacts in groups that may subscribe, for the access model roster."""
    by_jid: dict[str, list[str]] = {}
    for one in node.subscriptions.values():
        if one.active and _still(node, bare_of(one.jid), seen, groups):
            by_jid.setdefault(one.jid, []).append(one.subid)
    subscribers = [(jid, tuple(subids) if len(subids) > 1 else ()) for jid, subids in by_jid.items()]
    if not node.account:
        return Audience(subscribers, ())
    contacts = [node.owner, *(jid for jid in seen.contacts if _may(node, jid, seen, groups))]
    return Audience(subscribers, [jid for jid in contacts if jid not in by_jid])


def _still(node: Node, bare: str, seen: Seen, groups: frozenset[str] | None) -> bool:
    """Whether a subscriber may still be told (section 12.6): an account's contact may have left meanwhile."""
    affiliation = node.affiliation(bare)
    if affiliation in INSIDE:
        return True
    model = node.config.text("access_model")
    if affiliation in _DEAF or (node.account and seen.blocked and matches(seen.blocked, bare)):
        return False
    if model == "presence":
        return bare in seen.contacts
    if model == "roster":
        return groups is not None and bare in groups
    return True


def _may(node: Node, bare: str, seen: Seen, groups: frozenset[str] | None) -> bool:
    """Whether a contact's clients are told that want it (XEP-0163 section 4.3): as if it were subscribed."""
    affiliation = node.affiliation(bare)
    if affiliation in _DEAF or (seen.blocked and matches(seen.blocked, bare)):
        return False
    if affiliation in INSIDE:
        return True
    model = node.config.text("access_model")
    if model == "roster":
        return groups is not None and bare in groups
    if model == "authorize":
        return any(one.active for one in node.of_bare(bare))
    return model in ("open", "presence")


class Notices:
    """Sends notifications."""

    def __init__(self, worker: HostedWorker) -> None:
        self._worker = worker
        self.recent = Recent(worker.node)
        #: The full JIDs at other servers, of these contacts of an account, that want notifications of a node.
        self.wanting: Callable[[str, Sequence[str], str], Sequence[str]] = _nobody
        #: Recipients of all notifications, for the operator.
        self.count = 0

    def tell(self, owner: str, name: str, node_id: int, told: Sequence[Told], whom: Audience) -> None:
        """Send notifications to those whom they concern."""
        for one in told:
            stanza = message(owner, node_id, one)
            origin = Origin(stream_of(node_id), one.n, "")
            if one.to:
                self._send(stanza, one.to, origin)
                continue
            self._send(stanza, [jid for jid, subids in whom.subscribers if not subids], origin)
            for jid, subids in whom.subscribers:
                if subids:
                    self._send(stanza.with_child(_headers(subids)), (jid,), origin)
            if one.implicit and whom.contacts:
                self._filtered(stanza, whom.contacts, origin, name)

    def _send(self, stanza: Stanza, jids: Iterable[str], origin: Origin) -> None:
        worker, local = self._worker, []
        elsewhere: list[tuple[str, int]] = []
        for jid in jids:
            if worker.addresses.account(jid):
                local.append((jid, worker.addresses.place(jid).partition))
            elif worker.addresses.serves(jid):
                place = worker.addresses.place(jid)
                if place.kind is Kind.S2S:
                    elsewhere.append((jid, place.partition))
                    continue
                # A number counts once for whoever takes it: so each of them has numbers of its own.
                own = Origin(origin.stream + b"/" + jid.encode(), origin.n, "")
                worker.route(stanza.replace(to=jid), own)
                self.count += 1
        if local:
            self.count += self.recent.send(Notice(stanza, local, origin))
        if elsewhere:
            self.count += fan_out(worker.node.bus, stanza, elsewhere, origin, kind=Kind.S2S)

    def _filtered(self, stanza: Stanza, bares: Sequence[str], origin: Origin, name: str) -> None:
        worker = self._worker
        if theirs := self.wanting(stanza.from_, bares, name):
            self._send(stanza, theirs, origin)
        places = [
            (jid, worker.addresses.place(jid).partition) for jid in bares if worker.addresses.account(jid)
        ]
        if places:
            self.count += self.recent.send(Notice(stanza, places, origin, name))


def _nobody(owner: str, contacts: Sequence[str], name: str) -> Sequence[str]:
    return ()


def _headers(subids: Sequence[str]) -> Element:
    """Which subscriptions a notification is for, when one JID has several (section 12.14)."""
    return Element(
        _SHIM, "headers", None, *(Element(_SHIM, "header", {"name": "SubID"}, subid) for subid in subids)
    )


def message(owner: str, node_id: int, one: Told) -> Stanza:
    """A notification without an address, for a session that gets it as the last item."""
    return Stanza("message", one.type, "", owner, f"{node_id}-{one.n}", "", (), tuple(one.names), one.inner)

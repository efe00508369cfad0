"""What is said about lists (XEP-0060): requests, and what their service tells. Items are named by hexadecimal SHA-256. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from rookery.shared.xeps.pubsub import NS
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS_EVENT: Final = NS + "#event"
NS_RSM: Final = "http://jabber.org/protocol/rsm"
#: Entries of one list that are taken.
MOST: Final = 100_000
_DIGEST: Final = 32


class Source(NamedTuple):
    """Where a list is."""

    service: str
    node: str

    @property
    def name(self) -> str:
        """As it stands in the configuration."""
        return f"{self.service}/{self.node}"


class Told(NamedTuple):
    """What a service tells of a list; `whole`: `added` is all that there is."""

    node: str
    added: tuple[bytes, ...] = ()
    removed: tuple[bytes, ...] = ()
    whole: bool = False


def source(said: str) -> Source:
    """Of a setting: SERVICE/NODE."""
    service, _, node = said.partition("/")
    return Source(service, node)


def subscribe(of: Source, us: str, id: str) -> Stanza:
    """The request to be told of changes (section 6.1)."""
    asked = Element(NS, "subscribe", {"node": of.node, "jid": us})
    return _request("set", of, us, id, asked)


def fetch(of: Source, us: str, id: str) -> Stanza:
    """The request for all items (section 6.5)."""
    return _request("get", of, us, id, Element(NS, "items", {"node": of.node}))


def _request(type: str, of: Source, us: str, id: str, asked: Element) -> Stanza:
    return Stanza.build("iq", Element(NS, "pubsub", None, asked), type=type, from_=us, to=of.service, id=id)


def told(stanza: Stanza) -> Told | None:
    """What a notification or the answer to `fetch` says; None for anything else."""
    if stanza.kind == "message":
        event = stanza.find(NS_EVENT, "event")
        return None if event is None else _event(event)
    pubsub = stanza.find(NS, "pubsub") if stanza.kind == "iq" and stanza.type == "result" else None
    items = None if pubsub is None else pubsub.find(NS, "items")
    if pubsub is None or items is None:
        return None
    found = [digest for item in items.elements(NS, "item") if (digest := _digest(item.get("id"))) is not None]
    # A page of a longer list replaces nothing.
    return Told(items.get("node") or "", tuple(found[:MOST]), whole=pubsub.find(NS_RSM, "set") is None)


def _event(event: Element) -> Told | None:
    for name in ("purge", "delete"):
        gone = event.find(NS_EVENT, name)
        if gone is not None:
            return Told(gone.get("node") or "", whole=True)
    items = event.find(NS_EVENT, "items")
    if items is None:
        return None
    added, removed = (
        tuple(
            digest for one in items.elements(NS_EVENT, name) if (digest := _digest(one.get("id"))) is not None
        )
        for name in ("item", "retract")
    )
    return Told(items.get("node") or "", added, removed)


def _digest(id: str | None) -> bytes | None:
    try:
        digest = bytes.fromhex(id or "")
    except ValueError:
        return None
    return digest if len(digest) == _DIGEST else None

"""Bookmarks are kept once, as items of `urn:xmpp:bookmarks:1` (XEP-0402), and shown to old clients as they know them: one
`<storage/>` in private XML (XEP-0049) or at the node `storage:bookmarks` (XEP-0048). Pure but for the functions at the end.

What an old client stores is compared with what is there: items are published, changed and retracted one by one. What has no
place in an item (bookmarks of URLs) stays in private XML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from rookery.shared.bus.messages import NODE as NODE_STREAM
from rookery.shared.bus.messages import Origin
from rookery.shared.xeps import private_xml
from rookery.shared.xeps.bookmarks import LEGACY, NODE
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import owner, reader, remainder
from rookery.workers.pubsub.changes import (
    NS,
    NS_EVENT,
    Change,
    Configured,
    Created,
    Event,
    Outcome,
    Published,
    Retracted,
    event,
)
from rookery.workers.pubsub.config import Value, precondition
from rookery.workers.pubsub.errors import error, no_node
from rookery.workers.pubsub.keeping import Keeping, Request
from rookery.workers.pubsub.node import Ask, Item, Node
from rookery.workers.pubsub.publisher import items_element
from rookery.workers.pubsub.recent import Notice

#: How the node must be (XEP-0402 section 3.3): nobody else sees it, and everything stays.
SETTINGS: Final[Mapping[str, Value]] = {
    "access_model": "whitelist",
    "max_items": "max",
    "persist_items": True,
    "send_last_published_item": "never",
}
_TRUE: Final = frozenset({"1", "true"})
_TEXTS: Final = ("nick", "password")
#: Octets of what the old node tells; more bookmarks than fit are not told at once.
MAX_TOLD: Final = 262_144
#: The item of the old node.
CURRENT: Final = "current"


class Stored(NamedTuple):
    """What an old client stores: rooms by their JIDs, and what is no room."""

    rooms: Mapping[str, Element]
    rest: Sequence[Element]


def read(storage: Element) -> Stored:
    """Take a `<storage/>` apart; a room that is named twice counts as it comes last."""
    rooms: dict[str, Element] = {}
    rest: list[Element] = []
    for child in storage.elements():
        jid = _room(child)
        if jid:
            rooms[jid] = _cast(child, NODE)
        else:
            rest.append(child)
    return Stored(rooms, rest)


def _room(child: Element) -> str:
    if child.ns != LEGACY or child.name != "conference":
        return ""
    try:
        return Jid.parse(child.get("jid") or "").bare
    except JidError:
        return ""


def _cast(conference: Element, ns: str, jid: str = "") -> Element:
    """The same bookmark in the other namespace; extensions stay as they are."""
    attrs = {"jid": jid} if jid else {}
    for name in ("name", "autojoin"):
        value = conference.get(name)
        if value is not None:
            attrs[name] = value
    out = Element(ns, "conference", attrs)
    for child in conference.elements():
        if child.ns == conference.ns and child.name in _TEXTS:
            out.children.append(Element(ns, child.name, None, child.text))
        elif child.name == "extensions" and child.ns == NODE:
            out.children.append(child)
    return out


def storage(items: Iterable[Item], rest: Sequence[Element] = ()) -> Element:
    """The `<storage/>` that old clients get: `items` oldest first, then what is kept beside them."""
    rooms = {item.id: parse_element(item.payload) for item in items}
    casts = [_cast(payload, LEGACY, id) for id, payload in rooms.items()]
    return Element(LEGACY, "storage", None, *casts, *(one for one in rest if _room(one) not in rooms))


def _known(conference: Element) -> tuple[object, ...]:
    """What an old client knows of a bookmark."""
    texts = (conference.find_text(NODE, name) or "" for name in _TEXTS)
    return conference.get("name") or "", conference.get("autojoin") in _TRUE, *texts


def replace(
    node: Node, ask: Ask, there: Sequence[Item], rooms: Mapping[str, Element], *, fresh: bool
) -> Outcome:
    """What becomes of the items when an old client stores `rooms`; what has not changed is not touched (section 5.2.2)."""
    if len(rooms) > ask.limits.items:
        raise error("not-acceptable", "max-items-exceeded", "there are too many bookmarks")
    changes: list[Change] = []
    events: list[Event] = []
    config = node.config.with_(SETTINGS)
    if fresh and rooms:
        changes.append(Created(node.config, ()))
    elif not fresh and config.changed != node.config.changed:
        changes.append(Configured(config, config.max_items(ask.limits)))
    n = node.n
    gone = tuple(item.id for item in there if item.id not in rooms)
    if gone:
        n += 1
        changes.append(Retracted(gone))
        told = (Element(NS_EVENT, "retract", {"id": id}) for id in gone)
        events.append(event(node, Element(NS_EVENT, "items", {"node": node.name}, *told), n))
    before = {item.id: parse_element(item.payload) for item in there}
    for id, wanted in rooms.items():
        former = before.get(id)
        if former is not None:
            extensions = former.find(NODE, "extensions")
            if wanted.find(NODE, "extensions") is None and extensions is not None:
                wanted.children.append(extensions)  # the old client does not know them
            if _known(former) == _known(wanted) and wanted.find(NODE, "extensions") == extensions:
                continue
        n += 1
        item = Item(id, n, ask.jid, wanted.encode(), ask.now)
        if len(item.payload) > ask.limits.payload_bytes:
            raise error("not-acceptable", "payload-too-big")
        changes.append(Published(item, config.max_items(ask.limits), 0))
        events.append(event(node, items_element(node, (item,)), n))
    return Outcome(changes, None, events)


# --- with what is kept ----------------------------------------------------------------------------------------------------


async def _there(keeping: Keeping, request: Request, node: Node | None) -> Sequence[Item]:
    """All bookmarks, oldest first."""
    if node is None:
        return ()
    most = keeping.limits.items
    page = await keeping.worker.database(
        request.partition, lambda conn: reader.page(conn, node.id, most, reader.Where()), request.deadline
    )
    return () if page is None else page.items[::-1]


async def _put(keeping: Keeping, request: Request, stored: Stored) -> None:
    rest = Element(LEGACY, "storage", None, *stored.rest).encode(private_xml.NS) if stored.rest else b""
    most = keeping.worker.node.config.options(private_xml.Options).max_bytes
    if len(rest) > most:
        raise StanzaError("resource-constraint", f"private storage is limited to {most} bytes")
    ask = await keeping.ask(request)
    node = await keeping.find(request.partition, request.owner, NODE, request.deadline)
    there = await _there(keeping, request, node)
    fresh = node is None
    if node is None:
        await keeping.may_create(request, ask)
        node = owner.new_node(request.owner, NODE, ask, SETTINGS, account=True)
    outcome = replace(node, ask, there, stored.rooms, fresh=fresh)
    await keeping.may_store(request, sum(map(_size, outcome.changes)))
    incarnation = keeping.worker.node.incarnation
    await keeping.worker.database(
        request.partition,
        lambda conn: remainder.put(conn, incarnation, request.owner, rest),
        request.deadline,
    )
    await keeping.apply(request, node, outcome)


def _size(change: Change) -> int:
    return len(change.item.payload) if isinstance(change, Published) else 0


async def _get(keeping: Keeping, request: Request) -> Element:
    node = await keeping.find(request.partition, request.owner, NODE, request.deadline)
    there = await _there(keeping, request, node)
    rest = await keeping.worker.database(
        request.partition, lambda conn: remainder.get(conn, request.owner), request.deadline
    )
    kept = tuple(parse_element(rest).elements()) if rest else ()
    return storage(there, kept)


async def tell(keeping: Keeping, partition: int, node: Node) -> None:
    """The bookmarks have changed: the account's clients that want the old node get its item, with all of them (XEP-0048 section 3.2)."""
    page = await keeping.worker.database(
        partition, lambda conn: reader.page(conn, node.id, keeping.limits.items, reader.Where())
    )
    rest = await keeping.worker.database(partition, lambda conn: remainder.get(conn, node.owner))
    kept = tuple(parse_element(rest).elements()) if rest else ()
    there = () if page is None else page.items[::-1]
    item = Element(NS_EVENT, "item", {"id": CURRENT}, storage(there, kept))
    told = Element(NS_EVENT, "event", None, Element(NS_EVENT, "items", {"node": LEGACY}, item))
    stanza = Stanza.build("message", told, type="headline", from_=node.owner, id=f"{node.id}-{node.n}-old")
    if len(stanza.inner) <= MAX_TOLD:
        # A stream of its own: who wants both nodes is told of both.
        stream = NODE_STREAM + (node.id | 1 << 63).to_bytes(8, "big")
        whom = ((node.owner, keeping.worker.node.partition(node.owner)),)
        keeping.notices.recent.send(Notice(stanza, whom, Origin(stream, node.n, ""), LEGACY))


async def private(keeping: Keeping, request: Request) -> Element | None:
    """Private XML (XEP-0049), of the account itself, which the account worker has handed on: the payload of the answer."""
    query = request.stanza.find(private_xml.NS, "query")
    wanted = None if query is None else query.find(LEGACY, "storage")
    if not request.own or wanted is None:
        raise StanzaError("service-unavailable")
    if request.stanza.type == "get":
        return Element(private_xml.NS, "query", None, await _get(keeping, request))
    await _put(keeping, request, read(wanted))
    return None


def old(request: Request, name: str | None) -> bool:
    """Whether a request of an account is about its old node."""
    return name == LEGACY and request.account and request.own


async def published(
    keeping: Keeping, request: Request, payload: bytes, wanted: Mapping[str, Value]
) -> Element:
    """A publication to the old node."""
    storage = parse_element(payload) if payload else None
    if storage is None or storage.name != "storage" or storage.ns != LEGACY:
        raise error("bad-request", "invalid-payload")
    if wanted.get("access_model", "whitelist") != "whitelist":
        raise precondition("bookmarks are for their owner only")
    await _put(keeping, request, read(storage))
    item = Element(NS, "item", {"id": CURRENT})
    return Element(NS, "pubsub", None, Element(NS, "publish", {"node": LEGACY}, item))


async def shown(keeping: Keeping, request: Request) -> Element:
    """The item of the old node. Raises StanzaError when there are no bookmarks."""
    storage = await _get(keeping, request)
    if not storage.children:
        raise no_node()
    item = Element(NS, "item", {"id": CURRENT}, storage)
    return Element(NS, "pubsub", None, Element(NS, "items", {"node": LEGACY}, item))

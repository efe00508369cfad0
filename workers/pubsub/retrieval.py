"""What is read: items (XEP-0060 section 6.5), and service discovery of services and nodes (section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rookery.shared.xeps.pubsub import NS_DISCO_INFO, NS_DISCO_ITEMS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import access, bookmarks, entity, reader
from rookery.workers.pubsub.changes import NS
from rookery.workers.pubsub.errors import error, unsupported
from rookery.workers.pubsub.keeping import Keeping, Request, result
from rookery.workers.pubsub.node import Ask, Item, Node
from rookery.workers.pubsub.publisher import item_element

RSM: Final = "http://jabber.org/protocol/rsm"
#: Items that one request may name.
MAX_NAMED: Final = 500
#: Octets of payloads in one answer: what follows is for another page.
PAGE_BYTES: Final = 786_432


async def items(keeping: Keeping, request: Request, pubsub: Element, child: Element) -> Element | None:
    """Items of a node, newest first: all, the most recent, some by id, or a page (section 6.5)."""
    if not child.get("node"):
        raise error("bad-request", "nodeid-required")
    if bookmarks.old(request, child.get("node")):
        return await bookmarks.shown(keeping, request)
    node = await keeping.need(request, child.get("node"))
    ask = await keeping.ask(request, node)
    _subid(node, ask, child)
    access.retrieve(node, ask)
    if not node.config.on("persist_items"):
        raise unsupported("persistent-items")
    shown = Element(NS, "items", {"node": node.name})
    answer = Element(NS, "pubsub", None, shown)
    named = [item.get("id") or "" for item in child.elements(NS, "item")]
    set_ = pubsub.find(RSM, "set")
    if named:
        found: Sequence[Item] = await _named(keeping, request, node, named)
    elif node.last is not None and child.get("max_items") == "1" and not node.config.expire():
        found = (node.last,)
    else:
        page = await _page(keeping, request, node, child.get("max_items"), set_)
        found, cut = _fitting(page.items, from_end=set_ is not None and set_.find(RSM, "before") is not None)
        if set_ is not None or cut:
            answer.children.append(_rsm([item.id for item in found], page.place + cut, page.total))
    shown.children += [item_element(NS, node, item) for item in found]
    return answer


def _subid(node: Node, ask: Ask, child: Element) -> None:
    """A request that names a subscription names one of its sender's (section 6.5.9.1)."""
    subid = child.get("subid")
    if subid is not None and subid not in {one.subid for one in node.of_bare(ask.bare)}:
        raise error("not-acceptable", "invalid-subid")


async def _named(keeping: Keeping, request: Request, node: Node, ids: Sequence[str]) -> Sequence[Item]:
    if len(ids) > MAX_NAMED:
        raise StanzaError("policy-violation", f"at most {MAX_NAMED} items at a time")
    if node.last is not None and list(ids) == [node.last.id] and not node.config.expire():
        return (node.last,)
    found = await keeping.worker.database(
        request.partition,
        lambda conn: reader.some(conn, node.id, node.config.expire(), ids),
        request.deadline,
    )
    return _fitting(found)[0]


def _fitting(found: Sequence[Item], *, from_end: bool = False) -> tuple[Sequence[Item], int]:
    """As many as fit into one answer, at least one; and how many were left out at the beginning."""
    size = 0
    for i, item in enumerate(reversed(found) if from_end else found):
        size += len(item.payload)
        if i and size > PAGE_BYTES:
            return (found[-i:], len(found) - i) if from_end else (found[:i], 0)
    return found, 0


async def _page(
    keeping: Keeping, request: Request, node: Node, most: str | None, set_: Element | None
) -> reader.Page:
    limit = keeping.options.page_max
    for text in (most, None if set_ is None else set_.find_text(RSM, "max")):
        if text is not None:
            limit = min(limit, _count(text))
    after = None if set_ is None else set_.find_text(RSM, "after")
    before = None if set_ is None else set_.find_text(RSM, "before")
    index = None if set_ is None else set_.find_text(RSM, "index")
    page = await keeping.worker.database(
        request.partition,
        lambda conn: reader.page(
            conn,
            node.id,
            limit,
            reader.Where(node.config.expire(), after or None, before, 0 if index is None else _count(index)),
        ),
        request.deadline,
    )
    if page is None:
        # XEP-0059 section 2.2: the item is not there any more.
        raise StanzaError("item-not-found")
    return page


def _count(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise StanzaError("bad-request", "this is no number")
    return int(text)


def _rsm(ids: Sequence[str], index: int, count: int) -> Element:
    set_ = Element(RSM, "set")
    if ids:
        set_.children.append(Element(RSM, "first", {"index": str(index)}, ids[0]))
        set_.children.append(Element(RSM, "last", None, ids[-1]))
    set_.children.append(Element(RSM, "count", None, str(count)))
    return set_


# --- service discovery ------------------------------------------------------------------------------------------------


async def info(keeping: Keeping, request: Request) -> Stanza:
    """disco#info of a node, or of a service (sections 5.1, 5.3, 5.4)."""
    query = request.stanza.find(NS_DISCO_INFO, "query")
    name = None if query is None else query.get("node")
    if not name:
        return result(request, entity.service_info("Publish-Subscribe"))
    node = await keeping.need(request, name)
    return result(request, entity.node_info(node, await keeping.ask(request, node)))


async def listing(keeping: Keeping, request: Request) -> Stanza:
    """disco#items: the nodes of a service, or the items of a node (sections 5.2, 5.5)."""
    query = request.stanza.find(NS_DISCO_ITEMS, "query")
    assert query is not None
    name = query.get("node")
    answer = Element(NS_DISCO_ITEMS, "query", {"node": name} if name else None)
    set_ = query.find(RSM, "set")
    if name:
        node = await keeping.need(request, name)
        access.retrieve(node, await keeping.ask(request, node))
        page = await _page(keeping, request, node, None, set_)
        ids = [item.id for item in page.items]
        answer.children += entity.item_list(node, ids)
        if set_ is not None:
            answer.children.append(_rsm(ids, page.place, page.total))
    else:
        await _nodes(keeping, request, answer, set_)
    return result(request, answer)


async def complete(keeping: Keeping, request: Request) -> Stanza:
    """The router has listed the resources of an account: its nodes follow."""
    answer = request.stanza
    query = answer.find(NS_DISCO_ITEMS, "query")
    assert query is not None
    request.from_ = answer.to
    await _nodes(keeping, request, query, None)
    return answer.replace(inner=query.encode(), payloads=((query.ns, query.name),))


async def _nodes(keeping: Keeping, request: Request, answer: Element, set_: Element | None) -> None:
    """Add the nodes that the sender may see, by name."""
    limit = keeping.options.page_max
    if set_ is not None and (text := set_.find_text(RSM, "max")) is not None:
        limit = min(limit, _count(text))
    after = "" if set_ is None else set_.find_text(RSM, "after") or ""
    bare = bare_of(request.from_)
    found = await keeping.worker.database(
        request.partition,
        lambda conn: reader.names(conn, request.owner, bare, limit, after),
        request.deadline,
    )
    shown = []
    for one in found:
        node = Node(request.owner, one.name, one.config, "")
        node.affiliations[bare] = one.affiliation
        if one.subscribed or access.readable(node, await keeping.ask(request, node)):
            shown.append((one.name, one.config.text("title")))
    answer.children += entity.listed(request.owner, shown)
    if set_ is not None and found:
        total = Element(RSM, "set")
        total.children.append(Element(RSM, "first", None, found[0].name))
        total.children.append(Element(RSM, "last", None, found[-1].name))
        answer.children.append(total)

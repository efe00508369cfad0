"""Parts of a record out of the XML that servers keep or export. Pure; what cannot be carried is told to `left`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from rookery.moving.records import NODE_LIMITS, Contact, Item, Message, Node, Subscriber
from rookery.shared.store.rows import archivable
from rookery.shared.xeps.bookmarks import LEGACY
from rookery.shared.xeps.bookmarks import NODE as BOOKMARKS
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid, bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.account.credentials import Keys
from rookery.workers.pubsub import bookmarks
from rookery.workers.pubsub.config import FIELDS, Value, read_form
from rookery.workers.pubsub.config import Config as NodeConfig

Tell = Callable[[str], None]
_DELAY: Final = ("urn:xmpp:delay", "delay")
_OLD_DELAY: Final = ("jabber:x:delay", "x")
_STANZA_ID: Final = ("urn:xmpp:sid:0", "stanza-id")
_SIZES: Final = {"SCRAM-SHA-1": 20, "SCRAM-SHA-256": 32}
_KNOWN: Final = frozenset({"to", "from", "type", "id", "xml:lang"})
#: What Postgres takes for no text.
_NUL: Final = re.compile("\x00")


def address(text: str | None, *, bare: bool = False) -> str:
    """A prepared JID, "" for what is none."""
    try:
        jid = Jid.parse(text or "")
    except JidError:
        return ""
    return jid.bare if bare else jid.full


def stamp_of(text: str | None) -> float | None:
    """Unix seconds of a timestamp (XEP-0082, or the older form of XEP-0091)."""
    try:
        when = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def stanza_of(element: Element) -> Stanza | None:
    """A stanza out of its element; None when an address is none."""
    get = element.attrs.get
    to, from_ = address(get("to")), address(get("from"))
    if (get("to") and not to) or (get("from") and not from_):
        return None
    children = list(element.elements())
    made = Stanza.build(
        element.name,
        *children,
        type=get("type", ""),
        to=to,
        from_=from_,
        id=get("id", ""),
        lang=get("xml:lang", ""),
    )
    more = tuple((key, value) for key, value in element.attrs.items() if key not in _KNOWN)
    return made._replace(attrs=more) if more else made


def delayed(element: Element) -> float | None:
    """When a message was sent first, by the stamps in it."""
    for name in (_DELAY, _OLD_DELAY):
        for child in element.elements(*name):
            found = stamp_of(child.get("stamp"))
            if found is not None:
                return found
    return None


def message(element: Element, me: str, stamp: float | None, *, owed: bool = False) -> Message | None:
    """A message of the archive of `me`, or one that waits for it; None for what is no message with addresses that are some."""
    when = delayed(element) if stamp is None else stamp
    element = Element(
        element.ns, element.name, element.attrs, *(one for one in element.children if _stays(one, me))
    )
    stanza = stanza_of(element)
    if stanza is None or stanza.kind != "message":
        return None
    outgoing = not owed and bare_of(stanza.from_) == me and bare_of(stanza.to) != me
    stanza = stanza._replace(to=stanza.to or me, from_=stanza.from_ or me)
    peer = bare_of(stanza.to if outgoing else stanza.from_)
    return Message(when or 0.0, stanza, peer, outgoing, not owed or archivable(stanza), owed)


def _stays(child: Element | str, me: str) -> bool:
    if isinstance(child, str):
        return False
    name = (child.ns, child.name)
    return name not in (_DELAY, _OLD_DELAY) and not (name == _STANZA_ID and child.get("by") == me)


def merged(archive: Sequence[Message], waiting: Sequence[Message]) -> list[Message]:
    """One list in the order of time: what waits and is in the archive, too, is one message that is owed.

    Where there is an archive, what waits and is not in it was not to be archived.
    """
    if not waiting:
        return sorted(archive, key=lambda one: one.stamp)
    owed = {_same(one): one for one in waiting}
    out = []
    for one in archive:
        twin = None if one.outgoing else owed.pop(_same(one), None)
        out.append(one if twin is None else one._replace(owed=True))
    rest = [one._replace(archived=one.archived and not archive) for one in owed.values()]
    return sorted([*out, *rest], key=lambda one: one.stamp)


def _same(one: Message) -> tuple[str, str, bytes]:
    return one.stanza.from_, one.stanza.id, one.stanza.inner


# --- credentials, rosters -----------------------------------------------------------------------------------------------


def keys(mechanism: str, iterations: int, salt: bytes, stored: bytes, server: bytes) -> Keys | None:
    """SCRAM keys, None for those of another mechanism and for broken ones."""
    size = _SIZES.get(mechanism)
    if size is None or len(stored) != size or len(server) != size or not 1 <= len(salt) <= 1024:
        return None
    return Keys(mechanism, iterations, salt, stored, server) if 1 <= iterations < 10_000_000 else None


def scram(element: Element, ns_: str) -> Keys | None:
    """Keys out of `<scram-credentials/>` (XEP-0227 section 4.3). ejabberd 23.01 writes them in base64 twice: their length tells."""
    mechanism = (element.get("mechanism") or "").upper()
    texts = {child.name: child.text.strip() for child in element.elements(ns_)}
    try:
        parts = [
            base64.b64decode(texts[name], validate=True) for name in ("salt", "stored-key", "server-key")
        ]
        if len(parts[1]) == len(base64.b64encode(bytes(_SIZES.get(mechanism, 0)))):
            parts = [base64.b64decode(text, validate=True) for text in parts]
        count = int(texts["iter-count"]) if texts["iter-count"].isascii() else 0
    except (KeyError, ValueError, binascii.Error):
        return None
    return keys(mechanism, count, *parts)


def contact(item: Element) -> Contact | None:
    """One item of a roster (RFC 6121 section 2.1.2)."""
    jid = address(item.get("jid"), bare=False)
    subscription = item.get("subscription") or "none"
    if not jid or subscription == "remove":
        return None
    groups = dict.fromkeys(text for one in item.elements(item.ns, "group") if (text := one.text.strip()))
    return Contact(
        jid,
        _NUL.sub("", item.get("name") or "")[:1023],
        tuple(groups),
        subscription in ("to", "both"),
        subscription in ("from", "both"),
        item.get("ask") == "subscribe" and subscription not in ("to", "both"),
        item.get("approved") in ("true", "1"),
    )


def with_requests(contacts: Iterable[Contact], requests: Iterable[Stanza], me: str) -> list[Contact]:
    """The roster with the subscription requests that wait; nobody is a contact of himself, and each is there once."""
    found = {one.jid: one for one in contacts if one.jid != me}
    for stanza in requests:
        jid = bare_of(stanza.from_)
        known = found.get(jid)
        if not jid or jid == me or (known is not None and known.from_):
            continue
        stanza = stanza._replace(to=stanza.to or me, from_=jid)
        found[jid] = (
            Contact(jid, listed=False, request=stanza) if known is None else known._replace(request=stanza)
        )
    return list(found.values())


def denied(query: Element, tell: Tell) -> list[str]:
    """Who is blocked by the default privacy list (XEP-0016), as far as a block list (XEP-0191) can say that."""
    default = query.find(query.ns, "default")
    name = default.get("name") if default is not None else None
    out = []
    for listed in query.elements(query.ns, "list"):
        if listed.get("name") != name:
            tell("privacy lists that are not the default")
            continue
        for item in listed.elements(query.ns, "item"):
            jid = address(item.get("value")) if item.get("type") == "jid" else ""
            if jid and item.get("action") == "deny" and not list(item.elements()):
                out.append(jid)
            elif item.get("type") is not None or item.get("action") != "allow":
                tell("rules of privacy lists that are no blocks")
    return list(dict.fromkeys(out))


# --- nodes --------------------------------------------------------------------------------------------------------------


def settings(form: Element | None, tell: Tell) -> NodeConfig:
    """The settings of a node; one that is not understood stays at its default, but for who may read it: then nobody may."""
    found: dict[str, Value] = {}
    for field in form.elements("jabber:x:data", "field") if form is not None else ():
        name = (field.get("var") or "").removeprefix("pubsub#")
        if name not in FIELDS:
            if field.get("var") != "FORM_TYPE":
                tell("unknown settings of nodes")
            continue
        alone = Element(
            "jabber:x:data", "x", None, Element(field.ns, "field", dict(field.attrs), *field.children)
        )
        try:
            found |= read_form(alone, "http://jabber.org/protocol/pubsub#node_config", NODE_LIMITS)
        except StanzaError:
            tell("unknown settings of nodes")
            if name == "access_model":
                found[name] = "whitelist"
    return NodeConfig(True).with_(found)


def item(element: Element, me: str, published: float = 0.0) -> Item:
    """An item of a node (XEP-0060)."""
    payload = next(element.elements(), None)
    data = b"" if payload is None else payload.encode()
    return Item(element.get("id") or "current", address(element.get("publisher")) or me, published, data)


def node(name: str, config: NodeConfig, items: Sequence[Item]) -> Node:
    """A node with as many items as it keeps, each id once."""
    by_id: dict[str, Item] = {}
    for one in items:
        by_id.pop(one.id, None)
        by_id[one.id] = one
    most = config.max_items(NODE_LIMITS)
    return Node(name, config, tuple(by_id.values())[-most:] if most else ())


def bookmarked(
    nodes: Mapping[str, Node], private: Mapping[tuple[str, str], Element], me: str
) -> tuple[list[Node], list[tuple[str, str, bytes]]]:
    """Bookmarks of all three forms as items of one node (XEP-0402), which win over older forms; what is no room stays in private XML."""
    nodes = dict(nodes)
    kept = {key: element.encode() for key, element in private.items()}
    rooms: dict[str, Item] = {}
    old = nodes.pop(LEGACY, None)
    storages = [private[key] for key in [(LEGACY, "storage")] if key in private]
    storages += [_parsed(one.payload) for one in old.items[-1:]] if old is not None else []
    for storage in storages:
        stored = bookmarks.read(storage)
        rooms |= {jid: Item(jid, me, 0.0, one.encode()) for jid, one in stored.rooms.items()}
        kept.pop((LEGACY, "storage"), None)
        if stored.rest:
            kept[LEGACY, "storage"] = Element(LEGACY, "storage", None, *stored.rest).encode()
    if rooms:
        there = nodes.get(BOOKMARKS) or Node(BOOKMARKS, NodeConfig(True))
        config = there.config.with_(bookmarks.SETTINGS)
        rooms |= {one.id: one for one in there.items}
        nodes[BOOKMARKS] = there._replace(config=config, items=tuple(rooms.values()))
    return list(nodes.values()), [(uri, name, xml) for (uri, name), xml in kept.items()]


def _parsed(payload: bytes) -> Element:
    from rookery.shared.xmpp.parse import parse_element

    return parse_element(payload) if payload else Element(LEGACY, "storage")


def subscriber(element: Element) -> Subscriber | None:
    """Who is subscribed to a node (XEP-0060 section 8.8)."""
    jid = address(element.get("jid"))
    state = element.get("subscription")
    return (
        Subscriber(jid, state, element.get("subid") or "")
        if jid and state in ("subscribed", "pending")
        else None
    )


AFFILIATIONS: Final = frozenset({"owner", "publisher", "publish-only", "member", "outcast"})

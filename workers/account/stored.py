"""Iqs for what a user keeps at the server: vCard (XEP-0054), private XML (XEP-0049), last activity (XEP-0012)."""

from __future__ import annotations

from collections.abc import Sequence

from rookery.shared.bus.messages import Handle
from rookery.shared.xeps import last_activity, private_xml, vcard_temp
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.account import userdata
from rookery.workers.hosted import HostedWorker


def own(item: Handle) -> None:
    """Only the account itself may go on; anybody else gets what an account that does not exist answers."""
    if not item.outbound:
        raise StanzaError("service-unavailable")


def payload(iq: Stanza) -> Element:
    """The one child element of a request (RFC 6120 section 8.2.3). Raises StanzaError."""
    elements = iq.elements()
    if len(elements) != 1:
        raise StanzaError("bad-request", "a request has exactly one child element")
    return elements[0]


def _result(iq: Stanza, name: tuple[str, str], inner: bytes) -> Stanza:
    return Stanza("iq", "result", iq.from_, iq.to, iq.id, "", (), (name,), inner)


async def get_vcard(worker: HostedWorker, partition: int, item: Handle) -> Stanza:
    """Anybody may read a card."""
    xml = await worker.database(
        partition,
        lambda conn: userdata.get_vcard(conn, item.account, bare_of(item.stanza.from_)),
        item.origin.deadline,
    )
    if xml is None:
        # XEP-0054 section 3.3: the same error without a card and without an account.
        raise StanzaError("item-not-found" if item.outbound else "service-unavailable")
    return _result(item.stanza, (vcard_temp.NS, "vCard"), xml)


async def set_vcard(worker: HostedWorker, partition: int, item: Handle) -> Stanza:
    """Only the owner of a card may change it."""
    await put_vcard(worker, partition, item)
    return item.stanza.result()


async def put_vcard(worker: HostedWorker, partition: int, item: Handle) -> None:
    """Store the card of a request. Raises StanzaError."""
    own(item)
    iq = item.stanza
    xml = payload(iq).encode()
    limit = worker.node.config.options(vcard_temp.Options).max_bytes
    if len(xml) > limit:
        raise StanzaError("policy-violation", f"a vCard is limited to {limit} bytes")
    await worker.database(
        partition,
        lambda conn: userdata.put_vcard(conn, worker.node.incarnation, item.account, xml),
        item.origin.deadline,
    )


def private_parts(item: Handle, most: int | None) -> list[Element]:
    """The elements that a request of the owner names, at most so many. Raises StanzaError."""
    own(item)
    parts = list(payload(item.stanza).elements())
    if not parts or (most is not None and len(parts) > most):
        raise StanzaError("bad-request", "name the element to get, or the elements to set")
    if any(part.ns in ("", private_xml.NS) for part in parts):
        raise StanzaError("not-acceptable", "an element needs a namespace of its own")
    return parts


async def get_private(worker: HostedWorker, partition: int, item: Handle) -> Stanza:
    """An element that only its owner sees, by name."""
    (part,) = private_parts(item, 1)
    stored = await worker.database(
        partition,
        lambda conn: userdata.get_private(conn, item.account, part.ns, part.name),
        item.origin.deadline,
    )
    if stored is None:
        stored = Element(part.ns, part.name).encode(private_xml.NS)
    inner = b"<query xmlns='%b'>%b</query>" % (private_xml.NS.encode(), stored)
    return _result(item.stanza, (private_xml.NS, "query"), inner)


async def set_private(worker: HostedWorker, partition: int, item: Handle) -> Stanza:
    """Replace elements, each by its name."""
    await put_private(worker, partition, item, private_parts(item, None))
    return item.stanza.result()


async def put_private(worker: HostedWorker, partition: int, item: Handle, parts: Sequence[Element]) -> None:
    """Store these elements of a request. Raises StanzaError."""
    account = item.account
    contents = {(part.ns, part.name): part.encode(private_xml.NS) for part in parts}
    limit = worker.node.config.options(private_xml.Options).max_bytes
    await worker.database(
        partition,
        lambda conn: userdata.put_private(conn, worker.node.incarnation, account, contents, limit),
        item.origin.deadline,
    )


async def last(worker: HostedWorker, partition: int, item: Handle) -> Stanza:
    """When an account without an available resource was last here; the router let only subscribers through."""
    found = await worker.database(
        partition, lambda conn: userdata.get_last(conn, item.account), item.origin.deadline
    )
    if found is None:
        raise StanzaError("item-not-found")
    return last_activity.answer(item.stanza, *found)

"""What users keep at the server that concerns nodes of their accounts, too: old bookmarks (XEP-0048 in XEP-0049) and pictures of cards (XEP-0398).

The account worker stores what is its own and hands the request on.
"""

from __future__ import annotations

from rookery.shared.bus.messages import Handle
from rookery.shared.xeps import private_xml, vcard_temp
from rookery.shared.xeps.bookmarks import LEGACY
from rookery.shared.xmpp.xml import Element
from rookery.workers.account import stored, userdata
from rookery.workers.hosted import HostedWorker


def concerns(item: Handle) -> bool:
    """Whether a request is for the keeper of the account's nodes, too. What is not the account's own is refused here."""
    iq = item.stanza
    if not item.outbound or len(iq.payloads) != 1:
        return False
    if iq.has(private_xml.NS, "query"):
        return LEGACY.encode() in iq.inner and _names_bookmarks(item)
    return iq.type == "set" and iq.has(vcard_temp.NS, "vCard")


def _names_bookmarks(item: Handle) -> bool:
    query = stored.payload(item.stanza)
    return query.find(LEGACY, "storage") is not None and (
        item.stanza.type == "set" or len(list(query.elements())) == 1
    )


async def store(worker: HostedWorker, partition: int, item: Handle) -> Handle:
    """Store what is not kept in nodes; returns what is to be handed on. Raises StanzaError.

    A card without a picture ends the avatar when the card before had one. When it had none it says nothing of pictures, since a client
    that never knew of the avatar does not end it: then an empty picture is handed on.
    """
    iq = item.stanza
    if iq.has(vcard_temp.NS, "vCard"):
        had = await worker.database(
            partition, lambda conn: userdata.has_photo(conn, item.account), item.origin.deadline
        )
        await stored.put_vcard(worker, partition, item)
        if not had and b"<PHOTO" not in iq.inner:
            card = stored.payload(iq)
            card.children.append(Element(vcard_temp.NS, "PHOTO"))
            return item._replace(stanza=iq.replace(inner=card.encode()))
    elif iq.type == "set":
        parts = [
            part for part in stored.private_parts(item, None) if (part.ns, part.name) != (LEGACY, "storage")
        ]
        if parts:
            await stored.put_private(worker, partition, item, parts)
    return item

"""The picture of a card becomes the account's avatar (XEP-0398 section 3.2): data first, then metadata, which is told."""

from __future__ import annotations

import base64
from typing import Final

from rookery.shared.xeps import vcard4, vcard_temp
from rookery.shared.xeps.avatar_conversion import DATA, METADATA, photo_of, sha1, shown
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import owner, publisher
from rookery.workers.pubsub.keeping import Keeping, Request

#: A card is for everybody, and so is its picture.
_OPEN: Final = {"access_model": "open"}
_DISABLED: Final = "disabled"


async def card(keeping: Keeping, request: Request) -> Element | None:
    """A card of the account itself, which the account worker has stored and handed on; the answer has no payload."""
    element = request.stanza.find(vcard_temp.NS, "vCard")
    if not request.own or element is None:
        raise StanzaError("service-unavailable")
    await _new_form(keeping, request, vcard4.new_card(element))
    node = await keeping.find(request.partition, request.owner, METADATA, request.deadline)
    picture = None if node is None or node.last is None else shown(node.last.payload)
    photo = photo_of(element)
    if photo is None:
        if picture is not None and element.find(vcard_temp.NS, "PHOTO") is None:
            # The card had one before: it was taken away (XEP-0084 section 4.2.4).
            await _publish(keeping, request, METADATA, _DISABLED, Element(METADATA, "metadata"))
        return None
    octets, type = photo
    id = sha1(octets)
    if picture is not None and picture.id == id:
        return None
    data = Element(DATA, "data", None, base64.b64encode(octets).decode())
    info = Element(METADATA, "info", {"bytes": str(len(octets)), "id": id, "type": type})
    await _publish(keeping, request.silent(), DATA, id, data)
    await _publish(keeping, request, METADATA, id, Element(METADATA, "metadata", None, info))
    return None


async def _new_form(keeping: Keeping, request: Request, card: Element) -> None:
    """The card as new clients read it (XEP-0292), unless it is that already."""
    node = await keeping.find(request.partition, request.owner, vcard4.NODE, request.deadline)
    if node is None or node.last is None or node.last.payload != card.encode():
        await _publish(keeping, request.silent(), vcard4.NODE, vcard4.ITEM, card)


async def _publish(keeping: Keeping, request: Request, name: str, id: str, payload: Element) -> None:
    node = await keeping.find(request.partition, request.owner, name, request.deadline)
    fresh = node is None
    ask = await keeping.ask(request)
    if node is None:
        await keeping.may_create(request, ask)
        node = owner.new_node(request.owner, name, ask, _OPEN, account=True)
    what = publisher.Publication(id, payload.encode(), {})
    outcome = publisher.publish(node, ask, what, fresh=fresh)
    await keeping.may_store(request, len(what.payload))
    await keeping.apply(request, node, outcome._replace(reply=None))

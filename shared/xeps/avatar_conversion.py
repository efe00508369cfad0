"""XEP-0398: User Avatar to vCard-Based Avatars Conversion."""

import base64
import binascii
import hashlib
from typing import NamedTuple

import msgpack

from rookery.shared.xeps import vcard_temp
from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

#: Nodes and namespaces of XEP-0084, and the namespace of XEP-0153.
DATA = "urn:xmpp:avatar:data"
METADATA = "urn:xmpp:avatar:metadata"
UPDATE = "vcard-temp:x:update"
XEP = Xep(
    398,
    "1.0.0",
    "complete",
    features={Target.ACCOUNT: ("urn:xmpp:pep-vcard-conversion:0",)},
    implemented_in="workers.pubsub, workers.account, router.delivery.presence",
    note="The picture of a card is that of the avatar, for those who may see that; it is added when the card is read.",
)
_HEX = frozenset("0123456789abcdef")


class Picture(NamedTuple):
    """An avatar: `id` is the SHA-1 of its octets in hexadecimal, `type` its media type."""

    id: str
    type: str


def shown(metadata: bytes) -> Picture | None:
    """The picture that the payload of a metadata item shows: the first one that is kept here (section 3.1); None for none."""
    for one in parse_element(metadata).elements(METADATA, "info") if metadata else ():
        id = (one.get("id") or "").lower()
        if one.get("url") is None and len(id) == 40 and _HEX.issuperset(id):
            return Picture(id, one.get("type") or "image/png")
    return None


def access_model(config: bytes) -> str:
    """The access model of an account's node, from its settings as they are kept."""
    found = msgpack.unpackb(config, use_list=False).get("access_model", "presence")
    return str(found)


def announced(metadata: bytes | None, config: bytes | None) -> str:
    """The hash that presence carries (section 4): of an avatar that contacts may see; "" for none."""
    if not metadata or config is None or access_model(config) not in ("open", "presence"):
        return ""
    picture = shown(metadata)
    return "" if picture is None else picture.id


def with_hash(presence: Stanza, digest: str) -> Stanza:
    """An available presence with the hash of its account's avatar; what its client says of a picture stays (section 4)."""
    x = Element(UPDATE, "x", None, Element(UPDATE, "photo", None, digest))
    said = presence.find(UPDATE, "x")
    if said is None:
        return presence.with_child(x)
    if said.find(UPDATE, "photo") is not None:
        return presence
    children = [x if one.ns == UPDATE and one.name == "x" else one for one in presence.elements()]
    return presence.replace(inner=b"".join(one.encode() for one in children))


def refreshed(presence: Stanza, digest: str) -> Stanza:
    """A presence that was sent before the account had this avatar: the hash of another one, its client's or ours, gives way (section 4); none stays none."""
    said = presence.find(UPDATE, "x")
    photo = None if said is None else said.find(UPDATE, "photo")
    text = "" if photo is None else photo.text.strip()
    if photo is None:
        return with_hash(presence, digest) if digest else presence
    if not text or text == digest or not digest:
        return presence
    bare = [one for one in presence.elements() if (one.ns, one.name) != (UPDATE, "x")]
    x = Element(UPDATE, "x", None, Element(UPDATE, "photo", None, digest))
    return presence.replace(inner=b"".join(one.encode() for one in (*bare, x)))


def photo_of(card: Element) -> tuple[bytes, str] | None:
    """The octets and the media type of a card's picture; None when it has none, or none that can be read."""
    photo = card.find(vcard_temp.NS, "PHOTO")
    text = None if photo is None else photo.find_text(vcard_temp.NS, "BINVAL")
    if photo is None or not text:
        return None
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return (data, (photo.find_text(vcard_temp.NS, "TYPE") or "image/png").strip()) if data else None


def with_photo(card: bytes | None, picture: Picture | None, data: bytes | None) -> bytes | None:
    """A card in canonical XML with this picture in place of its own; `data` is the payload of the data item. None: there is no card."""
    photo = None
    if picture is not None and data:
        text = "".join(parse_element(data).text.split())
        if _hash(text) == picture.id:
            children = (
                Element(vcard_temp.NS, "TYPE", None, picture.type),
                Element(vcard_temp.NS, "BINVAL", None, text),
            )
            photo = Element(vcard_temp.NS, "PHOTO", None, *children)
    if card is None and photo is None:
        return None
    element = Element(vcard_temp.NS, "vCard") if card is None else parse_element(card)
    element.children = [
        one
        for one in element.children
        if not (isinstance(one, Element) and one.ns == vcard_temp.NS and one.name == "PHOTO")
    ]
    if photo is not None:
        element.children.append(photo)
    return element.encode()


def _hash(text: str) -> str:
    try:
        return sha1(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return ""


def sha1(data: bytes) -> str:
    """The id of a picture (XEP-0084 section 4.1)."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()

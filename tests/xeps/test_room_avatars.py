"""XEP-0486: the picture of a room is its vCard's."""

from __future__ import annotations

from tests.unit.muc.room.scene import ALICE, BOB, ROOM, opened, refused

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.room_avatars import INFO_FIELD
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

CARD = Element(
    "vcard-temp",
    "vCard",
    None,
    Element("vcard-temp", "PHOTO", None, Element("vcard-temp", "BINVAL", None, "aGVsbG8=")),
)


def test_owners_set_it_and_its_hash_is_told() -> None:
    scene = opened()
    assert INFO_FIELD.encode() not in scene.iq(BOB, "get", Element(NS_INFO, "query")).inner
    assert scene.iq(ALICE, "set", CARD).type == "result"
    inner = scene.iq(BOB, "get", Element(NS_INFO, "query")).inner
    assert INFO_FIELD.encode() in inner
    assert b"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" in inner


def test_others_do_not_set_it() -> None:
    iq = Stanza.build("iq", CARD, type="set", id="q", from_=BOB, to=ROOM)
    assert refused(opened(), iq).condition == "forbidden"

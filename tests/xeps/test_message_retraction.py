"""XEP-0424: an author takes a message back, in a room."""

from __future__ import annotations

from tests.unit.muc.room.scene import ALICE, BOB, CAROL, ROOM, opened, refused

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.message_retraction import NS, TOMBSTONE
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element


def test_others_hear_of_it_and_the_archive_has_a_tombstone() -> None:
    scene = opened()
    retract = Stanza.build(
        "message", Element(NS, "retract", {"id": "7"}), type="groupchat", id="m", from_=BOB, to=ROOM
    )
    deed = scene.send(retract)
    assert all(scene.got(full)[0].has(NS, "retract") for full in (ALICE, BOB))
    (grave,) = deed.tombstones
    assert (grave.id, grave.author) == ("7", "bob@example.org")


def test_the_feature_is_told() -> None:
    inner = opened().iq(CAROL, "get", Element(NS_INFO, "query")).inner
    assert f"<feature var='{NS}'/>".encode() in inner
    assert f"<feature var='{TOMBSTONE}'/>".encode() in inner


def test_who_is_not_in_takes_nothing_back() -> None:
    scene = opened()
    body = Element(ns.CLIENT, "body", None, "x")
    outsider = Stanza.build(
        "message", Element(NS, "retract", {"id": "7"}), body, type="groupchat", from_=CAROL, to=ROOM
    )
    assert refused(scene, outsider).condition == "not-acceptable"

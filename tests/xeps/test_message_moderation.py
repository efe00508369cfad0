"""XEP-0425: moderators take the messages of others back."""

from __future__ import annotations

from tests.unit.muc.room.scene import ALICE, BOB, CAROL, ROOM, opened, refused

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.message_archive import NS as MAM
from rookery.shared.xeps.message_moderation import NS
from rookery.shared.xeps.message_retraction import NS as RETRACT
from rookery.shared.xeps.message_retraction import TOMBSTONE
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room import disco
from rookery.workers.muc.room.config import Config

REQUEST = Element(NS, "moderate", {"id": "7"}, Element(RETRACT, "retract"))


def test_a_moderator_may_and_a_participant_may_not() -> None:
    scene = opened()
    assert scene.iq(ALICE, "set", REQUEST).type == "result"
    assert scene.got(BOB)[0].has(RETRACT, "retract")
    iq = Stanza.build("iq", REQUEST, type="set", id="q", from_=BOB, to=ROOM)
    assert refused(scene, iq).condition == "forbidden"


def test_the_feature_is_told() -> None:
    assert f"<feature var='{NS}'/>".encode() in opened().iq(CAROL, "get", Element(NS_INFO, "query")).inner


def test_a_room_without_an_archive_does_not_offer_it() -> None:
    """Nobody can name a message there (XEP-0425 section 3 needs the ids of XEP-0359), and no tombstone is put anywhere."""
    assert {NS, TOMBSTONE, MAM} <= set(disco.features(Config()))
    assert {NS, TOMBSTONE, MAM}.isdisjoint(disco.features(Config(archive=False)))

"""XEP-0425: moderators take the messages of others back."""

from __future__ import annotations

from tests.unit.muc.room.scene import ALICE, BOB, CAROL, ROOM, opened, refused

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.message_moderation import NS
from rookery.shared.xeps.message_retraction import NS as RETRACT
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

REQUEST = Element(NS, "moderate", {"id": "7"}, Element(RETRACT, "retract"))


def test_a_moderator_may_and_a_participant_may_not() -> None:
    scene = opened()
    assert scene.iq(ALICE, "set", REQUEST).type == "result"
    assert scene.got(BOB)[0].has(RETRACT, "retract")
    iq = Stanza.build("iq", REQUEST, type="set", id="q", from_=BOB, to=ROOM)
    assert refused(scene, iq).condition == "forbidden"


def test_the_feature_is_told() -> None:
    assert f"<feature var='{NS}'/>".encode() in opened().iq(CAROL, "get", Element(NS_INFO, "query")).inner

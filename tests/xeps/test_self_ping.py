"""XEP-0410: a client asks whether it is still in the room."""

from __future__ import annotations

from tests.unit.muc.room.scene import BOB, CAROL, ROOM, opened, refused

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.self_ping import OPTIMIZED
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

PING = Element("urn:xmpp:ping", "ping")


def test_the_room_answers_who_is_in() -> None:
    scene = opened()
    answer = scene.iq(BOB, "get", PING, f"{ROOM}/Bob")
    assert (answer.type, answer.from_) == ("result", f"{ROOM}/Bob")


def test_who_is_not_in_is_told_so() -> None:
    iq = Stanza.build("iq", PING, type="get", id="q", from_=CAROL, to=f"{ROOM}/Bob")
    assert refused(opened(), iq).condition == "not-acceptable"


def test_the_feature_is_told() -> None:
    assert (
        f"<feature var='{OPTIMIZED}'/>".encode() in opened().iq(BOB, "get", Element(NS_INFO, "query")).inner
    )

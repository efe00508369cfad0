"""XEP-0500: how a room tells of its slow mode; the waiting itself: tests/unit/muc/room/test_speaking.py."""

from __future__ import annotations

from tests.unit.muc.room.scene import ALICE, BOB, opened

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.slow_mode import INFO_FIELD
from rookery.shared.xmpp.xml import Element


def test_the_duration_stands_in_the_information() -> None:
    scene = opened()
    for seconds in ("20", "0"):
        scene.configure(ALICE, slow_mode_duration=seconds)
        inner = scene.iq(BOB, "get", Element(NS_INFO, "query")).inner
        assert f"<field var='{INFO_FIELD}' type='text-single'><value>{seconds}</value>".encode() in inner

"""XEP-0317: hats are the room's to give."""

from __future__ import annotations

from tests.unit.muc.room.scene import ALICE, BOB, opened, presence

from rookery.shared.xeps.hats import NS
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room.hats import drawn
from rookery.workers.muc.room.values import Hat


def test_hats_are_drawn_and_escaped() -> None:
    assert drawn(()) == b""
    one = drawn((Hat("urn:x:teacher", "Teacher's <pet>"),))
    assert one.startswith(f"<hats xmlns='{NS}'><hat ".encode())
    assert b"&lt;pet" in one
    assert b"<pet>" not in one


def test_nobody_makes_a_hat_for_himself() -> None:
    scene = opened()
    hat = Element(NS, "hats", None, Element(NS, "hat", {"uri": "urn:x:king", "title": "King"}))
    scene.send(presence(BOB, "Bob", hat))
    (seen,) = scene.got(ALICE)
    assert b"King" not in seen.inner

"""XEP-0421: one id for each occupant, the same at each stay, which tells nobody who that is."""

from __future__ import annotations

from tests.unit.muc.room.scene import ALICE, BOB, CAROL, Scene, opened

from rookery.shared.xeps.occupant_ids import NS
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element


def id_of(stanza: Stanza) -> str:
    element = stanza.find(NS, "occupant-id")
    assert element is not None
    return element.get("id") or ""


def said(scene: Scene, full: str) -> str:
    scene.say(full)
    return id_of(scene.got(ALICE)[0])


def test_it_is_stable_and_ones_own() -> None:
    scene = opened()
    first = said(scene, BOB)
    scene.leave(BOB, "Bob")
    scene.join(BOB, "Robert")
    scene.quiet()
    assert said(scene, BOB) == first
    scene.join(CAROL, "Carol")
    scene.quiet()
    assert said(scene, CAROL) != first
    assert "bob" not in first


def test_a_forged_one_is_replaced() -> None:
    scene = opened()
    mine = said(scene, BOB)
    scene.say(BOB, "hi", Element(NS, "occupant-id", {"id": "forged"}))
    (told,) = scene.got(ALICE)
    assert id_of(told) == mine
    assert b"forged" not in told.inner

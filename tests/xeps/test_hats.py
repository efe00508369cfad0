"""XEP-0317: hats are the room's to give, by commands of its admins."""

from __future__ import annotations

import pytest
from tests.unit.muc.room.scene import ALICE, BOB, CAROL, ROOM, Scene, codes_of, opened, presence, refused

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.adhoc_commands import NS as COMMANDS
from rookery.shared.xeps.data_forms import NS as FORMS
from rookery.shared.xeps.data_forms import Field, form, values
from rookery.shared.xeps.hats import FORM, INFO_FIELD, NS
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room.disco import NS_ITEMS
from rookery.workers.muc.room.hat_commands import ALL, HATS, WORN
from rookery.workers.muc.room.hats import drawn
from rookery.workers.muc.room.room import Room
from rookery.workers.muc.room.values import Hat

HOST, KING = "urn:x:host", "urn:x:king"
BOBS = "bob@example.org"


def command(name: str, action: str = "", **fields: str) -> Element:
    """A command, with a submitted form when there are fields."""
    attrs = {"node": f"{FORM}:{name}", **({"action": action} if action else {})}
    filled = [Field(f"hats#{var}", (value,)) for var, value in fields.items()]
    return Element(COMMANDS, "command", attrs, *([form("submit", FORM, filled)] if filled else []))


def done(scene: Scene, who: str, name: str, action: str = "", **fields: str) -> Element:
    """The answered command."""
    answer = scene.iq(who, "set", command(name, action, **fields)).find(COMMANDS, "command")
    assert answer is not None
    return answer


def refusal(scene: Scene, who: str, name: str, action: str = "", **fields: str) -> str:
    payload = command(name, action, **fields)
    return refused(scene, Stanza.build("iq", payload, type="set", id="q", from_=who, to=ROOM)).condition


def hatted() -> Scene:
    """Bob is the host."""
    scene = opened()
    done(scene, ALICE, "create", title="Host", uri=HOST, hue="327.25")
    done(scene, ALICE, "assign", jid=BOBS, uri=HOST)
    scene.quiet()
    return scene


def worn(stanzas: list[Stanza]) -> list[list[str | None]]:
    """The URIs of the hats in each presence."""
    found = []
    for stanza in stanzas:
        if stanza.kind == "presence":
            hats = stanza.find(NS, "hats")
            found.append([] if hats is None else [hat.get("uri") for hat in hats.elements(NS, "hat")])
    return found


def rows(answer: Element) -> list[list[str]]:
    """The rows of a table."""
    x = answer.find(FORMS, "x")
    assert x is not None
    return [
        [field.find_text(FORMS, "value") or "" for field in item.elements(FORMS, "field")]
        for item in x.elements(FORMS, "item")
    ]


def test_hats_are_drawn_and_escaped() -> None:
    hats = {HOST: Hat(HOST, "Teacher's <pet>", "12.5"), KING: Hat(KING, "King")}
    assert drawn(hats, ()) == drawn({}, (HOST,)) == b""
    one = drawn(hats, (HOST,))
    assert one.startswith(f"<hats xmlns='{NS}'><hat ".encode())
    assert b"&lt;pet" in one
    assert b"<pet>" not in one
    assert b"hue='12.5'" in one
    assert b"hue" not in drawn(hats, (KING,))


def test_nobody_makes_a_hat_for_himself() -> None:
    scene = opened()
    hat = Element(NS, "hats", None, Element(NS, "hat", {"uri": KING, "title": "King"}))
    scene.send(presence(BOB, "Bob", hat))
    (seen,) = scene.got(ALICE)
    assert b"King" not in seen.inner


def test_a_hat_is_made_and_given_and_everybody_sees_it() -> None:
    scene = opened()
    assert done(scene, ALICE, "create").get("status") == "executing"
    assert done(scene, ALICE, "create", title="Host", uri=HOST).get("status") == "completed"
    (told,) = scene.got(BOB)
    assert codes_of(told) == {104}, "the list of hats is configuration (section 4.2)"
    scene.quiet()
    done(scene, ALICE, "assign", jid=BOBS, uri=HOST)
    assert worn(scene.got(ALICE)) == worn(scene.got(BOB)) == [[HOST]]
    assert worn(scene.join(CAROL, "Carol")) == [[], [HOST], []], "and who comes later sees it too"


def test_it_stays_with_another_status_another_affiliation_and_another_holder() -> None:
    scene = hatted()
    scene.send(presence(BOB, "Bob"))
    assert worn(scene.got(ALICE)) == [[HOST]]
    scene.admin(ALICE, {"jid": BOBS, "affiliation": "member"}, reason="he is nice")
    assert worn(scene.got(ALICE)) == [[HOST]]
    room = scene.room
    affiliations = {jid: packed[1] for jid in room.state.affiliates if (packed := room.pack_affiliation(jid))}
    loaded = Room.load(
        ROOM, room.pack(), affiliations, {full: room.pack_occupant(full) for full in room.occupants}
    )
    assert loaded.state.hats == {HOST: Hat(HOST, "Host", "327.25")}
    assert loaded.state.affiliate(BOBS).hats == (HOST,)


def test_a_hat_that_changes_is_shown_anew_and_one_that_is_destroyed_is_gone() -> None:
    scene = hatted()
    done(scene, ALICE, "create", title="Our host", uri=HOST)
    assert b"Our host" in b"".join(one.inner for one in scene.got(BOB))
    done(scene, ALICE, "destroy", uri=HOST)
    assert worn(scene.got(BOB)) == [[]]
    assert scene.room.state.affiliates.keys() == {"alice@example.org"}, "an entry without anything is none"
    assert scene.deed.affiliations == (BOBS,)


def test_a_hat_is_taken_away() -> None:
    scene = hatted()
    done(scene, ALICE, "unassign", jid=BOBS, uri=HOST)
    assert worn(scene.got(BOB)) == [[]]
    assert refusal(scene, ALICE, "unassign", jid=BOBS, uri=HOST) == "item-not-found"


def test_lists() -> None:
    scene = hatted()
    done(scene, ALICE, "create", title="King", uri=KING)
    assert rows(done(scene, BOB, "list")) == [[HOST, "Host", "327.25"], [KING, "King", ""]]
    assert rows(done(scene, ALICE, "list-assigned")) == [[BOBS, HOST, "Host", "327.25"]]


@pytest.mark.parametrize(
    ("who", "name", "fields", "condition"),
    [
        (BOB, "create", {"title": "King", "uri": KING}, "forbidden"),
        (BOB, "list-assigned", {}, "forbidden"),  # it tells real JIDs
        (CAROL, "list", {}, "forbidden"),  # she is not in
        (ALICE, "create", {"title": "", "uri": KING}, "not-acceptable"),
        (ALICE, "create", {"title": "King", "uri": "king"}, "not-acceptable"),
        (ALICE, "create", {"title": "King", "uri": ":"}, "not-acceptable"),
        (ALICE, "create", {"title": "K" * 5000, "uri": KING}, "not-acceptable"),
        (ALICE, "create", {"title": "King", "uri": "urn:" + "k" * 2000}, "not-acceptable"),
        (ALICE, "create", {"title": "King", "uri": KING, "hue": "red"}, "not-acceptable"),
        (ALICE, "create", {"title": "King", "uri": KING, "hue": "nan"}, "not-acceptable"),
        (ALICE, "create", {"title": "King", "uri": KING, "hue": "-1"}, "not-acceptable"),
        (ALICE, "destroy", {"uri": KING}, "item-not-found"),
        (ALICE, "assign", {"jid": BOBS, "uri": KING}, "item-not-found"),
        (ALICE, "assign", {"jid": "@", "uri": HOST}, "jid-malformed"),
        (ALICE, "assign", {"jid": "example.org", "uri": HOST}, "not-acceptable"),
        (ALICE, "assign", {"uri": HOST}, "jid-malformed"),
        (ALICE, "no-such", {"uri": HOST}, "item-not-found"),
    ],
)
def test_what_is_refused(who: str, name: str, fields: dict[str, str], condition: str) -> None:
    scene = hatted()
    assert refusal(scene, who, name, **fields) == condition


def test_there_are_not_too_many() -> None:
    scene = opened()
    for number in range(HATS):
        done(scene, ALICE, "create", title="Hat", uri=f"urn:x:{number}")
    assert refusal(scene, ALICE, "create", title="Hat", uri="urn:x:more") == "resource-constraint"
    for number in range(WORN):
        done(scene, ALICE, "assign", jid=BOBS, uri=f"urn:x:{number}")
    assert refusal(scene, ALICE, "assign", jid=BOBS, uri=f"urn:x:{WORN}") == "resource-constraint"


def test_forms_offer_what_there_is_and_can_be_cancelled() -> None:
    scene = hatted()
    x = done(scene, ALICE, "assign").find(FORMS, "x")
    assert x is not None
    assert [
        option.get("label")
        for field in x.elements(FORMS, "field")
        for option in field.elements(FORMS, "option")
    ] == ["Host"]
    assert done(scene, ALICE, "assign", "cancel").get("status") == "canceled"
    assert refusal(scene, ALICE, "assign", "jump") == "bad-request"


def test_commands_and_hats_are_discovered() -> None:
    scene = hatted()
    wanted = Element(NS_ITEMS, "query", {"node": COMMANDS})
    for who, count in ((ALICE, len(ALL)), (BOB, 1)):
        query = scene.iq(who, "get", wanted).find(NS_ITEMS, "query")
        assert query is not None
        assert len(list(query.elements(NS_ITEMS, "item"))) == count
    for node in (COMMANDS, f"{FORM}:list"):
        described = scene.iq(BOB, "get", Element(NS_INFO, "query", {"node": node})).find(NS_INFO, "query")
        assert described is not None
        identity = described.find(NS_INFO, "identity")
        assert identity is not None
        assert identity.get("category") == "automation"
    info = scene.iq(BOB, "get", Element(NS_INFO, "query")).find(NS_INFO, "query")
    assert info is not None
    assert NS in {feature.get("var") for feature in info.elements(NS_INFO, "feature")}
    about = info.find(FORMS, "x")
    assert about is not None
    former = values(about)[INFO_FIELD]
    done(scene, ALICE, "create", title="King", uri=KING)
    info = scene.iq(BOB, "get", Element(NS_INFO, "query")).find(NS_INFO, "query")
    assert info is not None
    about = info.find(FORMS, "x")
    assert about is not None
    assert values(about)[INFO_FIELD] != former

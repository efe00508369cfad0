"""What is sent to hurt a room: each gets the standard error, changes nothing, and nobody else hears of it."""

from __future__ import annotations

import pytest
from tests.unit.muc.room.scene import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    ROOM,
    Refused,
    Scene,
    codes_of,
    item_of,
    opened,
    presence,
    refused,
)

from rookery.shared.xeps.data_forms import NS as FORMS
from rookery.shared.xeps.delayed_delivery import NS as DELAY
from rookery.shared.xeps.multi_user_chat import ADMIN, NS, OWNER, USER, Options
from rookery.shared.xeps.occupant_ids import NS as OCCUPANT_ID
from rookery.shared.xeps.stanza_ids import NS as SID
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element


def unchanged(scene: Scene) -> tuple[object, ...]:
    """What a refused stanza leaves as it was."""
    state = scene.room.state
    return (
        sorted(state.occupants),
        sorted(seat.nick for seat in state.seats.values()),
        dict(state.affiliates),
        dict(state.reserved),
        state.config,
        state.subject,
        scene.room.pack(),
    )


def harmless(scene: Scene, stanza: Stanza) -> Refused:
    """The error that a stanza gets; nothing has changed and nobody was told."""
    before = unchanged(scene)
    scene.quiet()
    error = refused(scene, stanza)
    assert unchanged(scene) == before
    assert scene.heard == {}
    return error


@pytest.mark.parametrize(
    ("nick", "condition"),
    [
        ("n" * 129, "policy-violation"),
        ("n" * 1024, "policy-violation"),
        ("\u4e2d" * 100, "policy-violation"),  # bytes count
        ("a\x07b", "jid-malformed"),
        ("a\nb", "jid-malformed"),
        ("a\x7fb", "jid-malformed"),
        ("a\u202eb", "jid-malformed"),  # right to left override
        ("a\u200bb", "jid-malformed"),  # a space without width
        ("a\ufeffb", "jid-malformed"),
        ("\u2800\u2800", "jid-malformed"),  # nothing that can be seen
        ("\u3164", "jid-malformed"),
        ("   ", "jid-malformed"),
        ("", "jid-malformed"),
        ("a\ue000b", "jid-malformed"),  # private use
        ("a\ufdd0b", "jid-malformed"),  # no character
        # What looks like Alice's, by RFC 8266.
        ("alice", "conflict"),
        ("ALICE", "conflict"),
        (" Alice ", "conflict"),
        ("\uff21lice", "conflict"),  # of full width
        ("\u24b6lice", "conflict"),  # in a circle
        ("Ali\u00adce", "jid-malformed"),  # with a soft hyphen
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_nicks(nick: str, condition: str, inside: bool) -> None:
    scene = opened()
    who = BOB if inside else CAROL
    assert harmless(scene, presence(who, nick, Element(NS, "x"))).condition == condition


@pytest.mark.parametrize(
    "history",
    [
        {"maxstanzas": "-1"},
        {"maxstanzas": "9" * 400},
        {"maxchars": "1e9"},
        {"seconds": "\u0661"},  # a digit, but none of XML Schema
        {"seconds": "NaN"},
        {"since": "yesterday"},
        {"since": "2024-13-45T99:99:99Z"},
        {"since": "9999999-01-01T00:00:00Z"},
        {"since": ""},
    ],
)
def test_joins_with_a_history_that_is_none(history: dict[str, str]) -> None:
    join = Element(NS, "x", None, Element(NS, "history", history))
    assert harmless(opened(), presence(CAROL, "Carol", join)) == Refused("bad-request", "modify")


@pytest.mark.parametrize(
    "children",
    [
        (),
        (Element(NS, "password"),),
        (Element(NS, "password", None, "x" * 100_000),),
        (Element(NS, "password", None, "wrong"), Element(NS, "password", None, "right")),
        (Element("urn:other", "password", None, "right"),),
    ],
)
def test_joins_with_a_password_that_is_none(children: tuple[Element, ...]) -> None:
    scene = opened()
    scene.configure(ALICE, passwordprotectedroom="1", roomsecret="right")
    join = Element(NS, "x", None, *children)
    assert harmless(scene, presence(CAROL, "Carol", join)) == Refused("not-authorized", "auth")


def test_joins_that_carry_what_is_large() -> None:
    scene = opened()
    for child in (
        Element(ns.CLIENT, "status", None, "s" * 2000),
        Element("urn:x", "x", None, "s" * 10_000),
    ):
        assert (
            harmless(scene, presence(CAROL, "Carol", Element(NS, "x"), child)).condition == "policy-violation"
        )


FORGED = [
    Element(OCCUPANT_ID, "occupant-id", {"id": "alice"}),
    Element(USER, "x", None, Element(USER, "item", {"affiliation": "owner", "role": "moderator"})),
    Element(USER, "x", None, Element(USER, "status", {"code": "110"})),
    Element(SID, "stanza-id", {"id": "forged", "by": ROOM}),
    Element(DELAY, "delay", {"from": ROOM, "stamp": "2001-01-01T00:00:00Z"}),
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda one: one.name)
@pytest.mark.parametrize("way", ["message", "private", "presence", "join"])
def test_what_only_a_room_may_say_is_taken_out(way: str, forged: Element) -> None:
    scene = opened()
    if way == "message":
        scene.say(BOB, "hello", forged)
    elif way == "private":
        body = Element(ns.CLIENT, "body", None, "hello")
        scene.send(Stanza.build("message", body, forged, type="chat", from_=BOB, to=f"{ROOM}/Alice"))
    elif way == "presence":
        scene.send(presence(BOB, "Bob", forged))
    else:
        scene.leave(BOB)
        scene.quiet()
        scene.send(presence(BOB, "Bob", Element(NS, "x"), forged))
    (seen,) = scene.got(ALICE)
    assert b"forged" not in seen.inner
    assert b"2001-01-01" not in seen.inner
    assert seen.inner.count(b"<occupant-id ") <= 1
    assert b"id='alice'" not in seen.inner
    if seen.kind == "presence":
        assert item_of(seen)["affiliation"] == "none"
        assert codes_of(seen) == set()
    else:
        assert b"affiliation='owner'" not in seen.inner


def test_a_stanza_id_of_somebody_else_stays() -> None:
    scene = opened()
    scene.say(BOB, "hello", Element(SID, "stanza-id", {"id": "mine", "by": "bob@example.org"}))
    (seen,) = scene.got(ALICE)
    assert b"id='mine'" in seen.inner


def items(*attributes: dict[str, str]) -> Element:
    return Element(ADMIN, "query", None, *(Element(ADMIN, "item", one) for one in attributes))


def form(*fields: tuple[str, str], type: str = "submit") -> Element:
    made = [
        Element(FORMS, "field", {"var": var}, Element(FORMS, "value", None, value)) for var, value in fields
    ]
    return Element(OWNER, "query", None, Element(FORMS, "x", {"type": type}, *made))


CONFIG = ("FORM_TYPE", "http://jabber.org/protocol/muc#roomconfig")


@pytest.mark.parametrize(
    ("payload", "condition"),
    [
        (items(), "bad-request"),
        (items({}), "bad-request"),
        (items({"jid": "bob@example.org"}), "bad-request"),
        (items({"affiliation": "king", "jid": "bob@example.org"}), "bad-request"),
        (items({"affiliation": "member"}), "bad-request"),
        (items({"affiliation": "member", "jid": "@@@"}), "jid-malformed"),
        (items({"affiliation": "member", "jid": "a" * 5000 + "@example.org"}), "jid-malformed"),
        (items({"role": "none"}), "bad-request"),
        (items({"role": "king", "nick": "Bob"}), "bad-request"),
        (items({"role": "none", "nick": "Nobody"}), "item-not-found"),
        (items({"affiliation": "none", "jid": "alice@example.org"}), "conflict"),  # the last owner
        (
            items(*[{"affiliation": "member", "jid": f"u{n}@x.example"} for n in range(501)]),
            "policy-violation",
        ),
        (Element(OWNER, "query"), "bad-request"),
        (form(type="form"), "bad-request"),
        (form(type=""), "bad-request"),
        (form(("FORM_TYPE", "urn:other"), ("muc#roomconfig_roomname", "x")), "bad-request"),
        (form(CONFIG, ("muc#roomconfig_maxusers", "-5")), "not-acceptable"),
        (form(CONFIG, ("muc#roomconfig_maxusers", "9" * 400)), "not-acceptable"),
        (form(CONFIG, ("muc#roomconfig_whois", "everybody")), "not-acceptable"),
        (form(CONFIG, ("muc#roomconfig_publicroom", "perhaps")), "not-acceptable"),
        (form(CONFIG, ("muc#roomconfig_roomname", "n" * 100_000)), "not-acceptable"),
        (form(CONFIG, ("muc#roomconfig_roomowners", "not a jid @ @")), "jid-malformed"),
        (form(CONFIG, ("muc#roomconfig_passwordprotectedroom", "1")), "not-acceptable"),
    ],
)
def test_lists_and_forms(payload: Element, condition: str) -> None:
    scene = opened()
    stanza = Stanza.build("iq", payload, type="set", id="q", from_=ALICE, to=ROOM)
    assert harmless(scene, stanza).condition == condition


def test_a_flood_of_presence_is_stopped_and_little_of_it_is_heard() -> None:
    scene = opened(Options())
    scene.quiet()
    errors: list[Refused] = []
    for number in range(1000):
        try:
            scene.send(presence(BOB, "Bob", Element(ns.CLIENT, "status", None, str(number))))
        except StanzaError as error:
            errors.append(Refused(error.condition, error.type))
    assert set(errors) == {Refused("policy-violation", "wait")}
    assert len(scene.got(ALICE)) == 1000 - len(errors) <= Options().presences_burst + 1
    scene.say(ALICE, "still here")
    assert scene.got(BOB)[-1].kind == "message", "a flood puts nobody out"


def test_a_thousand_joins_and_leaves_leave_nothing() -> None:
    scene = opened(public="0")
    before = scene.room.pack(), dict(scene.room.state.affiliates)
    for number in range(1000):
        scene.now += 0.01
        who, nick = f"mallory{number % 7}@example.org/{number}", f"M{number % 50}"
        scene.send(presence(who, nick, Element(NS, "x")))
        assert who in scene.room.occupants
        scene.leave(who, nick)
        scene.quiet()
    state = scene.room.state
    assert sorted(state.occupants) == [ALICE, BOB]
    assert len(state.seats) == 2
    assert (scene.room.pack(), dict(state.affiliates)) == before
    assert not state.reserved
    assert not state.privates
    scene.say(ALICE, "and on")
    assert [stanza.kind for stanza in scene.got(BOB)] == ["message"]


@pytest.mark.parametrize("who", [CAROL, DAVE])
@pytest.mark.parametrize(
    "stanza",
    [
        Stanza.build("message", Element(ns.CLIENT, "body", None, "x"), type="groupchat", to=ROOM),
        Stanza.build("message", Element(ns.CLIENT, "subject", None, "x"), type="groupchat", to=ROOM),
        Stanza.build("message", Element(ns.CLIENT, "body", None, "x"), type="chat", to=f"{ROOM}/Alice"),
        Stanza.build("iq", items({"role": "none", "nick": "Alice"}), type="set", id="q", to=ROOM),
        Stanza.build("iq", Element(OWNER, "query"), type="get", id="q", to=ROOM),
        Stanza.build("iq", Element("urn:x", "x"), type="get", id="q", to=f"{ROOM}/Alice"),
    ],
)
def test_who_is_not_in_does_nothing(who: str, stanza: Stanza) -> None:
    harmless(opened(), stanza.replace(from_=who))

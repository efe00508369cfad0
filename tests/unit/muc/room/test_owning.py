"""Configuration, destruction, registration, and what a room tells of itself (sections 6.4, 7.10, 7.12, 10.1, 10.2, 10.9)."""

from __future__ import annotations

import pytest
from tests.unit.muc.room.scene import (
    ALICE,
    BOB,
    CAROL,
    ROOM,
    Scene,
    codes_of,
    item_of,
    opened,
    presence,
    refused,
)

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.data_forms import Field, form, values
from rookery.shared.xeps.multi_user_chat import CONFIG, NS, OWNER, REGISTER
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room.asking import refusal
from rookery.workers.muc.room.config import FIELDS
from rookery.workers.muc.room.room import Room
from rookery.workers.muc.room.values import Affiliation

FORMS = "jabber:x:data"
ITEMS = "http://jabber.org/protocol/disco#items"


def owner(full: str, payload: Element, type: str = "set") -> Stanza:
    query = Element(OWNER, "query", None, payload)
    return Stanza.build("iq", query, type=type, id="q", from_=full, to=ROOM)


def configured(full: str, **fields: tuple[str, ...]) -> Stanza:
    filled = [Field(f"muc#roomconfig_{name}", each) for name, each in fields.items()]
    return owner(full, form("submit", CONFIG, filled))


def test_the_form_has_every_field_with_what_is() -> None:
    scene = opened()
    scene.configure(ALICE, roomname="Tea", maxusers="33", roomadmins=("carol@example.org",))
    answer = scene.iq(ALICE, "get", Element(OWNER, "query"))
    query = answer.find(OWNER, "query")
    assert query is not None
    x = query.find(FORMS, "x")
    assert x is not None
    given = values(x)
    assert {field.var for field in FIELDS} < given.keys()
    assert given["FORM_TYPE"] == [CONFIG]
    assert given["muc#roomconfig_roomname"] == ["Tea"]
    assert given["muc#roomconfig_maxusers"] == ["33"]
    assert given["muc#roomconfig_roomowners"] == ["alice@example.org"]
    assert given["muc#roomconfig_roomadmins"] == ["carol@example.org"]


def test_what_is_sent_back_changes_nothing() -> None:
    scene = opened()
    query = scene.iq(ALICE, "get", Element(OWNER, "query")).find(OWNER, "query")
    assert query is not None
    x = query.find(FORMS, "x")
    assert x is not None
    before = scene.room.state.config
    fields = [Field(var, given) for var, given in values(x).items() if var != "FORM_TYPE"]
    scene.quiet()
    scene.iq(ALICE, "set", Element(OWNER, "query", None, form("submit", CONFIG, fields)))
    assert scene.room.state.config == before
    assert not scene.got(BOB)


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        (owner(BOB, form("submit", CONFIG, [])), "forbidden"),
        (owner(ALICE, form("submit", "urn:other", [])), "bad-request"),
        (owner(ALICE, Element(FORMS, "x", {"type": "form"})), "bad-request"),
        (owner(ALICE, Element("urn:other", "x")), "bad-request"),
        (configured(ALICE, passwordprotectedroom=("1",)), "not-acceptable"),
        (configured(ALICE, membersonly=("perhaps",)), "not-acceptable"),
        (configured(ALICE, whois=("nobody",)), "not-acceptable"),
        (configured(ALICE, maxusers=("-3",)), "not-acceptable"),
        (configured(ALICE, maxusers=("9" * 30,)), "not-acceptable"),
        (configured(ALICE, allowpm=("cats",)), "not-acceptable"),
        (configured(ALICE, roomname=("n" * 300,)), "not-acceptable"),
        (configured(ALICE, presencebroadcast=("king",)), "not-acceptable"),
        (configured(ALICE, roomowners=()), "conflict"),
        (configured(ALICE, roomowners=("@@",)), "jid-malformed"),
        (configured(ALICE, roomadmins=("example.org",)), "not-acceptable"),
        (owner(BOB, Element(OWNER, "destroy")), "forbidden"),
        (owner(ALICE, Element(OWNER, "destroy", {"jid": "@"})), "jid-malformed"),
    ],
)
def test_what_is_refused(stanza: Stanza, condition: str) -> None:
    scene = opened()
    before = scene.room.state.config
    assert refused(scene, stanza).condition == condition
    assert scene.room.state.config == before


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"whois": "anyone"}, {172}),
        ({"enablelogging": "0"}, {171}),
        ({"roomname": "Tea"}, {104}),
        ({"membersonly": "1"}, {104, 171}),
        ({"whois": "anyone", "roomdesc": "x"}, {104, 172}),
    ],
)
def test_occupants_hear_of_a_configuration_by_code(fields: dict[str, str], codes: set[int]) -> None:
    """Section 10.2.1."""
    scene = opened()
    scene.configure(ALICE, **fields)
    (told,) = [stanza for stanza in scene.heard[ALICE] if stanza.kind == "message"]
    assert codes_of(told) == codes
    assert told.type == "groupchat"
    scene.quiet()
    if "whois" in fields:
        scene.configure(ALICE, whois="moderators")
        assert codes_of(next(one for one in scene.heard[ALICE] if one.kind == "message")) == {173}


def test_owners_and_admins_are_full_lists() -> None:
    """Section 10.5: of the form; lists of muc#admin are changes."""
    scene = opened()
    scene.configure(
        ALICE, roomowners=("alice@example.org", "carol@example.org"), roomadmins=("bob@example.org",)
    )
    state = scene.room.state
    assert state.affiliate("carol@example.org").affiliation is Affiliation.OWNER
    assert state.affiliate("bob@example.org").affiliation is Affiliation.ADMIN
    assert item_of(scene.got(BOB)[-1])["role"] == "moderator"
    scene.configure(ALICE, roomowners=("carol@example.org",), roomadmins=("alice@example.org",))
    assert state.affiliate("alice@example.org").affiliation is Affiliation.ADMIN
    assert state.affiliate("bob@example.org").affiliation is Affiliation.NONE


def test_an_initial_configuration_may_be_cancelled() -> None:
    """Section 10.1.3; a later one leaves the room as it is (section 10.2)."""
    scene = Scene()
    scene.join(ALICE, "Alice")
    scene.iq(ALICE, "set", Element(OWNER, "query", None, Element(FORMS, "x", {"type": "cancel"})))
    assert scene.deed.removed
    kept = opened()
    kept.iq(ALICE, "set", Element(OWNER, "query", None, Element(FORMS, "x", {"type": "cancel"})))
    assert kept.room.exists


def test_a_room_is_destroyed_with_its_other_venue() -> None:
    """Section 10.9: each occupant gets one presence, its own."""
    scene = opened(persistentroom="1")
    reason = Element(OWNER, "reason", None, "moved")
    destroy = Element(OWNER, "destroy", {"jid": "new@rooms.example"}, reason)
    assert scene.iq(ALICE, "set", Element(OWNER, "query", None, destroy)).type == "result"
    (told,) = scene.got(BOB)
    assert (told.type, told.from_) == ("unavailable", f"{ROOM}/Bob")
    assert b"<destroy jid='new@rooms.example'><reason>moved</reason></destroy>" in told.inner
    assert scene.deed.removed
    assert not scene.room.exists


# --- registration ----------------------------------------------------------------------------------------------------


def registration(full: str, nick: str, form_type: str = REGISTER) -> Stanza:
    x = form("submit", form_type, [Field("muc#register_roomnick", (nick,))])
    query = Element("jabber:iq:register", "query", None, x)
    return Stanza.build("iq", query, type="set", id="q", from_=full, to=ROOM)


def test_who_registers_is_a_member_with_a_nick() -> None:
    """Sections 7.10 and 7.12."""
    scene = opened()
    answer = scene.iq(BOB, "get", Element("jabber:iq:register", "query"))
    assert b"muc#register_roomnick" in answer.inner
    scene.send(registration(BOB, "Bobby"))
    assert scene.room.state.affiliate("bob@example.org").affiliation is Affiliation.MEMBER
    assert (
        item_of([one for one in scene.heard[ALICE] if one.kind == "presence"][-1])["affiliation"] == "member"
    )
    again = scene.iq(BOB, "get", Element("jabber:iq:register", "query"))
    assert b"<registered/><username>Bobby</username>" in again.inner
    info = scene.iq(BOB, "get", Element(NS_INFO, "query", {"node": "x-roomuser-item"}))
    assert b"name='Bobby'" in info.inner
    assert (
        refused(scene, presence(CAROL, "bobby", Element("http://jabber.org/protocol/muc", "x"))).condition
        == "conflict"
    )
    assert refused(scene, registration(CAROL, "BOBBY")).condition == "conflict"
    scene.iq(
        BOB, "set", Element("jabber:iq:register", "query", None, Element("jabber:iq:register", "remove"))
    )
    assert scene.room.state.affiliate("bob@example.org").affiliation is Affiliation.NONE


def test_locked_nicks_are_given_with_210() -> None:
    scene = opened(**{"{urn:rookery:rooms}lock_nicks": "1"})
    scene.send(registration(BOB, "Bobby"))
    assert scene.room.occupants[BOB].nick == "Bobby"
    assert refused(scene, presence(BOB, "Other")).condition == "not-acceptable"
    scene.leave(BOB)
    told = scene.join(BOB, "Other")
    own = next(one for one in told if one.from_ == f"{ROOM}/Bobby")
    assert 210 in codes_of(own)


@pytest.mark.parametrize(
    ("fields", "stanza", "condition"),
    [
        ({"{urn:rookery:rooms}registration": "0"}, registration(BOB, "Bobby"), "not-allowed"),
        ({}, registration(BOB, "Bobby", "urn:other"), "bad-request"),
        ({}, registration(BOB, "Alice"), "conflict"),
        ({}, registration(BOB, "\u202e"), "jid-malformed"),
    ],
)
def test_registrations_that_are_refused(fields: dict[str, str], stanza: Stanza, condition: str) -> None:
    assert refused(opened(**fields), stanza).condition == condition


# --- discovery -------------------------------------------------------------------------------------------------------


def test_a_room_tells_what_it_is() -> None:
    """Sections 6.4 and 15.3."""
    scene = opened()
    inner = scene.iq(CAROL, "get", Element(NS_INFO, "query")).inner
    for name in (
        "muc_public",
        "muc_temporary",
        "muc_open",
        "muc_unmoderated",
        "muc_unsecured",
        "muc_semianonymous",
    ):
        assert f"var='{name}'".encode() in inner
    scene.configure(
        ALICE,
        publicroom="0",
        persistentroom="1",
        membersonly="1",
        moderatedroom="1",
        whois="anyone",
        slow_mode_duration="9",
    )
    inner = scene.iq(CAROL, "get", Element(NS_INFO, "query")).inner
    for name in ("muc_hidden", "muc_persistent", "muc_membersonly", "muc_moderated", "muc_nonanonymous"):
        assert f"var='{name}'".encode() in inner
    assert b"muc#roominfo_slow_mode_duration" in inner
    assert not scene.room.listing().public


@pytest.mark.parametrize(
    ("node", "condition"),
    [("http://jabber.org/protocol/muc#traffic", "service-unavailable"), ("urn:other", "item-not-found")],
)
def test_nodes(node: str, condition: str) -> None:
    iq = Stanza.build("iq", Element(NS_INFO, "query", {"node": node}), type="get", id="q", from_=BOB, to=ROOM)
    assert refused(opened(), iq).condition == condition


def test_nicks_are_listed_where_owners_want_it() -> None:
    """Section 6.5."""
    scene = opened()
    query = scene.iq(CAROL, "get", Element(ITEMS, "query")).find(ITEMS, "query")
    assert query is not None
    assert not query.children
    scene.configure(ALICE, **{"{urn:rookery:rooms}occupants": "1"})
    assert b"name='Bob'" in scene.iq(CAROL, "get", Element(ITEMS, "query")).inner


def test_a_picture_is_set_by_owners_and_told_by_its_hash() -> None:
    """XEP-0486."""
    scene = opened()
    photo = Element("vcard-temp", "PHOTO", None, Element("vcard-temp", "BINVAL", None, "aGVsbG8="))
    card = Element("vcard-temp", "vCard", None, photo)
    iq = Stanza.build("iq", card, type="set", id="q", from_=BOB, to=ROOM)
    assert refused(scene, iq).condition == "forbidden"
    scene.iq(ALICE, "set", card)
    assert codes_of(scene.got(BOB)[-1]) == {104}
    assert (
        b"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" in scene.iq(BOB, "get", Element(NS_INFO, "query")).inner
    )
    assert scene.iq(CAROL, "get", Element("vcard-temp", "vCard")).find("vcard-temp", "vCard") == card


@pytest.mark.parametrize(
    ("fields", "full", "condition"),
    [
        ({}, CAROL, ""),
        ({"membersonly": "1"}, CAROL, "forbidden"),
        ({"passwordprotectedroom": "1", "roomsecret": "x"}, CAROL, "forbidden"),
        ({"enablelogging": "0"}, ALICE, "service-unavailable"),
        ({"membersonly": "1"}, ALICE, ""),
    ],
)
def test_who_may_read_the_archive(fields: dict[str, str], full: str, condition: str) -> None:
    """XEP-0313 section 5.1.2."""
    scene = opened()
    if fields:
        scene.configure(ALICE, **fields)
    try:
        scene.room.may_read_archive(full, scene.facts(full))
        found = ""
    except StanzaError as error:
        found = error.condition
    assert found == condition


def test_real_jids_in_the_archive_are_for_who_may_see_them() -> None:
    scene = opened()
    scene.say(BOB)
    _, _, stanza, author = scene.archive[-1]
    assert b"bob@example.org" in scene.room.archive_view(stanza, author, ALICE).inner
    assert scene.room.archive_view(stanza, author, CAROL) == stanza


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_room_comes_back_from_its_rows() -> None:
    scene = opened(roomname="Tea", moderatedroom="1")
    scene.admin(ALICE, {"jid": "carol@example.org", "affiliation": "admin", "nick": "Caro"})
    scene.admin(ALICE, {"nick": "Bob", "role": "participant"})
    scene.join("bob@example.org/desk", "Bob")
    room = scene.room
    scene.reload()
    again = scene.room
    assert again.state.config == room.state.config
    assert again.state.affiliates == room.state.affiliates
    assert again.state.reserved == room.state.reserved
    assert again.state.voices == room.state.voices
    for full in room.occupants:
        before = room.entrance(full, (), scene.options)
        assert again.entrance(full, (), scene.options) == before
    assert again.pack() == room.pack()


def test_rows_that_cannot_be_read_are_left_out() -> None:
    room = Room.load(ROOM, b"\xc1", {"x@example.org": b"\xc1"}, {BOB: b"junk", CAROL: b"\x80"})
    assert room.exists
    assert not room.occupants
    assert not room.state.affiliates


def test_an_operator_makes_a_room_that_nobody_is_in() -> None:
    scene = Scene()
    fields = [Field("muc#roomconfig_roomname", ("The club",)), Field("muc#roomconfig_persistentroom", ("1",))]
    asked = owner("rooms.example", form("submit", CONFIG, fields))
    deed = scene.room.make("alice@example.org", asked, scene.facts())
    assert deed.room
    assert deed.durable
    assert scene.room.listing().name == "The club"
    assert scene.room.state.affiliate("alice@example.org").affiliation is Affiliation.OWNER
    with pytest.raises(StanzaError, match="conflict"):
        scene.room.make("bob@example.org", asked, scene.facts())


def test_a_refused_presence_says_that_it_is_of_a_room() -> None:
    error = StanzaError("forbidden")
    assert refusal(presence(BOB, "Bob"), error).payloads[-1] == (NS, "x")
    assert not refusal(Stanza.build("message", from_=BOB, to=ROOM), error).has(NS)

"""Messages to all, subject, history, slow mode, retraction and moderation (sections 7.2.14, 7.4, 7.6 to 7.7, 8.1; XEPs 0424, 0425, 0500)."""

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

from rookery.shared.xeps.multi_user_chat import NS, Options
from rookery.shared.xeps.multicast import NS as ADDRESS
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room import asking
from rookery.workers.muc.room.moderating import buried

RETRACT = "urn:xmpp:message-retract:1"
MODERATE = "urn:xmpp:message-moderate:1"


def message(full: str, *children: Element, type: str = "groupchat", to: str = ROOM) -> Stanza:
    return Stanza.build("message", *children, type=type, id="m", from_=full, to=to)


def subject(text: str = "") -> Element:
    return Element(ns.CLIENT, "subject", None, text or None)


def body(text: str = "hi") -> Element:
    return Element(ns.CLIENT, "body", None, text)


def test_a_message_goes_to_all_with_its_id() -> None:
    """Section 7.4 and muc#stable_id."""
    scene = opened()
    scene.say(BOB, "hello")
    for full in (ALICE, BOB):
        (told,) = scene.got(full)
        assert (told.from_, told.id, told.type) == (f"{ROOM}/Bob", "m", "groupchat")
        assert told.find(ns.CLIENT, "body") is not None
        assert told.find("urn:xmpp:occupant-id:0", "occupant-id") is not None
    assert scene.deed.durable
    assert scene.archive[-1].author == "bob@example.org"


@pytest.mark.parametrize(
    ("stanza", "condition", "type"),
    [
        (message(CAROL, body()), "not-acceptable", "cancel"),
        (message(BOB, body(), to=f"{ROOM}/Alice"), "bad-request", "modify"),
        (message(BOB, body("x" * 70_000)), "policy-violation", "modify"),
        (message(BOB, body(), type="chat"), "bad-request", "modify"),
        (message(BOB, subject("x")), "forbidden", "auth"),
    ],
)
def test_what_is_not_said(stanza: Stanza, condition: str, type: str) -> None:
    assert refused(opened(), stanza) == (condition, type)


def test_a_visitor_of_a_moderated_room_has_no_voice() -> None:
    scene = opened(moderatedroom="1")
    assert refused(scene, message(BOB, body())) == ("forbidden", "auth")
    assert not scene.heard


def test_messages_are_paced() -> None:
    scene = opened(Options(messages_per_second=1.0, messages_burst=2))
    scene.say(BOB)
    scene.say(BOB)
    assert refused(scene, message(BOB, body())) == ("policy-violation", "wait")
    scene.now += 1
    scene.say(BOB)


@pytest.mark.parametrize(("deliveries", "most"), [(30_000, 300), (200, 100), (20, 50)])
def test_what_was_kept_while_a_server_stood_still_may_come_at_once(
    monkeypatch: pytest.MonkeyPatch, deliveries: int, most: int
) -> None:
    """In a large room less of it."""
    monkeypatch.setattr(asking, "_DELIVERIES", deliveries)
    scene = opened(Options())
    assert len(scene.inside) == 2
    for _ in range(most):
        scene.say(BOB)
    assert refused(scene, message(BOB, body())) == ("policy-violation", "wait")


@pytest.mark.parametrize(
    ("child", "archived", "durable"),
    [
        (body(), True, True),
        (Element("http://jabber.org/protocol/chatstates", "composing"), False, False),
        (Element("urn:xmpp:reactions:0", "reactions"), True, True),
    ],
)
def test_what_the_archive_keeps(child: Element, archived: bool, durable: bool) -> None:
    scene = opened()
    deed = scene.send(message(BOB, child))
    assert (bool(scene.archive), deed.durable) == (archived, durable)


def test_what_only_the_room_may_say_is_taken_out() -> None:
    scene = opened()
    scene.say(
        BOB,
        "hi",
        Element("urn:xmpp:sid:0", "stanza-id", {"by": ROOM, "id": "forged"}),
        Element("urn:xmpp:sid:0", "stanza-id", {"by": "elsewhere.example", "id": "honest"}),
        Element("urn:xmpp:sid:0", "origin-id", {"id": "mine"}),
        Element("urn:xmpp:occupant-id:0", "occupant-id", {"id": "forged"}),
        Element(
            "http://jabber.org/protocol/muc#user",
            "x",
            None,
            Element("http://jabber.org/protocol/muc#user", "status", {"code": "100"}),
        ),
        Element("urn:xmpp:delay", "delay", {"from": ROOM, "stamp": "2020-01-01T00:00:00Z"}),
        Element(ADDRESS, "addresses", None, Element(ADDRESS, "address", {"type": "ofrom", "jid": ALICE})),
        Element(
            ADDRESS, "addresses", None, Element(ADDRESS, "address", {"type": "replyto", "jid": "b@kept"})
        ),
    )
    inner = scene.got(ALICE)[0].inner
    assert b"forged" not in inner
    assert b"status" not in inner
    assert b"delay" not in inner
    assert b"ofrom" not in inner
    assert b"b@kept" in inner
    assert b"honest" in inner
    assert b"mine" in inner


# --- subject ---------------------------------------------------------------------------------------------------------


def test_a_subject_is_told_to_who_comes_later() -> None:
    """Sections 7.2.15 and 8.1."""
    scene = opened()
    scene.send(message(ALICE, subject("tea")))
    assert scene.got(BOB)[0].from_ == f"{ROOM}/Alice"
    scene.now += 60
    told = scene.join(CAROL, "Carol")[-1]
    assert told.from_ == f"{ROOM}/Alice"
    assert told.find(ns.CLIENT, "subject") == subject("tea")
    delay = told.find("urn:xmpp:delay", "delay")
    assert delay is not None
    assert delay.get("stamp") == "2020-09-13T12:26:40.000Z"
    assert delay.get("from") == ROOM


def test_a_subject_may_be_emptied() -> None:
    scene = opened()
    scene.send(message(ALICE, subject("tea")))
    scene.send(message(ALICE, subject()))
    told = scene.join(CAROL, "Carol")[-1]
    assert told.find(ns.CLIENT, "subject") == subject()
    assert told.has("urn:xmpp:delay")


def test_a_subject_with_a_body_is_a_message() -> None:
    scene = opened()
    scene.send(message(BOB, subject("x"), body()))
    assert scene.got(ALICE)
    assert not scene.room.state.subject.at


def test_participants_may_set_it_where_that_is_configured() -> None:
    scene = opened(changesubject="1")
    scene.send(message(BOB, subject("ours")))
    assert scene.room.state.subject.from_ == f"{ROOM}/Bob"
    assert refused(scene, message(BOB, subject("x" * 5000))).condition == "policy-violation"


# --- history ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, ["m0", "m1", "m2", "m3"]),
        ({"maxstanzas": "2"}, ["m2", "m3"]),
        ({"maxstanzas": "0"}, []),
        ({"maxchars": "0"}, []),
        ({"seconds": "15"}, ["m3"]),
        ({"seconds": "25", "maxstanzas": "5"}, ["m2", "m3"]),
        ({"since": "2020-09-13T12:26:55Z"}, ["m2", "m3"]),
        ({"since": "1970-01-01T00:00:00Z", "maxstanzas": "3"}, ["m1", "m2", "m3"]),
    ],
)
def test_history_is_managed(attributes: dict[str, str], expected: list[str]) -> None:
    """Section 7.2.14."""
    scene = opened()
    for number in range(4):
        scene.say(BOB, f"m{number}")
        scene.now += 10
    told = scene.join(CAROL, "Carol", Element(NS, "history", attributes))
    bodies = [each.text for stanza in told if (each := stanza.find(ns.CLIENT, "body")) is not None]
    assert bodies == expected


def test_characters_of_history_are_those_of_whole_stanzas() -> None:
    scene = opened()
    scene.say(BOB, "m0")
    scene.say(BOB, "m1")
    whole = scene.join(CAROL, "Carol")[3:5]
    size = len(whole[1].encode())
    for limit, count in ((size, 1), (size - 1, 0), (2 * size, 2)):
        told = scene.join(CAROL, "Carol", Element(NS, "history", {"maxchars": str(limit)}))
        assert sum(stanza.has(ns.CLIENT, "body") for stanza in told) == count


@pytest.mark.parametrize(
    "attributes", [{"maxstanzas": "many"}, {"since": "yesterday"}, {"since": "2020-13-01T00:00:00Z"}]
)
def test_history_that_cannot_be_read_is_bad(attributes: dict[str, str]) -> None:
    join = Element(NS, "x", None, Element(NS, "history", attributes))
    assert refused(opened(), presence(CAROL, "Carol", join)).condition == "bad-request"


def test_owners_limit_the_history() -> None:
    scene = opened()
    scene.configure(ALICE, **{"muc#maxhistoryfetch": "1"})
    scene.say(BOB, "m0")
    scene.say(BOB, "m1")
    told = scene.join(CAROL, "Carol", Element(NS, "history", {"maxstanzas": "5"}))
    assert sum(stanza.has(ns.CLIENT, "body") for stanza in told) == 1


# --- slow mode -------------------------------------------------------------------------------------------------------


def test_slow_mode_spaces_messages_with_a_body() -> None:
    """XEP-0500 section 4; leaving and coming back does not help."""
    scene = opened(slow_mode_duration="20")
    scene.say(BOB)
    scene.send(message(BOB, Element("http://jabber.org/protocol/chatstates", "active")))
    scene.now += 5
    scene.leave(BOB, "Bob")
    scene.join(BOB, "Bob")
    assert refused(scene, message(BOB, body())) == ("policy-violation", "wait")
    scene.now += 15
    scene.say(BOB)
    scene.say(ALICE)
    scene.say(ALICE)


# --- what is taken back ----------------------------------------------------------------------------------------------


def test_an_author_takes_a_message_back() -> None:
    scene = opened()
    deed = scene.send(message(BOB, Element(RETRACT, "retract", {"id": "7"})))
    (grave,) = deed.tombstones
    assert (grave.id, grave.author) == ("7", "bob@example.org")
    scene.say(BOB, "never mind")
    left = buried(scene.archive[-1].stanza, grave.grave)
    assert not left.has(ns.CLIENT, "body")
    assert left.has(RETRACT, "retracted")
    assert left.has("urn:xmpp:occupant-id:0")
    assert left.from_ == f"{ROOM}/Bob"


def test_a_moderator_takes_a_message_back() -> None:
    scene = opened()
    reason = Element(MODERATE, "reason", None, "spam")
    request = Element(MODERATE, "moderate", {"id": "7"}, Element(RETRACT, "retract"), reason)
    assert scene.iq(ALICE, "set", request).type == "result"
    (told,) = scene.got(BOB)
    retract = told.find(RETRACT, "retract")
    assert retract is not None
    moderated = retract.find(MODERATE, "moderated")
    assert (told.from_, retract.get("id")) == (ROOM, "7")
    assert moderated is not None
    assert moderated.get("by") == f"{ROOM}/Alice"
    assert scene.archive[-1].stanza == told
    assert scene.deed.tombstones[0].author == ""
    iq = Stanza.build("iq", request, type="set", id="q", from_=BOB, to=ROOM)
    assert refused(scene, iq).condition == "forbidden"


@pytest.mark.parametrize(
    ("request_", "condition"),
    [
        (Element(MODERATE, "moderate", None, Element(RETRACT, "retract")), "bad-request"),
        (Element(MODERATE, "moderate", {"id": "7"}), "feature-not-implemented"),
    ],
)
def test_moderation_that_is_not_understood(request_: Element, condition: str) -> None:
    iq = Stanza.build("iq", request_, type="set", id="q", from_=ALICE, to=ROOM)
    assert refused(opened(), iq).condition == condition


# --- nick and status -------------------------------------------------------------------------------------------------


def test_a_nick_changes_for_all_with_303() -> None:
    """Section 7.6."""
    scene = opened()
    scene.send(presence(BOB, "Robert"))
    for full, own in ((ALICE, False), (BOB, True)):
        gone, new = scene.got(full)
        assert (gone.type, gone.from_, item_of(gone)["nick"]) == ("unavailable", f"{ROOM}/Bob", "Robert")
        assert 303 in codes_of(gone)
        assert (new.type, new.from_) == ("", f"{ROOM}/Robert")
        assert (110 in codes_of(gone), 110 in codes_of(new)) == (own, own)
    scene.say(BOB)
    assert scene.got(ALICE)[0].from_ == f"{ROOM}/Robert"


def test_a_nick_of_another_is_no_new_nick() -> None:
    scene = opened()
    assert refused(scene, presence(BOB, "ALICE")) == ("conflict", "cancel")
    scene.send(presence(BOB, "BOB"))
    assert scene.room.state.seat("bob") is not None
    assert scene.got(ALICE)[-1].from_ == f"{ROOM}/BOB"


def test_a_status_is_repeated() -> None:
    """Section 7.7."""
    scene = opened()
    scene.send(presence(BOB, "Bob", Element(ns.CLIENT, "show", None, "away")))
    assert b"<show>away</show>" in scene.got(ALICE)[0].inner
    assert not scene.deed.durable
    assert scene.deed.occupants == (BOB,)
    assert 110 in codes_of(scene.got(BOB)[0])


def test_changes_of_presence_are_paced() -> None:
    scene = opened(Options(presences_per_second=1.0, presences_burst=1))
    scene.send(presence(BOB, "Bob", Element(ns.CLIENT, "show", None, "away")))
    assert refused(scene, presence(BOB, "Bob")) == ("policy-violation", "wait")


def test_last_words_are_told() -> None:
    """Section 7.14."""
    scene = opened()
    scene.send(presence(BOB, "Bob", Element(ns.CLIENT, "status", None, "tea time"), type="unavailable"))
    (told,) = scene.got(ALICE)
    assert b"tea time" in told.inner
    assert item_of(told) == {"affiliation": "none", "jid": BOB, "role": "none"}
    assert 110 in codes_of(scene.got(BOB)[0])


def test_a_room_that_does_not_stay_ends_with_its_last_occupant() -> None:
    scene = opened()
    scene.leave(BOB)
    assert not scene.deed.removed
    scene.leave(ALICE)
    assert scene.deed.removed
    stays = opened(persistentroom="1")
    stays.leave(BOB)
    stays.leave(ALICE)
    assert not stays.deed.removed


@pytest.mark.parametrize(
    ("condition", "goes"),
    [
        ("gone", True),
        ("item-not-found", True),
        ("recipient-unavailable", True),
        ("redirect", True),
        ("remote-server-not-found", True),
        ("remote-server-timeout", True),
        ("service-unavailable", False),
        ("not-acceptable", False),
    ],
)
def test_errors_that_remove(condition: str, goes: bool) -> None:
    """Sections 9.1 and 17.3: with 333, and without 307."""
    scene = opened()
    error = Element(ns.CLIENT, "error", {"type": "cancel"}, Element(ns.STANZA_ERRORS, condition))
    scene.send(message(BOB, error, type="error"))
    assert (BOB not in scene.room.occupants) is goes
    if goes:
        assert codes_of(scene.got(ALICE)[0]) == {333}
        assert codes_of(scene.got(BOB)[0]) == {110, 333}


def test_nothing_is_said_in_a_room_that_is_not_there() -> None:
    scene = Scene()
    assert refused(scene, message(BOB, body())).condition == "item-not-found"

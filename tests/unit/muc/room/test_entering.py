"""Section 7.1 and 7.2: coming in, what one is told, who may not."""

from __future__ import annotations

import pytest
from tests.unit.muc.room.scene import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    FAST,
    ROOM,
    Scene,
    codes_of,
    item_of,
    opened,
    presence,
    refused,
)

from rookery.shared.xeps.multi_user_chat import NS, Options
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.outs import Tell

JOIN = Element(NS, "x")


def test_the_first_makes_the_room_and_owns_it() -> None:
    scene = Scene()
    told = scene.join(ALICE, "Alice")
    assert [stanza.kind for stanza in told] == ["presence", "message"]
    assert codes_of(told[0]) >= {110, 201}
    assert item_of(told[0])["affiliation"] == "owner"
    assert item_of(told[0])["role"] == "moderator"
    assert scene.deed.room
    assert scene.deed.durable
    assert scene.deed.affiliations == ("alice@example.org",)


def test_the_order_is_others_then_self_then_history_then_subject() -> None:
    """Section 7.1."""
    scene = opened()
    scene.say(BOB, "one")
    scene.say(ALICE, "two")
    told = scene.join(CAROL, "Carol")
    assert [stanza.from_ for stanza in told] == [
        f"{ROOM}/Alice",
        f"{ROOM}/Bob",
        f"{ROOM}/Carol",
        f"{ROOM}/Bob",
        f"{ROOM}/Alice",
        ROOM,
    ]
    assert 110 in codes_of(told[2])
    assert all(110 not in codes_of(stanza) for stanza in told[:2])
    for stanza in told[3:5]:
        delay = stanza.find("urn:xmpp:delay", "delay")
        assert delay is not None
        assert delay.get("from") == ROOM
    assert told[5].find(ns.CLIENT, "subject") is not None
    assert told[5].find(ns.CLIENT, "body") is None


def test_a_locked_room_does_not_exist_for_others() -> None:
    """Section 7.2.11, and 10.1.2: an instant room is unlocked by an empty form."""
    scene = Scene()
    scene.join(ALICE, "Alice")
    assert refused(scene, presence(BOB, "Bob", JOIN)).condition == "item-not-found"
    assert scene.unlock(ALICE).type == "result"
    assert scene.join(BOB, "Bob")


def test_who_leaves_a_locked_room_destroys_it() -> None:
    """Section 10.1.3."""
    scene = Scene()
    scene.join(ALICE, "Alice")
    scene.leave(ALICE, "Alice")
    assert scene.deed.removed
    assert not scene.room.exists
    assert b"<destroy" in scene.got(ALICE)[-1].inner


def test_creation_may_be_restricted() -> None:
    """Section 10.1.1."""
    scene = Scene()
    scene.may_create = False
    assert refused(scene, presence(ALICE, "Alice", JOIN)).condition == "not-allowed"
    assert not scene.room.exists
    scene.admins.add(ALICE)
    assert scene.join(ALICE, "Alice")


@pytest.mark.parametrize(
    ("fields", "nick", "condition", "type"),
    [
        ({"membersonly": "1"}, "Carol", "registration-required", "auth"),  # 7.2.7
        ({"passwordprotectedroom": "1", "roomsecret": "x"}, "Carol", "not-authorized", "auth"),  # 7.2.6
        ({}, "bob", "conflict", "cancel"),  # 7.2.9, by RFC 8266
        ({}, " Bob ", "conflict", "cancel"),
        ({}, "Ｂｏｂ", "conflict", "cancel"),
        ({}, "", "jid-malformed", "modify"),  # 7.2.1
        ({}, "a\u202eb", "jid-malformed", "modify"),
        ({}, "\u2800", "jid-malformed", "modify"),
        ({}, "\x07", "jid-malformed", "modify"),
        ({}, "n" * 1024, "policy-violation", "modify"),
        ({"maxusers": "2"}, "Carol", "service-unavailable", "wait"),  # 7.2.10
    ],
)
def test_who_does_not_come_in(fields: dict[str, str], nick: str, condition: str, type: str) -> None:
    scene = opened()
    if fields:
        scene.configure(ALICE, **fields)
    assert refused(scene, presence(CAROL, nick, JOIN)) == (condition, type)
    assert CAROL not in scene.room.occupants


def test_who_is_banned_does_not_come_in() -> None:
    """Section 7.2.8."""
    scene = opened()
    scene.admin(ALICE, {"jid": "carol@example.org", "affiliation": "outcast"})
    assert refused(scene, presence(CAROL, "Carol", JOIN)) == ("forbidden", "auth")
    scene.admin(ALICE, {"jid": "carol@example.org", "affiliation": "none"})
    assert scene.join(CAROL, "Carol")


def test_a_password_lets_in() -> None:
    scene = opened()
    scene.configure(ALICE, passwordprotectedroom="1", roomsecret="tür")
    assert scene.join(CAROL, "Carol", Element(NS, "password", None, "tür"))
    wrong = Element(NS, "x", None, Element(NS, "password", None, "tur"))
    assert refused(scene, presence(DAVE, "Dave", wrong)).condition == "not-authorized"


def test_a_full_room_has_a_place_for_its_admins() -> None:
    """Section 7.2.10."""
    scene = opened()
    scene.configure(ALICE, maxusers="2")
    scene.admin(ALICE, {"jid": "carol@example.org", "affiliation": "admin"})
    assert scene.join(CAROL, "Carol")


def test_several_sessions_share_a_nick() -> None:
    """Section 7.2.9: in-room messages go to all of them, others see one occupant."""
    scene = opened()
    told = scene.join("bob@example.org/desk", "Bob")
    assert {stanza.from_ for stanza in told if stanza.kind == "presence"} == {f"{ROOM}/Alice", f"{ROOM}/Bob"}
    scene.quiet()
    scene.say(ALICE)
    assert scene.got(BOB)
    assert scene.got("bob@example.org/desk")
    scene.leave("bob@example.org/desk", "Bob")
    assert all(stanza.type != "unavailable" for stanza in scene.got(ALICE))
    scene.leave(BOB, "Bob")
    assert [stanza.type for stanza in scene.got(ALICE)] == ["unavailable"]


def test_sessions_of_an_account_are_bounded() -> None:
    scene = opened(Options(sessions_max=1))
    assert refused(scene, presence("bob@example.org/desk", "Bob", JOIN)).condition == "resource-constraint"


def test_joins_are_paced() -> None:
    scene = Scene(Options(joins_per_second=1.0, joins_burst=2))
    scene.join(ALICE, "Alice")
    scene.unlock(ALICE)
    scene.join(BOB, "Bob")
    assert refused(scene, presence(CAROL, "Carol", JOIN)) == ("resource-constraint", "wait")
    scene.now += 1.0
    assert scene.join(CAROL, "Carol")


@pytest.mark.parametrize("old", [False, True])
def test_presence_without_the_element_is_a_setting(old: bool) -> None:
    """Section 7.2.17: who is not in and shows presence is told so with 110, 307 and 333."""
    scene = opened(Options(old_joins=old))
    scene.send(presence(CAROL, "Carol"))
    told = scene.got(CAROL)
    if old:
        assert CAROL in scene.room.occupants
    else:
        assert CAROL not in scene.room.occupants
        assert [(stanza.type, codes_of(stanza)) for stanza in told] == [("unavailable", {110, 307, 333})]


def test_a_join_again_tells_all_again() -> None:
    """Section 7.2.1."""
    scene = opened()
    first = scene.join(CAROL, "Carol")
    assert [stanza.inner for stanza in scene.join(CAROL, "Carol")] == [stanza.inner for stanza in first]


def test_a_join_that_comes_once_more_is_not_another_one() -> None:
    """Its sender was not told that it was taken: the process that took it died, and so did who knew that it had been said."""
    scene = opened()
    scene.streams[CAROL], scene.number = b"session", 5
    assert scene.join(CAROL, "Carol")
    scene.reload()
    assert scene.join(CAROL, "Carol") == []
    scene.number = 6
    assert scene.join(CAROL, "Carol")
    scene.streams[CAROL], scene.number = b"another", 2
    assert scene.join(CAROL, "Carol")
    assert scene.join(CAROL, "Carol") == []


def test_the_end_of_a_replaced_session_does_not_put_the_new_one_out() -> None:
    """Its resource was taken by another one, which came in before the room heard of the end."""
    scene = opened()
    scene.streams[CAROL] = b"old"
    scene.join(CAROL, "Carol")
    scene.streams[CAROL] = b"new"
    scene.join(CAROL, "Carol")
    assert scene.room.occupants[CAROL].stream == b"new"
    assert scene.deed.durable
    scene.ended = True
    scene.streams[CAROL] = b"old"
    scene.leave(CAROL, "Carol")
    assert scene.deed.outs == []
    assert CAROL in scene.room.occupants
    scene.streams[CAROL] = b"new"
    scene.leave(CAROL, "Carol")
    assert CAROL not in scene.room.occupants


@pytest.mark.parametrize("nick", ["Carol", "Caroline"])
def test_a_session_that_replaces_another_is_let_in_itself(nick: str) -> None:
    """Its entrance says for which session it is: the former one's may still be on its way to the same full JID."""
    scene = opened()
    scene.streams[CAROL] = b"old"
    scene.join(CAROL, "Carol")
    assert [out.stream for out in scene.deed.outs if isinstance(out, Tell) and out.entrance] == [b"old"]
    scene.streams[CAROL] = b"new"
    told = scene.join(CAROL, nick)
    assert [out.stream for out in scene.deed.outs if isinstance(out, Tell) and out.entrance] == [b"new"]
    assert told[-1].kind == "message", "all that somebody hears who comes in, the subject last"
    assert scene.room.occupants[CAROL].nick == nick


@pytest.mark.parametrize(("known", "ended"), [(b"", True), (b"old", False)])
def test_an_end_counts_where_the_session_is_not_known_and_a_wish_always(known: bytes, ended: bool) -> None:
    scene = opened()
    scene.streams[CAROL] = known
    scene.join(CAROL, "Carol")
    scene.streams[CAROL], scene.ended = b"new", ended
    scene.leave(CAROL, "Carol")
    assert CAROL not in scene.room.occupants


def test_only_moderators_see_real_jids_in_a_semi_anonymous_room() -> None:
    """Section 7.2.4."""
    scene = opened()
    told = scene.join(CAROL, "Carol")
    assert [("jid" in item_of(stanza)) for stanza in told[:3]] == [False, False, True]
    assert item_of(scene.got(ALICE)[-1])["jid"] == CAROL
    assert "jid" not in item_of(scene.got(BOB)[-1])


def test_everybody_sees_real_jids_in_a_non_anonymous_room() -> None:
    """Section 7.2.3: and is warned with 100."""
    scene = opened()
    scene.configure(ALICE, whois="anyone")
    scene.quiet()
    told = scene.join(CAROL, "Carol")
    assert [item_of(stanza)["jid"] for stanza in told[:3]] == [ALICE, BOB, CAROL]
    assert 100 in codes_of(told[2])
    assert item_of(scene.got(BOB)[-1])["jid"] == CAROL


@pytest.mark.parametrize(
    ("fields", "warned"),
    [
        ({}, True),
        ({"enablelogging": "0"}, False),
        ({"membersonly": "1"}, False),
    ],
)
def test_who_enters_is_warned_when_everybody_may_read_what_is_said(
    fields: dict[str, str], warned: bool
) -> None:
    """Section 7.2.13."""
    scene = opened()
    scene.admin(ALICE, {"jid": "carol@example.org", "affiliation": "member"})
    if fields:
        scene.configure(ALICE, **fields)
    own = next(stanza for stanza in scene.join(CAROL, "Carol") if stanza.from_ == f"{ROOM}/Carol")
    assert (170 in codes_of(own)) is warned


def test_what_only_the_room_may_say_is_not_repeated() -> None:
    """Section 16.3; XEP-0421 section 3."""
    scene = opened()
    forged = (
        Element("http://jabber.org/protocol/muc#user", "x"),
        Element("urn:xmpp:occupant-id:0", "occupant-id", {"id": "forged"}),
        Element("urn:xmpp:hats:0", "hats"),
        Element(ns.CLIENT, "show", None, "away"),
    )
    scene.send(presence(CAROL, "Carol", JOIN, *forged))
    seen = scene.got(BOB)[-1]
    assert b"forged" not in seen.inner
    assert b"hats" not in seen.inner
    assert [payload for _, payload in seen.payloads] == ["show", "x", "occupant-id"]


@pytest.mark.parametrize("type", ["probe", "subscribe", "unsubscribed"])
def test_other_presences_do_nothing(type: str) -> None:
    """Section 16.3."""
    scene = opened()
    assert not scene.send(presence(CAROL, "Carol", type=type)).outs
    assert CAROL not in scene.room.occupants
    scene.send(presence(CAROL, "Carol", type="unavailable"))
    assert not scene.heard


def test_large_presences_are_refused() -> None:
    scene = opened()
    text = Element(ns.CLIENT, "status", None, "x" * 2000)
    assert refused(scene, presence(BOB, "Bob", text)).condition == "policy-violation"
    junk = Element("urn:example", "junk", None, "x" * 10_000)
    assert refused(scene, presence(CAROL, "Carol", JOIN, junk)).condition == "policy-violation"


def test_a_large_room_shows_newcomers_to_moderators_only() -> None:
    scene = opened(Options(large=2))
    told = scene.join(CAROL, "Carol")
    assert 110 in codes_of(told[-2])
    assert [stanza.from_ for stanza in scene.got(ALICE)] == [f"{ROOM}/Carol"]
    assert not scene.got(BOB)
    # Nor is the newcomer told of more than of those who moderate, whoever holds the room meanwhile.
    others = [stanza.from_ for stanza in told if stanza.kind == "presence"]
    assert others == [f"{ROOM}/Alice", f"{ROOM}/Carol"]
    again = scene.room.entrance(CAROL, (), scene.facts(CAROL).options)
    assert [stanza.from_ for stanza in again if stanza.kind == "presence"] == others
    scene.leave(CAROL, "Carol")
    assert [stanza.type for stanza in scene.got(ALICE)] == ["unavailable"]
    assert not scene.got(BOB)


def test_who_came_into_a_crowd_is_shown_when_it_is_none_any_more() -> None:
    scene = opened(Options(large=2))
    scene.join(CAROL, "Carol")
    scene.leave(ALICE, "Alice")
    assert scene.room.late
    scene.quiet()
    scene.take(scene.room.introduce(scene.facts(BOB)))
    assert [stanza.from_ for stanza in scene.got(BOB)] == [f"{ROOM}/Carol"]
    assert not scene.room.late


def test_who_comes_in_with_too_many_others_is_shown_later() -> None:
    """Moderators see everybody at once; all others within the rate, whoever holds the room meanwhile."""
    scene = opened(Options(introductions_per_second=100, introductions_burst=1000))
    scene.room.state.telling.configure(1, 0).spend(scene.now, 0)
    told = scene.join(CAROL, "Carol")
    assert 110 in codes_of(told[-2])
    assert [stanza.from_ for stanza in scene.got(ALICE)] == [f"{ROOM}/Carol"]
    assert not scene.got(BOB)
    assert scene.room.late
    scene.quiet()
    for seconds, shown in ((0.0, False), (1.0, True)):
        scene.now += seconds
        scene.take(scene.room.introduce(scene.facts(ALICE)))
        assert [stanza.from_ for stanza in scene.got(BOB)] == [f"{ROOM}/Carol"] * shown
        assert scene.room.late is (not shown)
    assert not scene.got(CAROL)
    scene.leave(CAROL, "Carol")
    assert [stanza.type for stanza in scene.got(BOB)] == ["unavailable"]


def test_a_role_may_be_hidden() -> None:
    """muc#roomconfig_presencebroadcast (section 7.2.2)."""
    scene = opened(FAST)
    scene.configure(ALICE, presencebroadcast=("moderator",))
    assert [stanza.type for stanza in scene.got(BOB) if stanza.kind == "presence"] == [""]
    scene.quiet()
    told = scene.join(CAROL, "Carol")
    assert f"{ROOM}/Bob" not in {stanza.from_ for stanza in told}
    assert not scene.got(BOB)
    assert scene.got(ALICE)


def test_an_unknown_presence_type_is_bad() -> None:
    scene = opened()
    with pytest.raises(StanzaError, match="bad-request"):
        scene.send(Stanza.build("presence", type="dance", from_=CAROL, to=f"{ROOM}/x"))


def test_who_is_banned_from_the_service_comes_into_no_room_and_makes_none() -> None:
    scene = opened()
    scene.banned.add(CAROL)
    assert refused(scene, presence(CAROL, "Carol", Element(NS, "x"))).condition == "forbidden"
    new = Scene()
    new.banned.add(CAROL)
    assert refused(new, presence(CAROL, "Carol", Element(NS, "x"))).condition == "forbidden"
    assert not new.room.exists


def test_who_is_on_a_list_of_senders_comes_in_where_an_affiliation_says_so() -> None:
    scene = opened()
    scene.senders |= {BOB, CAROL, DAVE}
    assert refused(scene, presence(CAROL, "Carol", JOIN)).condition == "forbidden"
    scene.send(scene.admin(ALICE, {"affiliation": "member", "jid": "dave@example.org"}))
    scene.join(DAVE, "Dave")
    assert DAVE in scene.room.occupants
    assert scene.room.unaffiliated("bob@example.org")
    assert not scene.room.unaffiliated("dave@example.org")
    new = Scene()
    new.senders.add(CAROL)
    assert refused(new, presence(CAROL, "Carol", JOIN)).condition == "forbidden"


def test_who_is_banned_from_the_service_leaves_with_301() -> None:
    scene = opened()
    scene.take(scene.room.expel("bob@example.org", "spam", scene.facts()))
    assert BOB not in scene.room.occupants
    (told,) = scene.got(BOB)
    assert codes_of(told) == {110, 301}
    (seen,) = scene.got(ALICE)
    assert codes_of(seen) == {301}
    assert b"<reason>spam</reason>" in seen.inner
    assert "bob@example.org" not in scene.room.state.affiliates, "the room's own lists are its owners'"

"""Roles and affiliations (sections 8 to 10): every row of the tables of section 5, and what occupants hear."""

from __future__ import annotations

import itertools

import pytest
from tests.unit.muc.room.scene import ALICE, BOB, CAROL, DAVE, ROOM, Scene, codes_of, item_of, opened, refused

from rookery.shared.xeps.multi_user_chat import ADMIN
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room.privileges import (
    AFFILIATION_CHANGES,
    BY_AFFILIATION,
    BY_ROLE,
    INITIAL_ROLE,
    ROLE_CHANGES,
    Standing,
    may_change_affiliation,
    may_change_role,
)
from rookery.workers.muc.room.values import Affiliation, Role


def asked(full: str, *items: dict[str, str], type: str = "set") -> Stanza:
    query = Element(ADMIN, "query", None, *(Element(ADMIN, "item", dict(item)) for item in items))
    return Stanza.build("iq", query, type=type, id="q", from_=full, to=ROOM)


def peopled(**fields: str) -> Scene:
    """Alice owns, Bob is nobody, Carol is an admin, Dave a member; all are in."""
    scene = opened(**fields)
    scene.admin(ALICE, {"jid": "carol@example.org", "affiliation": "admin"})
    scene.admin(ALICE, {"jid": "dave@example.org", "affiliation": "member"})
    scene.join(CAROL, "Carol")
    scene.join(DAVE, "Dave")
    scene.quiet()
    return scene


def test_the_tables_are_whole() -> None:
    assert set(itertools.permutations(Affiliation, 2)) == set(AFFILIATION_CHANGES)
    present = [role for role in Role if role is not Role.NONE]
    assert {(old, new) for old in present for new in Role if old is not new} == set(ROLE_CHANGES)
    assert len(INITIAL_ROLE) == 8
    assert not set(BY_ROLE) & set(BY_AFFILIATION)


@pytest.mark.parametrize("actor", list(Affiliation))
@pytest.mark.parametrize("pair", sorted(AFFILIATION_CHANGES))
def test_who_may_change_an_affiliation(actor: Affiliation, pair: tuple[Affiliation, Affiliation]) -> None:
    """Section 5.2.2: admins between outcast, none and member; owners all."""
    low = max(pair) <= Affiliation.MEMBER
    expected = actor is Affiliation.OWNER or (actor is Affiliation.ADMIN and low)
    assert may_change_affiliation(actor, *pair) is expected


@pytest.mark.parametrize(
    ("actor", "whose", "old", "new", "allowed"),
    [
        ("none moderator", "none", "participant", "none", True),  # 8.2 kick
        ("none moderator", "none", "participant", "visitor", True),  # 8.4
        ("none moderator", "none", "visitor", "participant", True),  # 8.3
        ("none moderator", "member", "participant", "none", False),
        ("none moderator", "none", "moderator", "none", False),
        ("none moderator", "none", "participant", "moderator", False),  # 9.6
        ("member moderator", "admin", "moderator", "none", False),
        ("member moderator", "member", "participant", "visitor", False),  # 8.4: an equal
        ("admin moderator", "none", "participant", "moderator", True),
        ("admin moderator", "none", "moderator", "participant", True),  # 9.7
        ("admin moderator", "admin", "moderator", "participant", False),
        ("admin moderator", "owner", "moderator", "none", False),
        ("admin moderator", "admin", "moderator", "none", True),
        ("owner moderator", "admin", "moderator", "visitor", False),  # 8.4: nobody takes it
        ("owner moderator", "owner", "moderator", "none", True),
        ("owner none", "none", "participant", "none", True),
        ("none participant", "none", "participant", "none", False),
        ("member visitor", "none", "visitor", "participant", False),
    ],
)
def test_who_may_change_a_role(actor: str, whose: str, old: str, new: str, allowed: bool) -> None:
    affiliation, _, role = actor.partition(" ")
    standing = Standing(Affiliation[affiliation.upper()], Role[role.upper()])
    found = may_change_role(standing, Affiliation[whose.upper()], Role[old.upper()], Role[new.upper()])
    assert found is allowed


# --- roles -----------------------------------------------------------------------------------------------------------


def test_a_kick_is_told_with_307_actor_and_reason() -> None:
    """Section 8.2."""
    scene = peopled()
    scene.admin(ALICE, {"nick": "Bob", "role": "none"}, reason="noise")
    (mine,) = scene.got(BOB)
    assert codes_of(mine) == {110, 307}
    for full in (CAROL, DAVE):
        told = scene.got(full)[-1]
        assert codes_of(told) == {307}
        assert item_of(told)["role"] == "none"
        assert b"<actor nick='Alice'/>" in told.inner
        assert b"<reason>noise</reason>" in told.inner
    assert BOB not in scene.room.occupants
    assert [(note.event, note.actor, note.target) for note in scene.notes][-1] == (
        "kicked",
        "alice@example.org",
        "bob@example.org",
    )


def test_voice_is_given_and_taken() -> None:
    """Sections 8.3 to 8.5; a moderated room remembers it (section 5.1)."""
    scene = peopled(moderatedroom="1")
    assert [item["nick"] for item in scene.listed(ALICE, role="visitor")] == ["Bob"]
    scene.admin(ALICE, {"nick": "Bob", "role": "participant"})
    assert item_of(scene.got(DAVE)[-1])["role"] == "participant"
    scene.leave(BOB, "Bob")
    scene.join(BOB, "Bob")
    assert scene.room.occupants[BOB].seat.role is Role.PARTICIPANT
    scene.admin(ALICE, {"nick": "Bob", "role": "visitor"})
    assert {item["nick"] for item in scene.listed(ALICE, role="participant")} == {"Dave"}
    assert refused(scene, asked(ALICE, {"nick": "Carol", "role": "visitor"})).condition == "not-allowed"


def test_a_new_moderator_learns_real_jids() -> None:
    """Section 9.6, in a semi-anonymous room."""
    scene = peopled()
    scene.admin(ALICE, {"nick": "Dave", "role": "moderator"})
    told = scene.got(DAVE)
    assert {item_of(stanza).get("jid") for stanza in told if stanza.kind == "presence"} >= {ALICE, BOB, CAROL}


@pytest.mark.parametrize(
    ("full", "item", "condition"),
    [
        (BOB, {"nick": "Dave", "role": "none"}, "forbidden"),
        (CAROL, {"nick": "Alice", "role": "none"}, "not-allowed"),
        (CAROL, {"nick": "Alice", "role": "participant"}, "not-allowed"),
        (ALICE, {"nick": "Nobody", "role": "none"}, "item-not-found"),
        (ALICE, {"nick": "Bob", "role": "king"}, "bad-request"),
        (ALICE, {"role": "none"}, "bad-request"),
        (ALICE, {"nick": "Bob"}, "bad-request"),
        (
            ALICE,
            {"nick": "Bob", "role": "none", "affiliation": "none", "jid": "bob@example.org"},
            "bad-request",
        ),
        (ALICE, {"jid": "alice@example.org", "affiliation": "outcast"}, "conflict"),  # 9.1
        (ALICE, {"jid": "alice@example.org", "affiliation": "none"}, "conflict"),  # 10.4
        (CAROL, {"jid": "alice@example.org", "affiliation": "outcast"}, "not-allowed"),  # 9.1
        (CAROL, {"jid": "bob@example.org", "affiliation": "admin"}, "forbidden"),  # 10.8
        (DAVE, {"jid": "bob@example.org", "affiliation": "member"}, "forbidden"),
        (ALICE, {"jid": "@", "affiliation": "member"}, "jid-malformed"),
        (ALICE, {"jid": "example.net", "affiliation": "member"}, "not-acceptable"),
        (ALICE, {"jid": "x@example.org", "affiliation": "friend"}, "bad-request"),
        (ALICE, {"affiliation": "member"}, "bad-request"),
        (ALICE, {"nick": "Nobody", "affiliation": "outcast"}, "item-not-found"),
        (ALICE, {"jid": "x@example.org", "affiliation": "member", "nick": "\u200b"}, "jid-malformed"),
    ],
)
def test_what_is_refused(full: str, item: dict[str, str], condition: str) -> None:
    scene = peopled()
    before = dict(scene.room.state.affiliates)
    assert refused(scene, asked(full, item)).condition == condition
    assert scene.room.state.affiliates == before
    assert len(scene.room.occupants) == 4


def test_one_item_that_is_refused_refuses_all() -> None:
    """Section 9.2."""
    scene = peopled()
    items = ({"jid": "bob@example.org", "affiliation": "outcast"}, {"jid": "x", "affiliation": "king"})
    assert refused(scene, asked(ALICE, *items)).condition == "bad-request"
    assert BOB in scene.room.occupants
    assert (
        refused(scene, asked(ALICE, *({"nick": "x", "role": "none"},) * 501)).condition == "policy-violation"
    )
    assert refused(scene, asked(ALICE)).condition == "bad-request"


# --- affiliations ----------------------------------------------------------------------------------------------------


def test_a_ban_is_told_with_301_and_lasts() -> None:
    """Section 9.1: by bare JID, all sessions go, reason and actor are told."""
    scene = peopled()
    scene.join("bob@example.org/desk", "Bob")
    scene.quiet()
    scene.admin(CAROL, {"jid": BOB, "affiliation": "outcast"}, reason="spam")
    for full in (BOB, "bob@example.org/desk"):
        assert codes_of(scene.got(full)[-1]) == {110, 301}
    told = scene.got(DAVE)
    assert [codes_of(stanza) for stanza in told] == [{301}]
    assert item_of(told[0])["affiliation"] == "outcast"
    assert scene.listed(ALICE, affiliation="outcast") == [
        {"affiliation": "outcast", "jid": "bob@example.org"}
    ]


def test_a_whole_domain_can_be_banned() -> None:
    """Section 9.2: whoever has an affiliation of his own stays."""
    scene = peopled()
    scene.admin(ALICE, {"jid": "example.org", "affiliation": "outcast"})
    assert set(scene.room.occupants) == {ALICE, CAROL, DAVE}
    assert codes_of(scene.got(DAVE)[-1]) == {301}
    assert (
        refused(
            scene,
            Stanza.build(
                "presence", Element("http://jabber.org/protocol/muc", "x"), from_=BOB, to=f"{ROOM}/Bob"
            ),
        ).condition
        == "forbidden"
    )


def test_membership_is_told_and_loses_a_place_in_a_room_for_members() -> None:
    """Sections 9.3 and 9.4: only the removal is told, with 321."""
    scene = peopled()
    scene.configure(ALICE, membersonly="1")
    assert codes_of(scene.got(BOB)[-1]) == {110, 322}
    scene.quiet()
    scene.admin(ALICE, {"jid": "dave@example.org", "affiliation": "none"})
    (told,) = [stanza for stanza in scene.got(CAROL) if stanza.kind == "presence"]
    assert (told.type, codes_of(told)) == ("unavailable", {321})
    assert DAVE not in scene.room.occupants


def test_a_new_member_of_a_room_for_members_is_invited() -> None:
    """Section 9.5."""
    scene = opened()
    scene.configure(ALICE, membersonly="1", passwordprotectedroom="1", roomsecret="s3")
    scene.admin(ALICE, {"jid": "carol@example.org", "affiliation": "member"})
    (invitation,) = scene.got("carol@example.org")
    assert b"<invite" in invitation.inner
    assert b"<password>s3</password>" in invitation.inner


def test_an_admin_is_a_moderator_and_is_told_so() -> None:
    """Sections 10.3 and 10.6."""
    scene = peopled()
    scene.admin(ALICE, {"jid": "bob@example.org", "affiliation": "admin"})
    told = next(stanza for stanza in scene.got(DAVE) if stanza.kind == "presence")
    assert (item_of(told)["affiliation"], item_of(told)["role"]) == ("admin", "moderator")
    scene.admin(ALICE, {"jid": "bob@example.org", "affiliation": "none"})
    told = next(stanza for stanza in scene.got(DAVE) if stanza.kind == "presence")
    assert (item_of(told)["affiliation"], item_of(told)["role"]) == ("none", "participant")


def test_an_owner_may_go_when_another_stays() -> None:
    """Section 10.4."""
    scene = peopled()
    scene.admin(ALICE, {"jid": "carol@example.org", "affiliation": "owner"})
    scene.admin(ALICE, {"jid": "alice@example.org", "affiliation": "admin"})
    assert scene.room.state.owners == 1
    swap = (
        {"jid": "carol@example.org", "affiliation": "none"},
        {"jid": "bob@example.org", "affiliation": "owner"},
    )
    scene.admin(CAROL, *swap)
    assert scene.room.state.owners == 1


def test_who_is_told_of_an_affiliation_of_somebody_outside() -> None:
    scene = peopled()
    scene.admin(ALICE, {"jid": "eve@example.org", "affiliation": "member"})
    assert any(b"eve@example.org" in stanza.inner for stanza in scene.got(CAROL))
    assert not scene.got(DAVE)


@pytest.mark.parametrize(
    ("which", "semi", "non"),
    [
        ("outcast", {ALICE, CAROL}, {ALICE, CAROL}),
        ("member", {ALICE, CAROL}, {ALICE, CAROL, DAVE, BOB}),
        ("admin", {ALICE}, {ALICE, CAROL, DAVE, BOB}),
        ("owner", {ALICE}, {ALICE, CAROL, DAVE, BOB}),
    ],
)
def test_who_may_read_a_list(which: str, semi: set[str], non: set[str]) -> None:
    """Sections 9.2, 9.5, 10.5, 10.8."""
    for whois, allowed in (("moderators", semi), ("anyone", non)):
        scene = peopled()
        scene.configure(ALICE, whois=whois)
        for full in (ALICE, BOB, CAROL, DAVE):
            if full in allowed:
                assert scene.listed(full, affiliation=which) is not None
            else:
                assert (
                    refused(scene, asked(full, {"affiliation": which}, type="get")).condition == "forbidden"
                )


def test_a_reserved_nick_comes_with_an_affiliation() -> None:
    """Section 9.5: and "" takes it away."""
    scene = peopled()
    scene.admin(ALICE, {"jid": "dave@example.org", "affiliation": "member", "nick": "Sir"})
    assert refused(scene, Stanza.build("presence", from_=BOB, to=f"{ROOM}/SIR")).condition == "conflict"
    assert (
        refused(
            scene, asked(ALICE, {"jid": "bob@example.org", "affiliation": "member", "nick": "sir"})
        ).condition
        == "conflict"
    )
    scene.admin(ALICE, {"jid": "dave@example.org", "affiliation": "member", "nick": ""})
    scene.send(Stanza.build("presence", from_=BOB, to=f"{ROOM}/SIR"))
    assert scene.room.occupants[BOB].nick == "SIR"


def test_whoever_administers_the_service_is_an_owner_everywhere() -> None:
    scene = peopled(membersonly="0")
    scene.admins.add(BOB)
    scene.admin(
        BOB,
        {"jid": "alice@example.org", "affiliation": "admin"},
        {"jid": "carol@example.org", "affiliation": "owner"},
    )
    assert scene.room.state.affiliate("alice@example.org").affiliation is Affiliation.ADMIN


def test_an_account_that_is_gone_is_nothing_any_more() -> None:
    """Who has its name next is somebody else; also where it was the last owner, and nobody can take that from it."""
    scene = opened()
    bare, facts = ALICE.partition("/")[0], scene.facts()
    own = Stanza.build("presence", from_=ROOM, to=ROOM)
    deed = scene.room.unlist(bare, own, facts)
    scene.take(deed)
    assert deed.affiliations == (bare,)
    assert scene.room.pack_affiliation(bare) is None
    (told,) = scene.got(BOB)
    assert b"affiliation='none'" in told.inner
    again = scene.room.unlist(bare, own, facts)
    assert (again.affiliations, again.outs) == ((), [])

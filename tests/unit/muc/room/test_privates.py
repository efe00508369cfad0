"""What is for one occupant, for the room alone, or for the service (sections 6, 7.5, 7.8, 7.13, 8.6, 16.4; XEPs 0410, 0433)."""

from __future__ import annotations

import pytest
from tests.unit.muc.room.scene import ALICE, BOB, CAROL, ROOM, Scene, opened, refused

from rookery.shared.xeps.channel_search import PARAMS, SEARCH
from rookery.shared.xeps.data_forms import Field, form, values
from rookery.shared.xeps.multi_user_chat import REQUEST, USER
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.outs import Send
from rookery.workers.muc.room.service_iqs import Listed, ServiceView, service_iq
from rookery.workers.muc.room.values import Affiliation, Role

PING = Element("urn:xmpp:ping", "ping")
BODY = Element(ns.CLIENT, "body", None, "psst")


def private(full: str, nick: str = "Alice", type: str = "chat") -> Stanza:
    return Stanza.build("message", BODY, type=type, id="m", from_=full, to=f"{ROOM}/{nick}")


def test_a_private_message_comes_from_the_occupant_jid() -> None:
    """Section 7.5."""
    scene = opened()
    scene.join("alice@example.org/desk", "Alice")
    scene.quiet()
    deed = scene.send(private(BOB))
    for full in (ALICE, "alice@example.org/desk"):
        (told,) = scene.got(full)
        assert (told.from_, told.type, told.id) == (f"{ROOM}/Bob", "chat", "m")
        assert told.has(USER, "x")
        assert b"bob@" not in told.inner
    assert [out.relayed for out in deed.outs if isinstance(out, Send)] == [True, False]
    assert not scene.archive


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        (private(BOB, "Nobody"), "item-not-found"),
        (private(CAROL), "not-acceptable"),
        (private(BOB, type="groupchat"), "bad-request"),
    ],
)
def test_private_messages_that_are_refused(stanza: Stanza, condition: str) -> None:
    assert refused(opened(), stanza).condition == condition


@pytest.mark.parametrize(
    ("allowed", "bob", "alice"),
    [
        ("anyone", True, True),
        ("participants", True, True),
        ("moderators", False, True),
        ("none", False, False),
    ],
)
def test_who_may_send_private_messages(allowed: str, bob: bool, alice: bool) -> None:
    scene = opened(allowpm=allowed)
    for stanza, may in ((private(BOB), bob), (private(ALICE, "Bob"), alice)):
        if may:
            scene.send(stanza)
        else:
            assert refused(scene, stanza).condition == "forbidden"


def test_only_a_private_message_that_did_not_arrive_comes_back_to_its_sender() -> None:
    """Section 17.3 names what removes an occupant; any other error of a message to all is nobody's."""
    scene = opened()
    scene.say(ALICE)
    (said,) = scene.got(BOB)
    error = StanzaError("service-unavailable")
    scene.quiet()
    scene.send(said.replace(to=BOB).error(error))
    assert scene.heard == {}
    scene.send(private(ALICE, "Bob"))
    (whispered,) = scene.got(BOB)
    scene.send(whispered.error(error))
    (told,) = scene.got(ALICE)
    assert (told.type, told.from_, told.id) == ("error", f"{ROOM}/Bob", whispered.id)
    assert BOB in scene.room.occupants


def request(full: str, nick: str, payload: Element = PING, type: str = "get", id: str = "q") -> Stanza:
    return Stanza.build("iq", payload, type=type, id=id, from_=full, to=f"{ROOM}/{nick}")


def test_a_self_ping_is_answered_by_the_room() -> None:
    """XEP-0410 section 4."""
    scene = opened()
    scene.send(request(BOB, "Bob"))
    assert scene.got(BOB)[0].type == "result"
    assert refused(scene, request(CAROL, "Carol")) == ("not-acceptable", "cancel")
    assert refused(scene, request(BOB, "Robert")).condition == "item-not-found"


def test_a_request_is_relayed_and_its_answer_comes_back() -> None:
    """Section 16.4: neither learns the other's real JID; forged answers go nowhere."""
    scene = opened()
    scene.send(request(BOB, "Alice"))
    (asked,) = scene.got(ALICE)
    assert asked.from_ == f"{ROOM}/Bob"
    assert "bob@" not in asked.id
    scene.send(Stanza.build("iq", type="result", id=asked.id, from_=ALICE, to=asked.from_))
    (answer,) = scene.got(BOB)
    assert (answer.from_, answer.id, answer.type) == (f"{ROOM}/Alice", "q", "result")
    scene.send(Stanza.build("iq", type="result", id="q" * 33, from_=ALICE, to=f"{ROOM}/Bob"))
    scene.send(Stanza.build("iq", type="result", id=asked.id, from_=CAROL, to=f"{ROOM}/Bob"))
    assert not scene.heard


def test_a_card_is_asked_of_the_account() -> None:
    scene = opened()
    scene.send(request(BOB, "Alice", Element("vcard-temp", "vCard")))
    (asked,) = scene.got("alice@example.org")
    scene.send(Stanza.build("iq", type="result", id=asked.id, from_="alice@example.org", to=asked.from_))
    assert scene.got(BOB)[0].from_ == f"{ROOM}/Alice"


def test_only_occupants_ask_occupants() -> None:
    """Section 6.6."""
    info = Element("http://jabber.org/protocol/disco#info", "query")
    assert refused(opened(), request(CAROL, "Alice", info)).condition == "bad-request"


# --- invitations -----------------------------------------------------------------------------------------------------


def invited(full: str, *to: str) -> Stanza:
    reason = Element(USER, "reason", None, "tea")
    invites = [Element(USER, "invite", {"to": one}, reason) for one in to]
    return Stanza.build("message", Element(USER, "x", None, *invites), id="i", from_=full, to=ROOM)


def test_an_invitation_is_passed_on() -> None:
    """Section 7.8.2."""
    scene = opened()
    scene.send(invited(BOB, "carol@example.org", "dave@example.org/home"))
    assert (
        b"<invite from='bob@example.org'><reason>tea</reason></invite>"
        in scene.got("carol@example.org")[0].inner
    )
    assert scene.got("dave@example.org/home")[0].from_ == ROOM
    assert scene.room.state.affiliate("carol@example.org").affiliation is Affiliation.NONE


def test_members_may_invite_where_that_is_configured() -> None:
    """Section 9.5: the invited are members then."""
    scene = opened()
    scene.admin(ALICE, {"jid": "bob@example.org", "affiliation": "member"})
    scene.configure(ALICE, membersonly="1")
    assert refused(scene, invited(BOB, "carol@example.org")).condition == "forbidden"
    scene.configure(ALICE, allowinvites="1")
    scene.send(invited(BOB, "carol@example.org"))
    assert scene.room.state.affiliate("carol@example.org").affiliation is Affiliation.MEMBER


def test_a_decline_goes_to_who_may_have_invited() -> None:
    scene = opened()
    decline = Element(USER, "decline", {"to": "bob@example.org"}, Element(USER, "reason", None, "busy"))
    scene.send(Stanza.build("message", Element(USER, "x", None, decline), from_=CAROL, to=ROOM))
    assert b"<decline from='carol@example.org'><reason>busy</reason>" in scene.got("bob@example.org")[0].inner
    stranger = Element(USER, "x", None, Element(USER, "decline", {"to": "eve@example.org"}))
    assert (
        refused(scene, Stanza.build("message", stranger, from_=CAROL, to=ROOM)).condition == "item-not-found"
    )


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        (invited(CAROL, "dave@example.org"), "not-acceptable"),
        (invited(BOB, "@"), "jid-malformed"),
        (invited(BOB, *(["x@example.org"] * 51)), "policy-violation"),
    ],
)
def test_invitations_that_are_refused(stanza: Stanza, condition: str) -> None:
    assert refused(opened(), stanza).condition == condition


# --- voice -----------------------------------------------------------------------------------------------------------


def voice(full: str, **fields: str) -> Stanza:
    x = form("submit", REQUEST, [Field(f"muc#{name}", (value,)) for name, value in fields.items()])
    return Stanza.build("message", x, from_=full, to=ROOM)


def test_a_visitor_asks_for_voice_and_gets_it() -> None:
    """Sections 7.13 and 8.6."""
    scene = opened(moderatedroom="1")
    scene.send(voice(BOB, role="participant"))
    x = scene.got(ALICE)[0].find("jabber:x:data", "x")
    assert x is not None
    assert values(x)["muc#roomnick"] == ["Bob"]
    answer = {"role": "participant", "roomnick": "Bob", "jid": BOB, "request_allow": "true"}
    assert refused(scene, voice(BOB, **answer)).condition == "forbidden"
    scene.send(voice(ALICE, **answer))
    assert scene.room.occupants[BOB].seat.role is Role.PARTICIPANT
    scene.say(BOB)


def test_voice_may_not_be_asked_for_everywhere() -> None:
    scene = opened(**{"moderatedroom": "1", "{urn:rookery:rooms}voice_requests": "0"})
    assert refused(scene, voice(BOB, role="participant")).condition == "forbidden"
    assert refused(scene, voice(BOB, role="moderator")).condition == "bad-request"
    assert refused(scene, voice(CAROL, role="participant")).condition == "not-acceptable"


# --- the service -----------------------------------------------------------------------------------------------------

ROOMS = tuple(Listed(f"r{n}@rooms.example", f"Room {n}", "tea" if n % 2 else "", "en", n) for n in range(9))


VIEW = ServiceView(ROOMS, token="unique1")


def service(payload: Element) -> Stanza:
    return service_iq(Stanza.build("iq", payload, type="get", id="q", from_=BOB, to="rooms.example"), VIEW)


def test_a_service_tells_what_it_is_and_lists_its_rooms_in_pages() -> None:
    """Sections 6.2 and 6.3, XEP-0059."""
    assert b"conference" in service(Element("http://jabber.org/protocol/disco#info", "query")).inner
    items = "http://jabber.org/protocol/disco#items"
    rsm = "http://jabber.org/protocol/rsm"
    seen: list[str] = []
    after = ""
    while True:
        set_ = Element(rsm, "set", None, Element(rsm, "max", None, "4"))
        if after:
            set_.children.append(Element(rsm, "after", None, after))
        query = service(Element(items, "query", None, set_)).find(items, "query")
        assert query is not None
        found = [item.attrs["jid"] for item in query.elements(items, "item")]
        if not found:
            break
        seen += found
        after = found[-1]
    assert seen == [room.jid for room in ROOMS]
    assert b"unique1" in service(Element("http://jabber.org/protocol/muc#unique", "unique")).inner


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"q": "room 3"}, ["r3@rooms.example"]),
        ({"q": "TEA", "min_users": "5"}, ["r5@rooms.example", "r7@rooms.example"]),
        ({"q": "tea", "sindescription": "false"}, []),
        ({"all": "true", "min_users": "8"}, ["r8@rooms.example"]),
    ],
)
def test_rooms_are_found(fields: dict[str, str], expected: list[str]) -> None:
    """XEP-0433."""
    x = form("submit", PARAMS, [Field(var, (value,)) for var, value in fields.items()])
    result = service(Element(SEARCH, "search", None, x)).find(SEARCH, "result")
    assert result is not None
    assert [item.attrs["address"] for item in result.elements(SEARCH, "item")] == expected


@pytest.mark.parametrize(
    ("fields", "condition"),
    [
        ({}, "bad-request"),
        ({"q": "x", "all": "true"}, "bad-request"),
        ({"q": "x", "key": "beauty"}, "feature-not-implemented"),
        ({"q": "x", "min_users": "some"}, "bad-request"),
    ],
)
def test_searches_that_are_refused(fields: dict[str, str], condition: str) -> None:
    x = form("submit", PARAMS, [Field(var, (value,)) for var, value in fields.items()])
    with pytest.raises(StanzaError) as caught:
        service(Element(SEARCH, "search", None, x))
    assert caught.value.condition == condition


def test_unknown_requests_are_unavailable() -> None:
    scene = Scene()
    scene.join(ALICE, "Alice")
    scene.unlock(ALICE)
    iq = Stanza.build("iq", Element("urn:other", "x"), type="get", id="q", from_=ALICE, to=ROOM)
    assert refused(scene, iq).condition == "service-unavailable"
    with pytest.raises(StanzaError, match="service-unavailable"):
        service(Element("urn:other", "x"))

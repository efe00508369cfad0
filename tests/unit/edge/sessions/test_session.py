"""One bound stream: stamping, choosing the way, refusing, keeping; deliveries to its client."""

from __future__ import annotations

import pytest
from tests.unit.edge.sessions.world import ALICE, FULL, QUERY, World, stanza

from rookery.shared.bus.messages import (
    Accepted,
    Acked,
    Copy,
    Note,
    Route,
    Submit,
)
from rookery.shared.bus.oversize import LARGEST
from rookery.shared.xmpp.stanza import NO_LANG, Stanza
from rookery.shared.xmpp.xml import Element


@pytest.fixture
def world() -> World:
    return World()


WAYS = {
    "no to": (stanza("message"), Submit, ""),
    "own bare JID": (stanza("message", ALICE), Submit, ALICE),
    "own full JID": (stanza("message", f"{ALICE}/other"), Route, f"{ALICE}/other"),
    "a user": (stanza("message", "Bob@Example.org"), Route, "bob@example.org"),
    "a user of another hosted domain": (
        stanza("message", "bob@other.example/r"),
        Route,
        "bob@other.example/r",
    ),
    "a hosted domain": (stanza("message", "example.org"), Submit, "example.org"),
    "elsewhere": (stanza("message", "bob@far.example"), Submit, "bob@far.example"),
    "a room": (stanza("message", "room@rooms.example/nick"), Submit, "room@rooms.example/nick"),
    "capitals": (stanza("message", "bob@OTHER.example"), Route, "bob@other.example"),
    "presence": (stanza("presence"), Submit, ""),
    "presence that says what no type says": (stanza("presence", "", "available"), Submit, ""),
    "directed presence": (stanza("presence", "bob@example.org"), Submit, "bob@example.org"),
    "a subscription": (stanza("presence", "bob@example.org", "subscribe"), Submit, "bob@example.org"),
    "own roster": (stanza("iq", "", "get", "1", QUERY), Submit, ""),
    "a user's vCard": (stanza("iq", "bob@example.org", "get", "1", QUERY), Route, "bob@example.org"),
    "a resource": (stanza("iq", "bob@example.org/r", "set", "1", QUERY), Route, "bob@example.org/r"),
    "an answer": (stanza("iq", "bob@example.org/r", "result", "1"), Route, "bob@example.org/r"),
}


@pytest.mark.parametrize(("sent", "way", "to"), WAYS.values(), ids=WAYS.keys())
def test_the_way_of_a_stanza(world: World, sent: Stanza, way: type, to: str) -> None:
    session, _ = world.bind()
    session.take(sent.replace(from_="mallory@example.org/x"))
    (item,) = world.arrived()
    assert type(item) is way
    assert isinstance(item, (Submit, Route))
    assert item.stanza == sent.replace(from_=FULL, to=to)
    assert (item.origin.stream, item.origin.n, item.origin.custodian) == (session.stream, 1, "edge1")


def test_everything_goes_to_the_own_router_first_when_that_is_wanted(world: World) -> None:
    session, _ = world.bind()
    world.sessions.receive("router1", Note(session.sid, session.grant, b"note", True))
    session.take(stanza("message", "bob@example.org"))
    assert [type(item) for item in world.arrived()] == [Submit]
    assert session.mirror.note == b"note"
    # It stays so: the direct way would overtake what is still on the longer one.
    world.sessions.receive("router1", Note(session.sid, session.grant, b"note", False))
    session.take(stanza("message", "bob@example.org"))
    assert [type(item) for item in world.arrived()] == [Submit]


def test_the_language_of_the_stream_is_stamped_where_none_is(world: World) -> None:
    session, _ = world.bind()
    session.lang = "de"
    session.take(stanza("message", "bob@example.org"))
    session.take(stanza("message", "bob@example.org").replace(lang="fr"))
    session.take(stanza("message", "bob@example.org").replace(attrs=(NO_LANG,)))
    assert [item.stanza.lang for item in world.arrived()] == ["de", "fr", ""]  # type: ignore[union-attr]


REFUSED = {
    "iq without id": (stanza("iq", "", "get", "", QUERY), "bad-request"),
    "iq without payload": (stanza("iq", "", "get", "1"), "bad-request"),
    "iq with two payloads": (stanza("iq", "", "get", "1", QUERY, QUERY), "bad-request"),
    "iq without type": (stanza("iq", "", "", "1", QUERY), "bad-request"),
    "iq of another type": (stanza("iq", "", "foo", "1", QUERY), "bad-request"),
    "presence of another type": (stanza("presence", "", "foo"), "bad-request"),
    "two at signs": (stanza("message", "a@b@c"), "jid-malformed"),
    "a space": (stanza("iq", "a b@example.org", "get", "1", QUERY), "jid-malformed"),
    "binding again": (
        stanza("iq", "", "set", "1", Element("urn:ietf:params:xml:ns:xmpp-bind", "bind")),
        "not-allowed",
    ),
}


@pytest.mark.parametrize(("sent", "condition"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_edge_refuses_comes_back_through_the_router(
    world: World, sent: Stanza, condition: str
) -> None:
    session, _ = world.bind()
    session.take(sent)
    (item,) = world.arrived()
    assert isinstance(item, Route)
    assert (item.stanza.type, item.stanza.to, item.stanza.id) == ("error", FULL, sent.id)
    assert item.stanza.from_ == (sent.to or ALICE)
    assert condition.encode() in item.stanza.inner
    assert item.origin.n == 0
    assert session.unaccepted == 0
    assert session.n == 1


SILENT = {
    "a malformed error": stanza("message", "a@b@c", "error"),
    "an answer to nobody": stanza("iq", "", "result", "1"),
    "an answer to the own account": stanza("iq", ALICE, "result", "push1"),
    "an answer without id": stanza("iq", "bob@example.org/r", "result"),
    "a malformed result": stanza("iq", "a@b@c", "result", "1"),
}


@pytest.mark.parametrize("sent", SILENT.values(), ids=SILENT.keys())
def test_what_is_never_answered(world: World, sent: Stanza) -> None:
    session, _ = world.bind()
    session.take(sent)
    assert world.arrived() == []


@pytest.mark.parametrize("type", ["", "chat", "normal", "headline", "error", "groupchat", "strange"])
@pytest.mark.parametrize("wanted", [True, False])
def test_the_own_router_gets_a_copy_of_what_may_be_archived_or_have_carbons(
    world: World, type: str, wanted: bool
) -> None:
    session, _ = world.bind()
    session.copies = wanted
    for to in ("bob@example.org", f"{ALICE}/other", ALICE, ""):
        session.take(stanza("message", to, type))
    copies = [item for item in world.arrived() if isinstance(item, Copy)]
    # The own account's router sees what is for the account itself.
    expected = ["bob@example.org"] if wanted and type != "groupchat" else []
    assert [copy.stanza.to for copy in copies] == expected
    assert all(copy.stanza.from_ == FULL for copy in copies)


def test_a_stanza_is_kept_until_it_is_accepted(world: World) -> None:
    session, _ = world.bind()
    for _ in range(3):
        session.take(stanza("message", "bob@example.org"))
    world.sessions.receive("router1", Accepted([(session.stream, 2), (b"unknown", 1), (session.stream, 9)]))
    assert session.unaccepted == 2
    world.sessions.receive("router1", Accepted([(session.stream, 1), (session.stream, 3)]))
    assert session.unaccepted == 0
    assert world.sessions.unaccepted == 0


def test_a_full_stream_is_not_read_until_half_is_accepted(world: World) -> None:
    session, line = world.bind()
    limit = world.edge.config.limits.uncommitted_stanzas
    for _ in range(limit):
        session.take(stanza("message", "bob@example.org"))
    assert line.is_full
    world.sessions.receive("router1", Accepted([(session.stream, n) for n in range(1, limit // 2)]))
    assert line.is_full
    world.sessions.receive("router1", Accepted([(session.stream, limit // 2)]))
    assert not line.is_full


def test_deliveries_are_written_once_and_in_order(world: World) -> None:
    session, line = world.bind()
    for n in (1, 3, 2, 2, 3):
        world.deliver(session, n, Stanza.build("message", to=FULL, id=str(n)))
    assert [sent.partition(b"id='")[2][:1] for sent in line.sent] == [b"1", b"2", b"3"]
    session.progress(0, drained=True)
    world.sessions.send_acks()
    assert Acked(FULL, session.grant, 3) in world.arrived()


def test_a_slow_socket_acknowledges_only_what_has_left(world: World) -> None:
    session, line = world.bind()
    line.slow = True
    world.deliver(session, 1)
    first = len(line.sent[0])
    world.deliver(session, 2)
    session.progress(first - 1, drained=False)
    assert session.mirror.acked == 0
    session.progress(first, drained=False)
    assert session.mirror.acked == 1
    session.progress(0, drained=True)
    assert session.mirror.acked == 2


@pytest.mark.parametrize(
    ("asked", "answers"), [("", ""), ("", ALICE), (ALICE, ""), ("example.org", "example.org")]
)
def test_an_answer_closes_its_request(world: World, asked: str, answers: str) -> None:
    session, line = world.bind()
    session.take(stanza("iq", asked, "get", "q", QUERY))
    world.arrived()
    world.deliver(session, 1, Stanza.build("iq", type="result", id="q", from_=answers, to=FULL))
    world.sessions.on_timer(world.clock.now + 31)
    assert world.arrived() == []
    assert len(line.sent) == 1


def test_the_answer_to_our_ping_goes_nowhere(world: World) -> None:
    session, _ = world.bind()
    session.ping = "ping-1"
    session.take(stanza("iq", "example.org", "result", "ping-1"))
    assert session.ping == ""
    assert world.arrived() == []


BIG = Element("urn:example:big", "x", None, "x" * (LARGEST + 1))


def test_what_is_larger_than_the_bus_carries_comes_back(world: World) -> None:
    """RFC 6120 section 8.3.3.12: `>` grows to four octets, so a stanza of a permitted size may be too large inside."""
    session, _ = world.bind()
    for number, kind in enumerate(("message", "iq", "presence")):
        session.take(stanza(kind, "bob@example.org", "set" if kind == "iq" else "", f"m{number}", BIG))
        (item,) = world.arrived()
        assert isinstance(item, Route)
        assert (item.stanza.kind, item.stanza.type, item.stanza.id) == (kind, "error", f"m{number}")
        assert (item.stanza.to, item.stanza.from_) == (FULL, "bob@example.org")
        assert b"<policy-violation " in item.stanza.inner
    assert session.unaccepted == 0
    assert session.n == 3


def test_an_answer_that_is_too_large_becomes_an_error_for_whoever_asked(world: World) -> None:
    session, _ = world.bind()
    session.take(stanza("iq", "bob@example.org/r", "result", "7", BIG))
    (item,) = world.arrived()
    assert isinstance(item, Route)
    assert (item.stanza.type, item.stanza.to, item.stanza.from_) == ("error", "bob@example.org/r", FULL)
    assert b"<policy-violation " in item.stanza.inner


def test_an_error_that_is_too_large_is_answered_by_nobody(world: World) -> None:
    session, _ = world.bind()
    session.take(stanza("message", "bob@example.org/r", "error", "7", BIG))
    assert world.arrived() == []

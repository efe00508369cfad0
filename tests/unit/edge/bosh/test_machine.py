"""The machine of one BOSH session: every rule of XEP-0124 that a client can feel, and any order of requests."""

from __future__ import annotations

from hashlib import sha1
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.edge.bosh.machine import REPEATS, Answer, Machine
from rookery.edge.bosh.terms import Terms, agree, told
from rookery.edge.bosh.wrapper import Ask, BadBodyError, Wish, read, read_wish, write
from rookery.shared.xeps.bosh import Options
from rookery.shared.xmpp.body import Wrapped
from rookery.shared.xmpp.xml import Element

TERMS = Terms(60, 1, 2, 30, 5, 120, "text/xml; charset=utf-8", (1, 11), False)
POLLS = TERMS._replace(hold=0, requests=1)
FIRST = 1000


def ask(rid: int, *payloads: str, sid: str = "s", **more: object) -> Ask:
    events = [Element("urn:x", name) for name in payloads]
    base = Ask(rid, sid, "", "", "", "", "", False, -1, -1, "", "", events, 100)  # type: ignore[arg-type]
    return base._replace(**more)  # type: ignore[arg-type]


class Session:
    """A machine at a clock, and what was answered: {token: document}."""

    def __init__(self, terms: Terms = TERMS, **first: object) -> None:
        self.now = 100.0
        self.machine = Machine(terms, ask(FIRST, sid="", **first), told(terms, "s", FIRST, "d"))
        self.heard: list[Ask] = []
        self.got: dict[object, Element] = {}
        self.statuses: dict[object, int] = {}
        self.ask(ask(FIRST, sid="", **first), 0)

    def ask(self, one: Ask, token: object) -> None:
        self.machine.request(one, token, self.now)
        self.turn()

    def turn(self) -> None:
        while (heard := self.machine.following(self.now)) is not None:
            self.heard.append(heard)
        self.take(self.machine.flush(self.now))

    def take(self, answers: list[Answer]) -> None:
        for token, status, data in answers:
            assert token not in self.got, "one request, one answer"
            self.got[token] = fromstring(data)  # type: ignore[assignment]
            self.statuses[token] = status

    def say(self, name: str = "p") -> None:
        self.machine.write(f"<{name} xmlns='urn:x'/>".encode())
        self.take(self.machine.flush(self.now))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.machine.tick(self.now)
        self.take(self.machine.flush(self.now))

    def ending(self, token: object) -> tuple[str | None, str | None]:
        return self.got[token].get("type"), self.got[token].get("condition")


def names(node: Element) -> list[str]:
    return [child.tag for child in node]  # type: ignore[attr-defined]


def test_the_first_answer_says_the_terms() -> None:
    s = Session()
    first = s.got[0]
    wanted = {"sid": "s", "wait": "60", "requests": "2", "hold": "1", "inactivity": "30", "maxpause": "120"}
    assert wanted.items() <= first.attrib.items()  # type: ignore[attr-defined]


def test_a_request_waits_for_something_to_say() -> None:
    s = Session()
    s.ask(ask(1001), 1)
    assert 1 not in s.got
    s.say("a")
    assert names(s.got[1]) == ["{urn:x}a"]


def test_a_second_request_lets_the_first_go() -> None:
    s = Session()
    s.ask(ask(1001), 1)
    s.now += 10
    s.ask(ask(1002, "x"), 2)
    assert names(s.got[1]) == []
    assert 2 not in s.got


def test_a_request_does_not_wait_for_longer_than_agreed() -> None:
    s = Session()
    s.ask(ask(1001), 1)
    assert s.machine.due == s.now + 60
    s.wait(59)
    assert 1 not in s.got
    s.wait(1)
    assert names(s.got[1]) == []


def test_requests_are_heard_in_their_order() -> None:
    s = Session(TERMS._replace(hold=2, requests=3))
    s.ask(ask(1003, "c"), 3)
    s.ask(ask(1002, "b"), 2)
    assert len(s.heard) == 1
    s.ask(ask(1001, "a"), 1)
    assert [one.rid for one in s.heard] == [1000, 1001, 1002, 1003]
    assert list(s.got) == [0, 1]


@pytest.mark.parametrize("rid", [1003, 5000, 999, 1])
def test_numbers_outside_of_the_window_end_the_session(rid: int) -> None:
    s = Session()
    s.ask(ask(rid), 1)
    assert s.ending(1) == ("terminate", "item-not-found")
    assert s.machine.over


def test_a_lost_answer_is_given_again() -> None:
    s = Session()
    s.ask(ask(1001), 1)
    s.say("a")
    s.ask(ask(1001), "again")
    assert names(s.got["again"]) == ["{urn:x}a"]
    assert not s.machine.over


def test_answers_are_not_given_again_for_ever() -> None:
    s = Session()
    s.ask(ask(1001), 1)
    s.say("a")
    for count in range(REPEATS):
        s.ask(ask(1001), f"again{count}")
    s.ask(ask(1001), "too often")
    assert s.ending("too often") == ("terminate", "policy-violation")


def test_a_request_that_waits_moves_to_the_new_connection() -> None:
    s = Session()
    s.ask(ask(1001), 1)
    s.ask(ask(1001), "new")
    assert s.ending(1) == ("error", None)
    s.say("a")
    assert names(s.got["new"]) == ["{urn:x}a"]


def test_old_answers_are_forgotten() -> None:
    s = Session()
    for rid in range(1001, 1006):
        s.ask(ask(rid, "x"), rid)
        s.say()
    s.ask(ask(1002), "old")
    assert s.ending("old") == ("terminate", "item-not-found")


def test_too_many_requests_at_once() -> None:
    s = Session()
    s.machine.request(ask(1001, "x"), 1, s.now)
    s.machine.request(ask(1002, "x"), 2, s.now)
    while s.machine.following(s.now):
        pass
    s.machine.request(ask(1003, "x"), 3, s.now)
    s.turn()
    assert s.ending(1) == ("terminate", "policy-violation")
    assert s.ending(2) == s.ending(3) == (None, None)


def test_asking_in_vain_too_often() -> None:
    s = Session()
    s.ask(ask(1001), 1)
    s.now += 4.9
    s.ask(ask(1002), 2)
    assert s.ending(1) == ("terminate", "policy-violation")


def test_a_polling_client_is_answered_at_once_and_may_not_hurry() -> None:
    s = Session(POLLS)
    s.now += 5
    s.ask(ask(1001), 1)
    s.now += 5
    s.ask(ask(1002), 2)
    assert names(s.got[1]) == names(s.got[2]) == []
    s.now += 4
    s.ask(ask(1003), 3)
    assert s.ending(3) == ("terminate", "policy-violation")


def test_a_polling_client_that_got_something_may_ask_on() -> None:
    s = Session(POLLS)
    s.now += 5
    s.say("a")
    s.ask(ask(1001), 1)
    s.ask(ask(1002), 2)
    assert names(s.got[1]) == ["{urn:x}a"]
    assert not s.machine.over


def test_a_pause_answers_all_and_says_nothing() -> None:
    s = Session()
    s.ask(ask(1001), 1)
    s.machine.write(b"<late xmlns='urn:x'/>")
    s.ask(ask(1002, pause=100), 2)
    assert names(s.got[1]) == ["{urn:x}late"]
    assert names(s.got[2]) == []
    s.say("later")
    s.wait(99)
    assert not s.machine.forgotten(s.now)
    s.wait(1)
    assert s.machine.forgotten(s.now)


def test_a_pause_ends_with_the_next_request() -> None:
    s = Session()
    s.ask(ask(1001, pause=100), 1)
    s.say("waited")
    s.ask(ask(1002), 2)
    assert names(s.got[2]) == ["{urn:x}waited"]
    assert s.machine.due == s.now + 30


def test_a_pause_that_is_too_long() -> None:
    s = Session()
    s.ask(ask(1001, pause=121), 1)
    assert s.ending(1) == ("terminate", "policy-violation")


def test_silence_ends_the_session() -> None:
    s = Session()
    assert not s.machine.forgotten(s.now + 29)
    assert s.machine.forgotten(s.now + 30)
    s.ask(ask(1001), 1)
    assert not s.machine.forgotten(s.now + 1000)


def test_the_end_in_order_is_told_to_the_oldest_request() -> None:
    s = Session(TERMS._replace(hold=2, requests=3))
    s.ask(ask(1001, "a"), 1)
    s.ask(ask(1002, type="terminate"), 2)
    s.machine.finish("")
    s.take(s.machine.flush(s.now))
    assert s.ending(1) == ("terminate", None)
    assert s.ending(2) == (None, None)


def test_last_words_come_with_the_end() -> None:
    s = Session()
    s.ask(ask(1001), 1)
    s.machine.write(b"<stream:error><x xmlns='urn:x'/></stream:error>")
    s.machine.finish("remote-stream-error")
    s.take(s.machine.flush(s.now))
    assert s.ending(1) == ("terminate", "remote-stream-error")
    assert names(s.got[1]) == ["{http://etherx.jabber.org/streams}error"]


def test_an_end_without_a_request_waits_for_the_next_one() -> None:
    s = Session()
    s.machine.finish("system-shutdown")
    s.take(s.machine.flush(s.now))
    s.ask(ask(1001), 1)
    assert s.ending(1) == ("terminate", "system-shutdown")
    s.ask(ask(1001), "again")
    assert s.ending("again") == ("terminate", "system-shutdown")
    assert s.machine.forgotten(s.now + 30)


def test_a_legacy_client_gets_http_errors() -> None:
    s = Session(TERMS._replace(ver=(0, 0)))
    assert "ver" not in s.got[0].attrib  # type: ignore[attr-defined]
    s.ask(ask(9999), 1)
    assert s.statuses[1] == 404


def chain(count: int) -> list[str]:
    keys = [sha1(b"seed").hexdigest()]
    while len(keys) < count:
        keys.append(sha1(keys[-1].encode()).hexdigest())
    return keys


def test_keys_are_asked_for_in_their_order() -> None:
    keys, others = chain(4), chain(3)
    s = Session(newkey=keys[3])
    s.ask(ask(1001, "x", key=keys[2]), 1)
    s.ask(ask(1002, "x", key=keys[1]), 2)
    s.ask(ask(1003, "x", key=keys[0], newkey=others[2]), 3)
    s.ask(ask(1004, "x", key=others[1]), 4)
    assert not s.machine.over
    s.ask(ask(1005, "x", key=others[2]), 5)
    assert s.ending(4) == ("terminate", "item-not-found")
    assert [one.rid for one in s.heard][-1] == 1004


def test_a_key_that_is_missing() -> None:
    s = Session(newkey=chain(4)[3])
    s.ask(ask(1001, "x"), 1)
    assert s.ending(1) == ("terminate", "item-not-found")


def test_acknowledgements() -> None:
    s = Session(TERMS._replace(acks=True))
    assert s.got[0].get("ack") == "1000"
    s.ask(ask(1001), 1)
    s.now += 9
    s.ask(ask(1002, "x"), 2)
    assert s.got[1].get("ack") == "1002"
    s.say("a")
    assert s.got[2].get("ack") is None
    size = s.machine.queued
    s.now += 3
    s.ask(ask(1003, "x", ack=1001), 3)
    assert s.machine.confirmed == 0
    assert (s.got[3].get("report"), s.got[3].get("time")) == ("1002", "3000")
    s.ask(ask(1004, "x"), 4)
    assert s.machine.confirmed == size


def test_what_was_said_is_confirmed_by_the_next_request() -> None:
    s = Session()
    s.ask(ask(1001), 1)
    s.say("a")
    assert s.machine.confirmed == 0
    s.ask(ask(1002), 2)
    assert s.machine.confirmed == s.machine.queued > 0


@given(st.data())
def test_any_arrival_is_heard_once_and_in_order(data: st.DataObject) -> None:
    """Requests of a well-behaved client, arriving in any order, some twice: each is heard once, each answer carries what follows."""
    hold = data.draw(st.integers(1, 3))
    s = Session(TERMS._replace(hold=hold, requests=hold + 1))
    following, said, open_, seen = FIRST + 1, 0, [], []
    tokens = iter(range(1, 10_000))
    for _ in range(data.draw(st.integers(1, 30))):
        s.now += 6
        room = hold + 1 - len([rid for rid, token in open_ if token not in s.got])
        fresh = [
            ask(rid, "x") for rid in range(following, following + data.draw(st.integers(0, max(0, room))))
        ]
        following += len(fresh)
        for one in data.draw(st.permutations(fresh)):
            token = next(tokens)
            open_.append((one.rid, token))
            s.ask(one, token)
        if open_ and data.draw(st.booleans()):
            rid, _ = open_[-1]
            if [one for one, _ in open_].count(rid) > REPEATS:
                continue
            token = next(tokens)
            s.ask(ask(rid, "x"), token)
            open_.append((rid, token))
        if data.draw(st.booleans()):
            said += 1
            s.say(f"p{said}")
    assert not s.machine.over, s.machine.condition
    assert [one.rid for one in s.heard] == list(range(FIRST, following))
    for rid in range(FIRST + 1, following):
        documents = [s.got[token] for one, token in open_ if one == rid and token in s.got]
        kept = [names(node) for node in documents if node.get("type") != "error"]
        assert all(each == kept[0] for each in kept)
        seen += kept[0] if kept else []
    assert [name.rpartition("}p")[2] for name in seen] == [str(n) for n in range(1, len(seen) + 1)]


@given(st.lists(st.tuples(st.integers(990, 1012), st.sampled_from(["", "x"])), max_size=40))
def test_whatever_comes_each_connection_has_one_answer(requests: list[tuple[int, str]]) -> None:
    s = Session()
    for token, (rid, payload) in enumerate(requests, 1):
        s.now += 1
        s.ask(ask(rid, *([payload] if payload else [])), token)
    rids = [one.rid for one in s.heard]
    assert rids == list(range(FIRST, FIRST + len(rids)))
    s.machine.finish("")
    s.take(s.machine.flush(s.now))
    assert len(s.got) == len(requests) + 1


@pytest.mark.parametrize(
    ("wish", "wait", "hold", "requests"),
    [
        (Wish(-1, -1, "text/xml", (1, 6), False), 60, 1, 2),
        (Wish(3600, 200, "text/xml", (1, 99), False), 60, 2, 3),
        (Wish(10, 1, "text/xml", (1, 6), False), 10, 1, 2),
        (Wish(0, 1, "text/xml", (1, 6), False), 0, 0, 1),
        (Wish(60, 0, "text/xml", (1, 6), False), 60, 0, 1),
    ],
)
def test_terms(wish: Wish, wait: int, hold: int, requests: int) -> None:
    terms = agree(wish, Options())
    assert (terms.wait, terms.hold, terms.requests) == (wait, hold, requests)
    assert terms.ver <= (1, 11)
    assert terms.inactivity == (70 if terms.polls else 60)


@pytest.mark.parametrize(
    "attrs",
    [{}, {"rid": "0"}, {"rid": "-1"}, {"rid": "1.5"}, {"rid": "9007199254740992"}, {"rid": "1", "pause": "x"},
     {"rid": "1", "type": "error"}, {"rid": "1", "ack": ""}, {"rid": "٣"}],
)  # fmt: skip
def test_wrappers_that_are_refused(attrs: dict[str, str]) -> None:
    with pytest.raises(BadBodyError):
        read(Wrapped(attrs, []), 10)


@pytest.mark.parametrize("attrs", [{"content": "text/html"}, {"wait": "1e3"}, {"hold": "256"}])
def test_wishes_that_are_refused(attrs: dict[str, str]) -> None:
    with pytest.raises(BadBodyError):
        read_wish(Wrapped(attrs, []))


def test_written_documents() -> None:
    assert write({}) == b"<body xmlns='http://jabber.org/protocol/httpbind'/>"
    assert fromstring(write({"xmpp:version": "1.0", "a": "<'>"}, b"<stream:x/>"))[0].tag.endswith("streams}x")

"""A short run of the fault runner: one fault of each sort that a run of half a minute has room for, always the same dice."""

from __future__ import annotations

import random

import pytest
from tests.cluster.chaos.client import Client
from tests.cluster.chaos.ledger import Got, Ledger, Request
from tests.cluster.chaos.runner import Runner, Settings
from tests.cluster.chaos.table import ALL, chosen, deck
from tests.cluster.chaos.telling import render
from tests.cluster.chaos.wire import Wire
from tests.cluster.harness import Cluster

SHORT = "edge-kill,router-kill,edge-term,cut,reset,steal,handshake"


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_half_a_minute_of_faults_loses_nothing() -> None:
    settings = Settings(seed=7, seconds=30, pairs=8, rate=50, edges=2, gap=(0.5, 1.5))
    with Cluster(edges=2, routers=2, workers=2, options=["--allow-plaintext"]) as cluster:
        report = Runner(cluster, settings, chosen(SHORT)).run()
    text = render(report, settings)
    assert report.good, text
    assert report.verdict.acked == report.verdict.sent > 500, text
    assert len(report.injected) >= 5, text


# --- the judge is judged: each count finds what it is there for ---------------------------------------------------------


def ledger() -> Ledger:
    """Client 0 has sent three messages to client 1; the first two are acknowledged, the first has arrived."""
    book = Ledger()
    for n in (1, 2, 3):
        book.sent(0, n, 1, float(n))
    for n in (1, 2):
        book.messages[(0, n)].acked = 5.0
    book.got(1, 0, 1, Got(4.0, 2, False))
    return book


def test_what_was_acknowledged_and_is_nowhere_is_lost() -> None:
    verdict = ledger().verdict()
    assert [message.n for message in verdict.lost] == [2]
    assert [message.n for message in verdict.never_acked] == [3]
    assert not verdict.zero


def test_a_message_that_came_back_is_not_lost_and_must_not_arrive() -> None:
    book = ledger()
    book.bounced(0, 2, 6.0, "service-unavailable")
    assert book.verdict().lost == []
    assert book.verdict().bounced_and_delivered == []
    book.got(1, 0, 2, Got(7.0, 2, False))
    assert [message.n for message in book.verdict().bounced_and_delivered] == [2]


def test_twice_in_one_session_is_a_duplicate_and_in_two_is_not() -> None:
    book = ledger()
    book.got(1, 0, 1, Got(6.0, 3, True))
    assert book.verdict().duplicates == []
    assert book.verdict().duplicates_across == 1
    book.got(1, 0, 1, Got(7.0, 3, True))
    assert [message.n for message in book.verdict().duplicates] == [1]


def test_a_later_message_first_is_an_inversion() -> None:
    book = ledger()
    book.got(1, 0, 3, Got(6.0, 2, False))
    book.got(1, 0, 2, Got(7.0, 2, False))
    assert book.verdict().inversions == [(0, 2, 3)]


def test_a_request_is_open_until_it_is_answered_or_its_session_is_lost() -> None:
    book = ledger()
    book.requests[(0, "q1")] = Request(1, 1.0)
    book.requests[(0, "q2")] = Request(1, 1.0)
    book.requests[(0, "q1")].answered = 2.0
    assert book.verdict().unanswered == 1
    book.abandoned([book.messages[(0, 3)]], 0, 1)
    verdict = book.verdict()
    assert (verdict.unanswered, verdict.unknown, verdict.lost_chains) == (0, 1, 1)
    assert verdict.never_acked == []


def test_a_message_that_nobody_sent_is_a_breach() -> None:
    book = ledger()
    book.got(1, 0, 9, Got(6.0, 2, False))
    book.got(3, 0, 1, Got(6.0, 2, False))
    assert len(book.verdict().violations) == 2


class Room:
    """A world without sockets for one client."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.rng = random.Random(1)
        self.managed = True


def test_an_acknowledgement_that_goes_back_or_ahead_is_a_breach() -> None:
    room = Room()
    room.loop = type("Clock", (), {"now": 1.0})()  # type: ignore[attr-defined]
    client = Client(room, 0, "a", "p", "b")  # type: ignore[arg-type]
    client.bound("a@localhost/r")
    client.up = True
    for _ in range(3):
        client.talk()
    client.acknowledged(2, "a")
    assert [bool(room.ledger.messages[(0, n)].acked) for n in (1, 2, 3)] == [True, True, False]
    client.acknowledged(1, "a")
    client.acknowledged(4, "a")
    assert [one.what.split(":")[0] for one in room.ledger.violations] == [
        "a h=1 is lower than before",
        "a h=4 is higher than what was sent",
    ]


def test_faults_are_chosen_by_name_or_id() -> None:
    assert {fault.name for fault in chosen("F01,cut")} == {"edge-kill", "cut"}
    assert {fault.name for fault in chosen("-roll,all")} == {
        fault.name for fault in ALL if fault.servers != "outside"
    } - {"roll"}
    assert chosen("none") == []
    with pytest.raises(ValueError, match="no such fault: nothing"):
        chosen("nothing")


def test_faults_that_need_different_servers_are_run_apart() -> None:
    assert {fault.servers for fault in chosen("all")} == {"", "inside"}
    assert {fault.servers for fault in chosen("net")} == {"", "outside"}
    with pytest.raises(ValueError, match="run them apart"):
        chosen("nats-kill,nats-cut")


def test_every_fault_comes_equally_often_and_a_seed_repeats_their_order() -> None:
    first, second = (deck(ALL, random.Random(3)) for _ in range(2))
    order = [next(first).name for _ in range(2 * len(ALL))]
    assert order == [next(second).name for _ in range(2 * len(ALL))]
    assert {order.count(fault.name) for fault in ALL} == {2}


def test_elements_come_out_of_bytes_one_by_one() -> None:
    data = (
        b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        b"<message id='m1'><body>a&lt;</body></message><a xmlns='urn:xmpp:sm:3' h='1'/></stream:stream>"
    )
    wire = Wire()
    found = [element for byte in data for element in wire.feed(bytes((byte,)))]
    assert [element.tag for element in found] == [
        "{jabber:client}message",
        "{urn:xmpp:sm:3}a",
        "{http://etherx.jabber.org/streams}stream",
    ]
    assert found[0].findtext("{jabber:client}body") == "a<"

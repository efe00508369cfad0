"""Stream management by tables and properties: numbers, the wrap, when to ask, what may be said, chains of resumptions."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.edge.inflight import Entry, Inflight
from rookery.edge.management import ASK_EVERY, ASK_SECONDS, DEAD_SECONDS, Look, Management
from rookery.shared.bus.messages import Origin, Route
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

TOP = 2**32


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "-1",
        "+1",
        "1e3",
        "１",
        "٣",
        "0x1",
        "1_0",
        " 1",
        "1 ",
        "1.0",
        "4294967296",
        "99999999999",
        "²",
    ],
)
def test_what_is_no_number(text: str | None) -> None:
    with pytest.raises(ValueError):
        sm.parse_number(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("4294967295", TOP - 1)])
def test_what_is_a_number(text: str, number: int) -> None:
    assert sm.parse_number(text) == number


@pytest.mark.parametrize(("value", "wanted"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_resume_is_a_boolean(value: str, wanted: bool) -> None:
    assert sm.wants_resumption(Element(sm.NS, "enable", {"resume": value})) is wanted
    assert not sm.wants_resumption(Element(sm.NS, "enable"))


def test_attributes_of_enable_that_cannot_be_read_are_refused() -> None:
    for wrong in ({"resume": "yes"}, {"resume": "TRUE"}):
        with pytest.raises(StanzaError, match="bad-request"):
            sm.wants_resumption(Element(sm.NS, "enable", wrong))
    with pytest.raises(StanzaError, match="bad-request"):
        sm.wanted_seconds(Element(sm.NS, "enable", {"max": "-1"}))
    assert sm.wanted_seconds(Element(sm.NS, "enable", {"max": "60"})) == 60
    assert sm.wanted_seconds(Element(sm.NS, "enable")) == 0


@given(st.binary(max_size=40))
def test_a_token_is_read_as_it_was_written(token: bytes) -> None:
    assert sm.read_token(sm.write_token(token)) == token


@given(st.text(max_size=200))
def test_no_text_is_read_as_two_tokens(text: str) -> None:
    token = sm.read_token(text)
    assert token == b"" or sm.write_token(token) == text


# --- what the client acknowledges -------------------------------------------------------------------------------------


@given(total=st.integers(0, 2**34), more=st.integers(0, 5000), ahead=st.integers(0, 5000))
def test_an_acknowledgement_within_what_was_sent_counts(total: int, more: int, ahead: int) -> None:
    sent = total + more
    count = sm.advance(total, sent, (total + ahead) % TOP)
    if ahead <= more:
        assert count == total + ahead
    else:
        assert count is None


@given(total=st.integers(0, 2**34), more=st.integers(0, 5000), behind=st.integers(1, 5000))
def test_an_old_acknowledgement_changes_nothing(total: int, more: int, behind: int) -> None:
    count = sm.advance(total, total + more, (total - behind) % TOP)
    assert count == (total if behind <= total else None)


@pytest.mark.parametrize(
    ("total", "sent", "h", "expected"),
    [
        (0, 0, 0, 0),
        (0, 0, 1, None),
        (5, 8, 10, None),
        (0, 8, TOP - 1, None),
        (TOP - 2, TOP + 3, TOP - 1, TOP - 1),
        (TOP - 2, TOP + 3, 0, TOP),
        (TOP - 2, TOP + 3, 3, TOP + 3),
        (TOP - 2, TOP + 3, 4, None),
        (TOP + 3, TOP + 3, TOP - 1, TOP + 3),
    ],
)
def test_numbers_wrap(total: int, sent: int, h: int, expected: int | None) -> None:
    assert sm.advance(total, sent, h) == expected


def test_the_answer_is_told_modulo_2_32() -> None:
    assert sm.answer(TOP + 1).get("h") == "1"
    assert sm.resumed(b"t", TOP).get("h") == "0"
    assert sm.failed("item-not-found", TOP + 2).get("h") == "2"
    assert sm.failed("item-not-found").get("h") is None


def test_the_client_counts_from_where_it_was_enabled() -> None:
    machine = Management(base_in=3, base_out=10)
    assert machine.h == 0
    assert machine.answer(2, 10, 15, 1.0) == 12
    assert machine.answer(6, 12, 15, 1.0) is None


# --- what the client is told ------------------------------------------------------------------------------------------


def test_only_what_the_router_has_recorded_is_told() -> None:
    machine = Management(0, 0, b"token", 600)
    assert machine.moved(3)
    assert machine.request(4) == 0  # the note is under way
    assert not machine.moved(4)  # one at a time
    assert not machine.note(3)  # 4 was asked for
    assert machine.h == 3
    assert machine.moved(4)
    assert machine.note(4)  # now it is told unasked
    assert machine.h == 4
    assert not machine.note(4)


def test_what_may_be_lost_is_told_again() -> None:
    machine = Management(0, 0, b"token", 600)
    assert machine.moved(2)
    assert not machine.moved(2)
    machine.lost()
    assert machine.moved(2)


def test_a_stream_that_nobody_can_resume_needs_no_note() -> None:
    machine = Management(0, 0)
    assert machine.request(1) == 0
    assert machine.moved(1)
    assert machine.h == 1
    assert not machine.moved(2)  # nobody asked
    assert machine.h == 2


# --- when to ask ------------------------------------------------------------------------------------------------------


def test_it_asks_every_few_stanzas_and_after_a_moment() -> None:
    machine = Management(0, 0)
    looks = [machine.sent(n, 0.0) for n in range(1, 2 * ASK_EVERY + 1)]
    assert [n for n, look in enumerate(looks, 1) if look is Look.ASK] == [ASK_EVERY, 2 * ASK_EVERY]
    machine.answer(10, 0, 10, 1.0)
    assert machine.look(10, 1.0, 2.0) == (Look.NOTHING, 0.0)
    assert machine.sent(11, 5.0) is Look.NOTHING
    assert machine.first_unasked
    assert machine.look(11, 1.0, 5.5) == (Look.NOTHING, 5.0 + ASK_SECONDS)
    assert machine.look(11, 1.0, 6.0)[0] is Look.ASK
    assert machine.look(11, 1.0, 7.0) == (Look.NOTHING, 6.0 + DEAD_SECONDS)


def test_a_client_that_is_not_heard_after_a_question_is_dead() -> None:
    machine = Management(0, 0)
    machine.sent(1, 0.0)
    assert machine.look(1, 0.0, ASK_SECONDS)[0] is Look.ASK
    assert machine.look(1, 0.0, ASK_SECONDS + DEAD_SECONDS)[0] is Look.DEAD
    # one that talks and does not acknowledge is bounded by its queue, not by this
    assert machine.look(1, 40.0, ASK_SECONDS + DEAD_SECONDS) == (Look.NOTHING, 40.0 + DEAD_SECONDS)
    machine.answer(1, 0, 1, 50.0)
    assert machine.look(1, 0.0, 500.0) == (Look.NOTHING, 0.0)


# --- uids -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=8)), min_size=2, max_size=20))
def test_uids_grow_with_the_number_whatever_the_content(contents: list[tuple[str, bytes]]) -> None:
    numbers = [sm.uid_number(n, "b@x", id_, inner) for n, (id_, inner) in enumerate(contents, 1)]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < 2**63  # a column of the database


def test_a_repetition_has_the_uid_of_its_original_also_with_a_delay_stamp() -> None:
    inner = b"<body>hi</body>"
    stamp = b"<delay xmlns='urn:xmpp:delay' from='a@x' stamp='2026-01-01T00:00:00Z'/>"
    longer = b"<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'>sent again</delay>"
    first = sm.uid_number(7, "b@x", "m1", inner)
    assert sm.uid_number(7, "b@x", "m1", inner + stamp) == first
    assert sm.uid_number(7, "b@x", "m1", longer + inner) == first
    assert sm.uid_number(7, "b@x", "m2", inner) != first
    assert sm.uid_number(7, "c@x", "m1", inner) != first
    assert sm.uid_number(7, "b@x", "m1", b"<body>ho</body>") != first


def test_the_frontier_is_below_what_is_not_handled() -> None:
    inflight = Inflight(100, 10_000)
    stanza = Stanza("message", "chat", "b@x", "a@x/r", "", "", (), (), b"")
    uids = [sm.uid_number(n, "b@x", str(n), b"") for n in range(1, 6)]
    for uid in uids:
        inflight.add(uid, Entry(1, Route(Origin(b"s", uid, "e"), stanza), 1, False, 0.0))

    def frontier(n: int) -> int:
        return ((inflight.frontier(((n + 1) << sm.DIGEST_BITS) - 1) + 1) >> sm.DIGEST_BITS) - 1

    assert frontier(5) == 0
    inflight.accepted(uids[1])
    assert frontier(5) == 0
    inflight.accepted(uids[0])
    assert frontier(5) == 2
    for uid in uids[2:]:
        inflight.accepted(uid)
    assert frontier(5) == 5


# --- chains of resumptions --------------------------------------------------------------------------------------------


STEPS = ["send", "send", "handle", "note", "tell", "break"]


@given(st.lists(st.sampled_from(STEPS), max_size=200), st.sampled_from([0, TOP - 3, TOP + 5]))
def test_over_any_chain_of_resumptions_everything_counts_once(steps: list[str], start: int) -> None:
    """A client, the machine of its edge, and the routers, which record the frontier and know uids: the edge may vanish at any step.

    `start` is how much the client has counted already.
    """
    router = Recorder()
    machine = router.edge(start)
    queue: deque[tuple[int, bytes]] = deque()
    sent: list[bytes] = []
    client_acked = start
    inbound: list[tuple[int, bytes]] = []
    n = 0

    def acknowledge(h: int) -> None:
        nonlocal client_acked
        new = (h - client_acked) % TOP
        assert new <= len(queue), "above what was sent, or below what was acknowledged"
        for _ in range(new):
            assert queue.popleft()[1] in router.effects, "acknowledged and never handled"
        client_acked += new

    for step in steps:
        if step == "send":
            n += 1
            queue.append((n, b"%d" % len(sent)))
            sent.append(queue[-1][1])
            inbound.append(queue[-1])
        elif step == "handle" and inbound:
            number, content = inbound.pop(0)
            router.handle(number, content)
            if machine.moved(number):
                router.noting.append(number)
        elif step == "note" and router.noting:
            router.recorded = max(router.recorded, router.noting.pop(0))
            machine.note(router.recorded)
        elif step == "tell":
            acknowledge(machine.h % TOP)
        elif step == "break":
            # The edge is gone with what it knew. What it had on the way may arrive or not: here it does not.
            router.noting.clear()
            machine = router.edge(start)
            acknowledge(machine.h % TOP)
            # The client sends the rest again under the same numbers.
            n = router.recorded
            assert [number for number, _ in queue] == list(range(n + 1, n + 1 + len(queue)))
            inbound = list(queue)
            n += len(queue)
    for number, content in inbound:
        router.handle(number, content)
    assert router.effects == sent  # each once, in order


class Recorder:
    """The routers: what took effect, in order, and the highest number that is recorded as handled."""

    def __init__(self) -> None:
        self.effects: list[bytes] = []
        self.recorded = 0
        self.noting: list[int] = []
        self._uids: set[int] = set()

    def handle(self, n: int, content: bytes) -> None:
        uid = sm.uid_number(n, "b@x", "", content)
        if uid not in self._uids:
            self._uids.add(uid)
            self.effects.append(content)

    def edge(self, start: int) -> Management:
        machine = Management(-start, 0, b"token", 600)
        machine.note(self.recorded)
        return machine

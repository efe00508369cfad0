"""Stream management of one stream: when to ask, what may be said, chains of resumptions. Its grammar is in tests/xeps."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from rookery.edge.inflight import Entry, Inflight, Pool
from rookery.edge.sessions.management.machine import NOTE_SECONDS, Look, StreamManagement
from rookery.shared.bus.messages import Origin, Route
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp.stanza import Stanza

OPTIONS = sm.Options()

TOP = 2**32


# --- what the client acknowledges -------------------------------------------------------------------------------------


def test_the_client_counts_from_where_it_was_enabled() -> None:
    machine = StreamManagement(OPTIONS, base_in=3, base_out=10)
    assert machine.h == 0
    assert machine.answer(2, 10, 15, 1.0) == 12
    assert machine.answer(6, 12, 15, 1.0) is None


# --- what the client is told ------------------------------------------------------------------------------------------


def test_only_what_the_router_has_recorded_is_told() -> None:
    machine = StreamManagement(OPTIONS, 0, 0, b"token", 600)
    assert machine.moved(3, 0.0)
    assert machine.request(4) == 0  # the note is under way
    assert not machine.moved(4, 0.0)  # one at a time
    assert not machine.note(3)  # 4 was asked for
    assert machine.h == 3
    assert machine.moved(4, 0.0)
    assert machine.note(4)  # now it is told unasked
    assert machine.h == 4
    assert not machine.note(4)


def test_what_may_be_lost_is_told_again() -> None:
    machine = StreamManagement(OPTIONS, 0, 0, b"token", 600)
    assert machine.moved(2, 0.0)
    assert not machine.moved(2, 0.0)
    machine.lost()
    assert machine.moved(2, 0.0)


def test_a_stream_that_nobody_can_resume_needs_no_note() -> None:
    machine = StreamManagement(OPTIONS, 0, 0)
    assert machine.request(1) == 0
    assert machine.moved(1, 0.0)
    assert machine.h == 1
    assert not machine.moved(2, 0.0)  # nobody asked
    assert machine.h == 2


# --- when to ask ------------------------------------------------------------------------------------------------------


def test_a_note_that_is_not_confirmed_is_sent_again() -> None:
    machine = StreamManagement(OPTIONS, 0, 0, b"t", 600)
    assert machine.moved(1, 5.0)
    assert not machine.moved(2, 5.0 + NOTE_SECONDS - 0.1)
    assert machine.moved(2, 5.0 + NOTE_SECONDS)
    assert machine.note(1) is False
    assert not machine.moved(2, 5.0 + NOTE_SECONDS)  # still under way
    machine.note(2)
    assert not machine.moved(2, 100.0)


def test_it_asks_every_few_stanzas_and_after_a_moment() -> None:
    machine = StreamManagement(OPTIONS, 0, 0)
    looks = [machine.sent(n, 0.0) for n in range(1, 2 * OPTIONS.ask_stanzas + 1)]
    assert [n for n, look in enumerate(looks, 1) if look is Look.ASK] == [
        OPTIONS.ask_stanzas,
        2 * OPTIONS.ask_stanzas,
    ]
    machine.answer(10, 0, 10, 1.0)
    assert machine.look(10, 1.0, 2.0) == (Look.NOTHING, 0.0)
    assert machine.sent(11, 5.0) is Look.NOTHING
    assert machine.first_unasked
    assert machine.look(11, 1.0, 5.5) == (Look.NOTHING, 5.0 + OPTIONS.ask_seconds)
    assert machine.look(11, 1.0, 6.0)[0] is Look.ASK
    assert machine.look(11, 1.0, 7.0) == (Look.NOTHING, 6.0 + OPTIONS.answer_seconds)


def test_a_client_that_is_not_heard_after_a_question_is_dead() -> None:
    machine = StreamManagement(OPTIONS, 0, 0)
    machine.sent(1, 0.0)
    assert machine.look(1, 0.0, OPTIONS.ask_seconds)[0] is Look.ASK
    assert machine.look(1, 0.0, OPTIONS.ask_seconds + OPTIONS.answer_seconds)[0] is Look.DEAD
    # one that talks and does not acknowledge is bounded by its queue, not by this
    assert machine.look(1, 40.0, OPTIONS.ask_seconds + OPTIONS.answer_seconds) == (
        Look.NOTHING,
        40.0 + OPTIONS.answer_seconds,
    )
    machine.answer(1, 0, 1, 50.0)
    assert machine.look(1, 0.0, 500.0) == (Look.NOTHING, 0.0)


# --- the frontier ---------------------------------------------------------------------------------------------------------


def test_the_frontier_is_below_what_is_not_handled() -> None:
    inflight = Inflight(100, 10_000, Pool(1_000, 1 << 20))
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
            if machine.moved(number, 0.0):
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

    def edge(self, start: int) -> StreamManagement:
        machine = StreamManagement(OPTIONS, -start, 0, b"token", 600)
        machine.note(self.recorded)
        return machine


def test_the_operator_says_when_clients_are_asked_and_given_up() -> None:
    machine = StreamManagement(sm.Options(ask_stanzas=2, ask_seconds=7.0, answer_seconds=3.0), 0, 0)
    assert machine.sent(1, 0.0) is Look.NOTHING
    assert machine.ask_seconds == 7.0
    assert machine.look(1, 0.0, 6.9) == (Look.NOTHING, 7.0)
    assert machine.sent(2, 6.9) is Look.ASK
    assert machine.look(2, 0.0, 9.8)[0] is Look.NOTHING
    assert machine.look(2, 0.0, 9.9)[0] is Look.DEAD

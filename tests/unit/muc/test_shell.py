"""The parts of the shell around a room: order, uids, voice, packed sayings, coalesced rows."""

from __future__ import annotations

from typing import Any

import pytest

from rookery.shared.bus.messages import Fanout, Kind, Origin, ToSession
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.outs import Say, Send, Tell
from rookery.workers.muc.packed import pack, unpack
from rookery.workers.muc.queue import Entry, Queue
from rookery.workers.muc.speaker import CHUNK, HOLD, SORTED, Speaker, chunks
from rookery.workers.muc.store.rows import OccupantRow, RoomRow, Rows, Saying
from rookery.workers.muc.store.writer import coalesce
from rookery.workers.muc.uids import MOST, Uids

ROOM = "room@conference.example.org"
MESSAGE = Stanza.build("message", type="groupchat", from_=f"{ROOM}/nick")
ALICE, BOB, FAR = "alice@example.org/r", "bob@example.org/r", "carol@far.example/r"


def origin(n: int, custodian: str = "router1") -> Origin:
    return Origin(b"s" * 16, n, custodian)


# --- order ------------------------------------------------------------------------------------------------------------


def test_nothing_leaves_before_what_was_done_before_it() -> None:
    left: list[Entry] = []
    queue = Queue(left.append)
    first, second, third = (
        Entry(None, [((n,), Say(MESSAGE))], waits) for n, waits in ((1, 2), (2, 1), (3, 0))
    )
    for entry in (first, second, third):
        queue.add(entry)
    queue.committed(second)
    queue.committed(first)
    assert left == []
    assert queue.first == 1
    queue.committed(first)
    assert left == [first, second, third]
    assert queue.first == len(queue) == 0


# --- uids -------------------------------------------------------------------------------------------------------------


def test_what_comes_again_counts_once() -> None:
    uids = Uids()
    assert uids.repeated(origin(1)) is None
    entry = Entry(origin(1), (), 1)
    uids.begin(origin(1), entry)
    assert uids.repeated(origin(1)) is False
    assert uids.repeated(origin(1, "router2")) is False
    assert [one.custodian for one in entry.origins] == ["router1", "router2"], (
        "whoever keeps it now is told, too"
    )
    uids.done(origin(1))
    assert uids.repeated(origin(1)) is True
    uids.rotate()
    assert uids.repeated(origin(1)) is True
    uids.rotate()
    assert uids.repeated(origin(1)) is None


def test_custodians_go_over_to_the_entry_that_takes_the_place_of_another() -> None:
    uids = Uids()
    uids.begin(origin(1), Entry(origin(1), (), 0))
    uids.repeated(origin(1, "router2"))
    entry = Entry(origin(1), (), 0)
    uids.begin(origin(1), entry)
    assert [one.custodian for one in entry.origins] == ["router1", "router2"]


def test_done_uids_are_bounded() -> None:
    uids = Uids()
    for n in range(3 * MOST):
        uids.done(origin(n))
    assert uids.repeated(origin(0)) is None
    assert uids.repeated(origin(3 * MOST - 1)) is True


# --- the voice --------------------------------------------------------------------------------------------------------


def speaker() -> tuple[FakeCluster, Speaker, list[Stanza]]:
    cluster = FakeCluster(clock=lambda: 0.0)
    cluster.node("router1", Kind.ROUTER)
    node = cluster.node("muc1", Kind.MUC)
    away: list[Stanza] = []
    voice = Speaker(ROOM, node, lambda jid: "@example.org" in jid, away.append)
    voice.enter(ALICE, 1)
    voice.enter(BOB, 2)
    return cluster, voice, away


def news(cluster: FakeCluster, name: str = "router1") -> list[Any]:
    cluster.network.settle()
    node = cluster.nodes[name]
    got = [item[4] for item in node.received]
    node.received.clear()
    return got


def heard(items: list[Any]) -> list[tuple[int, list[str]]]:
    return [(one.origin.n, sorted(one.recipients)) for one in items if isinstance(one, Fanout)]


def test_one_item_for_all_and_one_by_one_for_other_servers() -> None:
    cluster, voice, away = speaker()
    voice.enter(FAR, 3)
    voice.say(4, Say(MESSAGE))
    assert heard(news(cluster)) == [(4, [ALICE, BOB])]
    assert [one.to for one in away] == [FAR]


@pytest.mark.parametrize(
    ("out", "who"),
    [
        (Say(MESSAGE, (BOB,)), [BOB]),
        (Say(MESSAGE, None, but=(ALICE,)), [BOB]),
        (Say(MESSAGE, (ALICE, BOB), but=(BOB,)), [ALICE]),
        (Say(MESSAGE), [ALICE, BOB]),
    ],
)
def test_audiences(out: Say, who: list[str]) -> None:
    cluster, voice, _ = speaker()
    for n in (5, 6):  # the second time the plan is there
        voice.say(n, out)
    assert heard(news(cluster)) == [(5, who), (6, who)]


def test_a_large_room_is_kept_sorted_and_reaches_the_same_people() -> None:
    cluster, voice, away = speaker()
    voice.enter(FAR, 3)
    crowd = [f"u{n}@example.org/r" for n in range(2 * SORTED)]
    for number, full in enumerate(crowd):
        voice.enter(full, 4 + number)
    voice.say(1001, Say(MESSAGE, None, but=(ALICE, crowd[7], FAR)))
    voice.leave(crowd[3])
    voice.enter("late@example.org/r", 1002)
    voice.say(1003, Say(MESSAGE))
    first, second = heard(news(cluster))
    assert first == (1001, sorted({BOB, *crowd} - {crowd[7]}))
    assert second == (1003, sorted({ALICE, BOB, "late@example.org/r", *crowd} - {crowd[3]}))
    assert [one.to for one in away] == [FAR]
    voice.rest()
    voice.say(1004, Say(MESSAGE, None, but=(BOB, *crowd[1:])))
    assert heard(news(cluster)) == [(1004, sorted({ALICE, "late@example.org/r", crowd[0]}))]
    for full in crowd:
        voice.leave(full)
    voice.say(1005, Say(MESSAGE, None, but=(BOB,)))
    assert heard(news(cluster)) == [(1005, sorted({ALICE, "late@example.org/r"}))]


def test_who_left_hears_nothing_more() -> None:
    cluster, voice, _ = speaker()
    voice.say(3, Say(MESSAGE))
    voice.leave(ALICE)
    voice.say(4, Say(MESSAGE))
    assert heard(news(cluster)) == [(3, [ALICE, BOB]), (4, [BOB])]


def test_what_a_router_did_not_confirm_goes_to_the_next_holder_of_its_partitions() -> None:
    cluster, voice, _ = speaker()
    for n in (3, 4, 5):
        voice.say(n, Say(MESSAGE))
    news(cluster)
    voice.confirmed("router1", 3)
    assert voice.unheard == 4
    cluster.lose("router1")
    voice.lost("router1", 40.0)
    voice.confirmed("router7", 9)  # (says nothing of what router1 had)
    assert voice.unheard == 4
    cluster.node("router2", Kind.ROUTER)
    for partition in {
        cluster.nodes["muc1"].partition(one) for one in ("alice@example.org", "bob@example.org")
    }:
        voice.again(partition)
    again = heard(news(cluster, "router2"))
    assert {4, 5} <= {n for n, _ in again}, "(the bus repeats what it had not acknowledged, too)"
    voice.confirmed("router2", 5)
    assert voice.unheard == 4, "for a while somebody may still take over a partition of router1"
    for second in range(HOLD):
        assert voice.unheard == 4, "a router may have confirmed what it got before this was sent again"
        voice.tick(41.0 + second)
    assert voice.unheard == 0


def test_what_waits_for_a_holder_stays_in_the_tail() -> None:
    """The next holder is sent the tail before what waits: a gap in the tail would be taken for heard."""
    cluster, voice, _ = speaker()
    voice.say(3, Say(MESSAGE))
    news(cluster)
    voice.confirmed("router1", 3)
    cluster.lose("router1")
    for n in (4, 5):
        voice.say(n, Say(MESSAGE))
    voice.confirmed("router7", 5)
    for second in range(HOLD + 1):
        voice.tick(41.0 + second)
    assert [said.n for said in voice.tail] == [4, 5]
    cluster.node("router2", Kind.ROUTER)
    for partition in {cluster.nodes["muc1"].partition(one.partition("/")[0]) for one in (ALICE, BOB)}:
        voice.again(partition)
    numbers = [n for n, _ in heard(news(cluster, "router2")) if n > 3]
    assert numbers[:2] == [4, 5]
    voice.confirmed("router2", 5)
    for second in range(HOLD):
        voice.tick(50.0 + second)
    assert voice.unheard == 0


def test_what_came_back_stays_in_the_tail_until_the_next_holder_was_sent_it() -> None:
    """A router confirms what it gave to the partitions that it serves; the part of another one may be on its way back."""
    cluster, voice, _ = speaker()
    for n in (3, 4):
        voice.say(n, Say(MESSAGE))
    news(cluster)
    partition = cluster.nodes["muc1"].partition(ALICE.partition("/")[0])
    voice.returned(partition, 4)
    voice.returned(partition, 3)
    voice.confirmed("router1", 4)
    assert voice.unheard == 3
    # It has a holder again, and nobody was told of another one: it goes there once more.
    voice.tick(1.0)
    assert [n for n, who in heard(news(cluster)) if ALICE in who] == [3, 4]
    voice.confirmed("router1", 4)
    for second in range(HOLD):
        voice.tick(2.0 + second)
    assert voice.unheard == 0


def test_an_old_number_that_is_sent_again_does_not_hide_that_newer_ones_are_open() -> None:
    _, voice, _ = speaker()
    for n in (3, 4):
        voice.say(n, Say(MESSAGE))
    voice.again()
    for second in range(HOLD):
        voice.confirmed("router1", 3)
        voice.tick(float(second))
    assert voice.unheard == 4


def test_what_was_said_before_somebody_came_in_is_not_said_to_them_again() -> None:
    cluster, voice, _ = speaker()
    voice.say(3, Say(MESSAGE))
    voice.tell([4], Tell(FAR.replace("far.example", "example.org"), (MESSAGE,), True))
    voice.enter(FAR.replace("far.example", "example.org"), 4)
    news(cluster)
    voice.again()
    items = news(cluster)
    assert heard(items) == [(3, [ALICE, BOB])]
    assert [one.origin.n for one in items if isinstance(one, ToSession)] == [4]


def test_long_answers_are_cut() -> None:
    parts = chunks([MESSAGE] * (CHUNK + 1))
    assert [len(part) for part in parts] == [CHUNK, 1]
    assert len(chunks([MESSAGE.replace(inner=b"x" * 100_000)] * 3)) == 3
    assert chunks([]) == [[]]


# --- rows -------------------------------------------------------------------------------------------------------------


def test_an_audience_of_nearly_all_is_packed_as_all_but_the_rest() -> None:
    everybody = [f"user{number}@example.org/r" for number in range(100)]
    ((_, out),) = unpack(pack([((1,), Say(MESSAGE, tuple(everybody[2:]), but=(everybody[5],)))], everybody))
    assert isinstance(out, Say)
    assert out.audience is None
    assert set(out.but) == {everybody[0], everybody[1], everybody[5]}
    few = [((1,), Say(MESSAGE, tuple(everybody[:20])))]
    assert unpack(pack(few, everybody)) == few


def test_sayings_come_back() -> None:
    outs = [
        ((1,), Say(MESSAGE, (ALICE,), but=(BOB,))),
        ((2,), Say(MESSAGE, None, True)),  # (the archive has it)
        ((3, 4), Tell(ALICE, (MESSAGE,) * 2, True)),
        ((5,), Tell(BOB, (MESSAGE,))),
        ((), Send(MESSAGE)),
    ]
    assert unpack(pack(outs)) == [
        ((1,), Say(MESSAGE, (ALICE,), but=(BOB,))),
        ((3, 4), Tell(ALICE, (), True)),
        ((5,), Tell(BOB, (MESSAGE,))),
    ]


@pytest.mark.parametrize("said", [b"", b"\x00", b"\x92\x63\x90", b"\xff" * 20])
def test_what_cannot_be_read_is_not_said(said: bytes) -> None:
    assert unpack(said) == []


def test_of_each_row_only_what_came_last_is_written() -> None:
    room = RoomRow(1, 7, ROOM, b"old")
    came = OccupantRow(1, ALICE, 7, "a", 1, b"x")
    batch = coalesce(
        [
            Rows(room, (), (came,), Saying(1, 1, 7, b"", 0, b"s")),
            Rows(room._replace(state=b"new"), (), (came._replace(state=None),)),
            Rows(None, (), (came._replace(jid=BOB),)),
        ]
    )
    assert [one.state for one in batch.rooms] == [b"new"]
    assert {one.jid: one.state for one in batch.occupants} == {ALICE: None, BOB: b"x"}
    assert [one.n for one in batch.sayings] == [1]

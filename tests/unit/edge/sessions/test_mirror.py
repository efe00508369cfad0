from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rookery.edge.sessions.mirror import SessionMirror, Verdict, chunks
from rookery.edge.sessions.recent_messages import RecentMessages
from rookery.shared.bus.messages import MirrorSession
from rookery.shared.xmpp.stanza import Stanza

MESSAGE = Stanza.build("message", to="a@x/r")


def test_numbers_are_taken_densely() -> None:
    mirror = SessionMirror(7)
    assert mirror.take(7, 1, b"s", 4, MESSAGE) is Verdict.TAKE
    assert mirror.take(7, 3, b"s", 5, MESSAGE) is Verdict.HOLE
    assert mirror.take(7, 1, b"s", 4, MESSAGE) is Verdict.REPEATED
    assert mirror.take(6, 2, b"s", 5, MESSAGE) is Verdict.STALE
    assert mirror.take(8, 2, b"s", 5, MESSAGE) is Verdict.STALE
    assert mirror.take(7, 2, b"s", 5, MESSAGE) is Verdict.TAKE
    assert mirror.n == 2


def test_what_was_written_is_reported_once() -> None:
    mirror = SessionMirror(1)
    for n in (1, 2, 3):
        mirror.take(1, n, b"s", n, MESSAGE)
    assert mirror.inflight() == [(1, b"s", 1), (2, b"s", 2), (3, b"s", 3)]
    assert mirror.written(2)
    assert not mirror.written(2)
    assert not mirror.written(1)
    assert mirror.inflight() == [(3, b"s", 3)]
    assert mirror.written(3)
    assert mirror.inflight() == []


def test_a_stanza_of_the_server_has_no_origin_to_keep() -> None:
    mirror = SessionMirror(1)
    mirror.take(1, 1, b"", 0, Stanza.build("presence"))
    assert mirror.inflight() == []
    assert mirror.describe(5, b"stream", "a@x/r") == MirrorSession(
        5, b"stream", "a@x/r", 1, 1, 0, b"", [], []
    )


def test_the_highest_number_of_a_room_is_remembered() -> None:
    mirror = SessionMirror(1, RecentMessages())
    said = Stanza.build("message", type="groupchat", from_="r@x/n")
    for n, number in ((1, 7), (2, 9), (3, 12)):
        mirror.take(1, n, b"room:r@x", number, said, "a@x/r")
    mirror.written(2)
    assert mirror.describe(5, b"stream", "a@x/r").heard == ((b"room:r@x", 9),)
    assert mirror.inflight() == [(3, b"room:r@x", 12)]
    assert mirror.messages() == [], "it has no other way than this session"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.integers(1, 12)), st.tuples(st.just("write"), st.integers(0, 12))
        )
    )
)
def test_the_mirror_is_what_was_taken_and_not_written(steps: list[tuple[str, int]]) -> None:
    mirror, taken, acked = SessionMirror(1), [], 0
    for what, n in steps:
        if what == "take":
            took = mirror.take(1, n, b"s", n, MESSAGE) is Verdict.TAKE
            assert took == (n == len(taken) + 1)
            if took:
                taken.append(n)
        else:
            n = min(n, len(taken))
            assert mirror.written(n) == (n > acked)
            acked = max(acked, n)
        assert [number for number, _, _ in mirror.inflight()] == taken[acked:]
        assert (mirror.n, mirror.acked) == (len(taken), acked)


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 5), st.integers(1, 12))
def test_chunks_have_everything_once_and_one_end(sizes: list[int], sessions: int, inflight: int) -> None:
    described = [
        MirrorSession(sid, b"", "a@x/r", 1, 0, 0, b"", [(n, b"s", n) for n in range(size)])
        for sid, size in enumerate(sizes)
    ]
    out = list(chunks("edge1", 9, described, sessions, inflight))
    assert [chunk.last for chunk in out] == [False] * (len(out) - 1) + [True]
    assert [session for chunk in out for session in chunk.sessions] == described
    for chunk in out:
        assert len(chunk.sessions) <= sessions
        assert len(chunk.sessions) == 1 or sum(len(s.inflight) for s in chunk.sessions) <= inflight


def test_messages_are_told_until_they_are_written_as_far_as_they_fit() -> None:
    mirror = SessionMirror(1)
    big = MESSAGE.replace(inner=b"x" * 100_000)
    for n in range(1, 6):
        mirror.take(1, n, b"s", n, big if n != 2 else Stanza.build("iq"))
    described = mirror.describe(5, b"stream", "a@x/r")
    assert [n for n, _, _ in described.inflight] == [1, 2, 3, 4, 5]
    assert [n for n, _ in described.stanzas] == [1, 3]
    mirror.written(3)
    assert mirror.messages() == [(4, big), (5, big)]


def test_chunks_are_bounded_by_bytes() -> None:
    message = MESSAGE.replace(inner=b"x" * 1000)
    described = [MirrorSession(sid, b"", "a@x/r", 1, 0, 0, b"", [], [(1, message)]) for sid in range(10)]
    assert [len(chunk.sessions) for chunk in chunks("edge1", 9, described, max_bytes=5000)] == [3, 3, 3, 1]


def test_stored_messages_are_told_for_a_while_after_they_were_written() -> None:
    mirror = SessionMirror(7)
    message = Stanza.build("message", to="a@x/r")
    mirror.take(7, 1, b"", 41, message)
    mirror.take(7, 2, b"origin", 5, message)
    mirror.written(2)
    assert mirror.describe(1, b"s", "a@x/r").inflight == [(1, b"", 41)]
    assert not mirror.age()
    mirror.take(7, 3, b"", 42, message)
    assert mirror.describe(1, b"s", "a@x/r").inflight == [(1, b"", 41), (3, b"", 42)]
    assert not mirror.age()  # the first is forgotten; the other is not even written
    assert mirror.describe(1, b"s", "a@x/r").inflight == [(3, b"", 42)]
    mirror.written(3)
    assert not mirror.age()
    assert mirror.age()
    assert mirror.describe(1, b"s", "a@x/r").inflight == []


def test_a_message_to_many_is_told_with_the_address_of_this_session() -> None:
    """Without resumption too: a new holder must know whose it was, and give it nobody else."""
    late = RecentMessages()
    mirror = SessionMirror(1, late)
    many = MESSAGE.replace(to="")
    mirror.take(1, 1, b"room", 7, many, "a@x/r")
    assert mirror.messages() == [(1, many.replace(to="a@x/r"))]
    assert mirror.inflight() == [(1, b"room", 7)]
    mirror.written(1)
    (chunk,) = late.chunks("edge1", 5, {"a@x": 5}.__getitem__)
    assert [(stream, n, stanza.to) for stream, n, stanza in chunk.late] == [(b"room", 7, "a@x/r")]

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rookery.edge.sessions.open_iqs import MAX_OPEN, IqKey, OpenIqs, timeout_answer


def test_an_unanswered_request_expires_once() -> None:
    table = OpenIqs(30.0)
    table.open(IqKey(1, "a", ""), 0.0)
    table.open(IqKey(1, "b", "x@y"), 10.0)
    assert table.due() == 30.0
    assert table.expire(29.9) == []
    assert table.expire(30.0) == [(IqKey(1, "a", ""), 0)]
    assert table.expire(39.0) == []
    assert table.expire(40.0) == [(IqKey(1, "b", "x@y"), 0)]
    assert table.due() is None
    assert len(table) == 0


def test_only_the_answer_of_the_one_who_was_asked_counts() -> None:
    table = OpenIqs(30.0)
    table.open(IqKey(1, "a", "x@y"), 0.0)
    assert table.answered(IqKey(1, "a", "evil@y")) == -1
    assert table.answered(IqKey(2, "a", "x@y")) == -1
    assert table.answered(IqKey(1, "a", "x@y")) >= 0
    assert table.answered(IqKey(1, "a", "x@y")) == -1
    assert table.expire(100.0) == []


def test_a_repeated_id_starts_its_time_anew() -> None:
    table = OpenIqs(30.0)
    table.open(IqKey(1, "a", ""), 0.0)
    table.open(IqKey(1, "a", ""), 20.0, 7)
    assert table.expire(30.0) == []
    assert table.expire(50.0) == [(IqKey(1, "a", ""), 7)]


def test_too_many_open_requests_of_one_stream() -> None:
    table = OpenIqs(30.0)
    assert all(table.open(IqKey(1, str(n), ""), 0.0) for n in range(MAX_OPEN))
    assert not table.open(IqKey(1, "more", ""), 0.0)
    assert table.open(IqKey(1, "5", ""), 0.0)
    assert table.open(IqKey(2, "more", ""), 0.0)
    table.answered(IqKey(1, "0", ""))
    assert table.open(IqKey(1, "more", ""), 0.0)


def test_a_closed_stream_is_forgotten() -> None:
    table = OpenIqs(30.0)
    table.open(IqKey(1, "a", ""), 0.0)
    table.open(IqKey(2, "a", ""), 0.0)
    table.close(1)
    table.close(7)
    assert table.expire(30.0) == [(IqKey(2, "a", ""), 0)]


@given(
    st.lists(st.tuples(st.sampled_from("oac"), st.integers(1, 3), st.sampled_from("xyz"), st.floats(0, 9)))
)
def test_each_request_is_answered_or_expires_exactly_once(steps: list[tuple[str, int, str, float]]) -> None:
    table, now, model = OpenIqs(30.0), 0.0, {}
    for what, sid, id_, pause in steps:
        now += pause
        key = IqKey(sid, id_, "")
        for late, _ in table.expire(now):
            assert model.pop(late) <= now
        if what == "o":
            assert table.open(key, now)
            model[key] = now + 30.0
        elif what == "a":
            assert (table.answered(key) >= 0) == (model.pop(key, None) is not None)
        else:
            table.close(sid)
            model = {k: v for k, v in model.items() if k.sid != sid}
        assert len(table) == len(model)
    assert {key for key, _ in table.expire(now + 30.0)} == {*model}


def test_the_error_comes_from_the_entity_that_did_not_answer() -> None:
    answer = timeout_answer(IqKey(1, "a", "bob@x/r"), "alice@x/phone")
    assert (answer.kind, answer.type, answer.id) == ("iq", "error", "a")
    assert (answer.from_, answer.to) == ("bob@x/r", "alice@x/phone")
    assert b"remote-server-timeout" in answer.inner
    assert timeout_answer(IqKey(1, "a", ""), "alice@x/phone").from_ == "alice@x"

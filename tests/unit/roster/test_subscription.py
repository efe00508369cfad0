"""The subscription table, row by row (RFC 6121 Appendix A and section 3.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.workers.roster.subscription import (
    BOTH,
    FROM,
    FROM_OUT,
    INBOUND,
    NONE,
    NONE_IN,
    NONE_OUT,
    NONE_OUT_IN,
    OUTBOUND,
    TO,
    TO_IN,
    TYPES,
    State,
    removal,
    step,
)

STATES = (NONE, NONE_OUT, NONE_IN, NONE_OUT_IN, TO, TO_IN, FROM, FROM_OUT, BOTH)
STATE = st.sampled_from(STATES).flatmap(lambda s: st.booleans().map(lambda a: s._replace(approved=a)))
EVENTS = st.tuples(st.booleans(), st.sampled_from(sorted(TYPES)))
SAME = None

# (citation, outbound, type, old, new or SAME, forward, reply, presence)
ROWS = [
    ("A.2.1", True, "subscribe", NONE, NONE_OUT, True, "", ""),
    ("A.2.1", True, "subscribe", NONE_OUT, SAME, True, "", ""),
    ("A.2.1", True, "subscribe", NONE_IN, NONE_OUT_IN, True, "", ""),
    ("A.2.1", True, "subscribe", NONE_OUT_IN, SAME, True, "", ""),
    ("A.2.1", True, "subscribe", TO, SAME, True, "", ""),
    ("A.2.1", True, "subscribe", TO_IN, SAME, True, "", ""),
    ("A.2.1", True, "subscribe", FROM, FROM_OUT, True, "", ""),
    ("A.2.1", True, "subscribe", FROM_OUT, SAME, True, "", ""),
    ("A.2.1", True, "subscribe", BOTH, SAME, True, "", ""),
    ("A.2.2", True, "unsubscribe", NONE, SAME, True, "", ""),
    ("A.2.2", True, "unsubscribe", NONE_OUT, NONE, True, "", ""),
    ("A.2.2", True, "unsubscribe", NONE_IN, SAME, True, "", ""),
    ("A.2.2", True, "unsubscribe", NONE_OUT_IN, NONE_IN, True, "", ""),
    ("A.2.2", True, "unsubscribe", TO, NONE, True, "", ""),
    ("A.2.2", True, "unsubscribe", TO_IN, NONE_IN, True, "", ""),
    ("A.2.2", True, "unsubscribe", FROM, SAME, True, "", ""),
    ("A.2.2", True, "unsubscribe", FROM_OUT, FROM, True, "", ""),
    ("A.2.2", True, "unsubscribe", BOTH, FROM, True, "", ""),
    ("A.2.3, 3.4.2", True, "subscribed", NONE, NONE._replace(approved=True), False, "", ""),
    ("A.2.3, 3.4.2", True, "subscribed", NONE_OUT, NONE_OUT._replace(approved=True), False, "", ""),
    ("A.2.3, 3.1.5", True, "subscribed", NONE_IN, FROM, True, "", "available"),
    ("A.2.3, 3.1.5", True, "subscribed", NONE_OUT_IN, FROM_OUT, True, "", "available"),
    ("A.2.3, 3.4.2", True, "subscribed", TO, TO._replace(approved=True), False, "", ""),
    ("A.2.3, 3.1.5", True, "subscribed", TO_IN, BOTH, True, "", "available"),
    ("A.2.3", True, "subscribed", FROM, SAME, False, "", ""),
    ("A.2.3", True, "subscribed", FROM_OUT, SAME, False, "", ""),
    ("A.2.3", True, "subscribed", BOTH, SAME, False, "", ""),
    ("A.2.4", True, "unsubscribed", NONE, SAME, False, "", ""),
    ("A.2.4", True, "unsubscribed", NONE_OUT, SAME, False, "", ""),
    ("A.2.4", True, "unsubscribed", NONE_IN, NONE, True, "", ""),
    ("A.2.4", True, "unsubscribed", NONE_OUT_IN, NONE_OUT, True, "", ""),
    ("A.2.4", True, "unsubscribed", TO, SAME, False, "", ""),
    ("A.2.4", True, "unsubscribed", TO_IN, TO, True, "", ""),
    ("A.2.4, 3.2.2", True, "unsubscribed", FROM, NONE, True, "", "unavailable"),
    ("A.2.4, 3.2.2", True, "unsubscribed", FROM_OUT, NONE_OUT, True, "", "unavailable"),
    ("A.2.4, 3.2.2", True, "unsubscribed", BOTH, TO, True, "", "unavailable"),
    ("A.3.1", False, "subscribe", NONE, NONE_IN, True, "", ""),
    ("A.3.1", False, "subscribe", NONE_OUT, NONE_OUT_IN, True, "", ""),
    ("A.3.1", False, "subscribe", NONE_IN, SAME, False, "", ""),
    ("A.3.1", False, "subscribe", NONE_OUT_IN, SAME, False, "", ""),
    ("A.3.1", False, "subscribe", TO, TO_IN, True, "", ""),
    ("A.3.1", False, "subscribe", TO_IN, SAME, False, "", ""),
    ("A.3.1", False, "subscribe", FROM, SAME, False, "subscribed", "available"),
    ("A.3.1", False, "subscribe", FROM_OUT, SAME, False, "subscribed", "available"),
    ("A.3.1", False, "subscribe", BOTH, SAME, False, "subscribed", "available"),
    ("A.3.2", False, "unsubscribe", NONE, SAME, False, "", ""),
    ("A.3.2", False, "unsubscribe", NONE_OUT, SAME, False, "", ""),
    ("A.3.2", False, "unsubscribe", NONE_IN, NONE, True, "", ""),
    ("A.3.2", False, "unsubscribe", NONE_OUT_IN, NONE_OUT, True, "", ""),
    ("A.3.2", False, "unsubscribe", TO, SAME, False, "", ""),
    ("A.3.2", False, "unsubscribe", TO_IN, TO, True, "", ""),
    ("A.3.2, 3.3.3", False, "unsubscribe", FROM, NONE, True, "", "unavailable"),
    ("A.3.2, 3.3.3", False, "unsubscribe", FROM_OUT, NONE_OUT, True, "", "unavailable"),
    ("A.3.2, 3.3.3", False, "unsubscribe", BOTH, TO, True, "", "unavailable"),
    ("A.3.3", False, "subscribed", NONE, SAME, False, "", ""),
    ("A.3.3", False, "subscribed", NONE_OUT, TO, True, "", ""),
    ("A.3.3", False, "subscribed", NONE_IN, SAME, False, "", ""),
    ("A.3.3", False, "subscribed", NONE_OUT_IN, TO_IN, True, "", ""),
    ("A.3.3", False, "subscribed", TO, SAME, False, "", ""),
    ("A.3.3", False, "subscribed", TO_IN, SAME, False, "", ""),
    ("A.3.3", False, "subscribed", FROM, SAME, False, "", ""),
    ("A.3.3", False, "subscribed", FROM_OUT, BOTH, True, "", ""),
    ("A.3.3", False, "subscribed", BOTH, SAME, False, "", ""),
    ("A.3.4", False, "unsubscribed", NONE, SAME, False, "", ""),
    ("A.3.4", False, "unsubscribed", NONE_OUT, NONE, True, "", ""),
    ("A.3.4", False, "unsubscribed", NONE_IN, SAME, False, "", ""),
    ("A.3.4", False, "unsubscribed", NONE_OUT_IN, NONE_IN, True, "", ""),
    ("A.3.4", False, "unsubscribed", TO, NONE, True, "", ""),
    ("A.3.4", False, "unsubscribed", TO_IN, NONE_IN, True, "", ""),
    ("A.3.4", False, "unsubscribed", FROM, SAME, False, "", ""),
    ("A.3.4", False, "unsubscribed", FROM_OUT, FROM, True, "", ""),
    ("A.3.4", False, "unsubscribed", BOTH, FROM, True, "", ""),
    # Section 3.4.2: a request that was approved beforehand is answered, not delivered.
    ("3.4.2", False, "subscribe", NONE._replace(approved=True), FROM._replace(approved=True), False, "subscribed", "available"),
    ("3.4.2", False, "subscribe", NONE_OUT._replace(approved=True), FROM_OUT._replace(approved=True), False, "subscribed", "available"),
    ("3.4.2", False, "subscribe", TO._replace(approved=True), BOTH._replace(approved=True), False, "subscribed", "available"),
    ("3.4.2", True, "unsubscribed", NONE._replace(approved=True), NONE, False, "", ""),
    ("3.4.2", True, "unsubscribed", FROM._replace(approved=True), NONE, True, "", "unavailable"),
    # Section 4.3.2: an answer to a probe must not cancel a pre-approval.
    ("4.3.2", False, "unsubscribed", TO._replace(approved=True), NONE._replace(approved=True), True, "", ""),
]  # fmt: skip


def name(state: State) -> str:
    flags = [state.subscription, "out" * state.out, "in" * state.in_, "approved" * state.approved]
    return "+".join(flag for flag in flags if flag)


@pytest.mark.parametrize(
    ("cite", "outbound", "type", "old", "new", "forward", "reply", "presence"),
    ROWS,
    ids=[f"{cite} {'out' if out else 'in'} {type} {name(old)}" for cite, out, type, old, *_ in ROWS],
)
def test_row(
    cite: str,
    outbound: bool,
    type: str,
    old: State,
    new: State | None,
    forward: bool,
    reply: str,
    presence: str,
) -> None:
    done = step(old, outbound, type)
    assert done.new == (old if new is None else new), cite
    assert (done.forward, done.reply, done.presence) == (forward, reply, presence)
    assert done.push == (done.new.visible != old.visible)


def test_every_row_of_the_tables_has_its_test() -> None:
    tested = {(outbound, type, old) for _, outbound, type, old, *_ in ROWS}
    for outbound, tables in ((True, OUTBOUND), (False, INBOUND)):
        assert set(tables) == TYPES
        for type, rows in tables.items():
            assert set(rows) == set(STATES)
            assert {(outbound, type, old) for old in rows} <= tested


@given(STATE)
def test_a_state_survives_storage(state: State) -> None:
    assert State.decode(state.code()) == state


@given(STATE, EVENTS)
def test_a_step_leads_to_a_state_of_the_rfc_and_repeats_without_change(
    state: State, event: tuple[bool, str]
) -> None:
    done = step(state, *event)
    assert done.new._replace(approved=False) in STATES
    assert step(done.new, *event).new == done.new


@given(STATE, EVENTS)
def test_the_contact_sees_nothing_that_was_not_granted(state: State, event: tuple[bool, str]) -> None:
    done = step(state, *event)
    if done.new.from_ and not state.from_:
        assert event == (True, "subscribed") or (event == (False, "subscribe") and state.approved)
    if done.presence == "available":
        assert done.new.from_
    assert (state.from_ and not done.new.from_) == (done.presence == "unavailable")


@given(STATE, EVENTS)
def test_a_request_stays_until_it_is_answered_or_withdrawn(state: State, event: tuple[bool, str]) -> None:
    if state.in_ and not step(state, *event).new.in_:
        answered = event in {(True, "subscribed"), (True, "unsubscribed"), (False, "unsubscribe")}
        assert answered or (event == (False, "subscribe") and state.approved)


@given(st.lists(EVENTS, max_size=12))
def test_both_sides_agree_when_nothing_is_lost(events: list[tuple[bool, str]]) -> None:
    """Two accounts that exchange stanzas in order: whoever sees the other is seen by the other."""
    alice = bob = NONE
    for from_alice, type in events:
        queue = [(from_alice, type, True)]
        while queue:
            alice_sends, kind, client = queue.pop(0)
            if client:
                done = step(alice if alice_sends else bob, True, kind)
                alice, bob = (done.new, bob) if alice_sends else (alice, done.new)
                if not done.forward:
                    continue
            done = step(bob if alice_sends else alice, False, kind)
            alice, bob = (alice, done.new) if alice_sends else (done.new, bob)
            if done.reply:
                queue.append((not alice_sends, done.reply, False))
        assert alice.to == bob.from_
        assert bob.to == alice.from_
        assert alice.out == bob.in_
        assert bob.out == alice.in_


@pytest.mark.parametrize(
    ("state", "types"),
    [
        (NONE, ()),
        (NONE_OUT, ("unsubscribe",)),
        (NONE_IN, ()),
        (TO, ("unsubscribe",)),
        (FROM, ("unsubscribed",)),
        (BOTH, ("unsubscribe", "unsubscribed")),
        (FROM_OUT, ("unsubscribe", "unsubscribed")),
    ],
)
def test_removal_cancels_both_ways(state: State, types: tuple[str, ...]) -> None:
    """RFC 6121 section 2.5.2."""
    assert removal(state) == types

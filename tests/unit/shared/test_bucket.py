"""One bucket for all rates: for what was read already, and for what may be refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.bucket import Bucket


@given(
    st.floats(1, 1000),
    st.floats(1, 5000),
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 2000)), max_size=50),
)
def test_a_reader_that_waits_as_told_never_exceeds_the_rate(
    rate: float, burst: float, steps: list[tuple[float, float]]
) -> None:
    bucket = Bucket(rate, burst, 0.0)
    now = total = last = 0.0
    for pause, amount in steps:
        now += pause
        wait = bucket.take(amount, now)
        total, last = total + amount, amount
        # What came is bounded by the burst, the rate, and one turn's worth.
        assert total <= burst + rate * now + last + 1e-6
        now += wait
        assert wait == 0.0 or bucket.take(0.0, now) <= 1 / rate + 1e-6


@given(
    st.floats(0.1, 1000),
    st.floats(1, 5000),
    st.lists(st.tuples(st.floats(0, 3), st.floats(0.5, 100)), max_size=50),
)
def test_what_may_be_refused_never_exceeds_the_rate(
    rate: float, burst: float, steps: list[tuple[float, float]]
) -> None:
    bucket = Bucket(rate, burst, 0.0)
    now = spent = 0.0
    for pause, cost in steps:
        now += pause
        spent += cost if bucket.spend(now, cost) else 0.0
        assert spent <= burst + rate * now + 1e-6


def test_what_is_refused_costs_nothing() -> None:
    bucket = Bucket(1.0, 2.0, 0.0)
    assert bucket.spend(0.0, 2.0)
    assert not any(bucket.spend(0.25) for _ in range(10))
    assert bucket.wait() == pytest.approx(0.75)
    assert bucket.spend(1.0)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(1.0, 1.0, 100.0)
    assert bucket.spend(100.0)
    assert not bucket.spend(50.0)
    assert not bucket.spend(50.5)


def test_another_rate_goes_on_from_what_is_left() -> None:
    bucket = Bucket(1.0, 10.0, 0.0)
    assert bucket.spend(0.0, 8.0)
    assert bucket.configure(2.0, 1.0).spend(0.0)
    assert not bucket.spend(0.4)
    assert bucket.spend(0.5)

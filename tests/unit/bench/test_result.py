"""The result file: histograms merge exactly, JSON comes back as it went, foreign files are refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import many

from rookery.bench import result
from rookery.bench.histogram import HIGHEST_US, Histogram

LATENCIES = st.lists(st.integers(0, 10_000_000), max_size=60)


def histogram(values: list[int]) -> Histogram:
    made = Histogram()
    made.record_many(values)
    return made


@settings(max_examples=many(20), deadline=None)
@given(LATENCIES, LATENCIES)
def test_merged_histograms_are_the_histogram_of_all(left: list[int], right: list[int]) -> None:
    merged = Histogram.decode(histogram(left).encode())
    merged.merge(histogram(right).encode())
    assert merged.recorded() == histogram(left + right).recorded()
    assert merged.count == len(left) + len(right)


@settings(max_examples=many(20), deadline=None)
@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=60))
def test_percentiles_are_within_three_digits(values: list[int]) -> None:
    made = histogram(values)
    assert made.percentile_ms(100) * 1000 == pytest.approx(max(values), rel=0.001, abs=1)
    assert made.max_ms * 1000 == pytest.approx(max(values), rel=0.001, abs=1)


def test_values_out_of_range_are_kept_at_the_border() -> None:
    made = histogram([-5, HIGHEST_US * 3])
    assert made.count == 2
    assert made.max_ms == pytest.approx(HIGHEST_US / 1000, rel=0.001)


def test_empty_histogram() -> None:
    assert Histogram().encode() == ""
    assert result.Latency.of(Histogram.decode("")) == result.Latency()


@pytest.mark.parametrize("text", ["x", "HISTFAAA", "AAAA" * 20, "é"])
def test_garbage_is_no_histogram(text: str) -> None:
    with pytest.raises(ValueError, match="not an encoded HDR histogram"):
        Histogram.decode(text)


def test_operations_of_processes_merge() -> None:
    parts = [
        {"chat": result.Operation.of(histogram([1000, 2000]), 2.0, {"closed": 1})},
        {"chat": result.Operation.of(histogram([3000]), 2.0, {"closed": 2, "timeout": 1})},
        {"ping": result.Operation.of(histogram([5]), 2.0)},
    ]
    merged = result.merge_operations(parts, 2.0)
    assert merged["chat"].count == 3
    assert merged["chat"].rate == 1.5
    assert merged["chat"].errors == {"closed": 3, "timeout": 1}
    assert merged["chat"].failed == 4
    assert merged["chat"].latency_ms.p50 == pytest.approx(2.0, rel=0.001)
    assert merged["ping"].count == 1


def test_messages_add_up() -> None:
    one, two = result.Messages(5, 4, 1, 2, 3), result.Messages(1, 1, 0, 0, 0)
    assert result.merge_messages([one, two]) == result.Messages(6, 5, 1, 2, 3)


def make(**changes: object) -> result.Result:
    made = result.Result(
        scenario="chat",
        started="2026-11-21T12:00:00Z",
        seconds=2.0,
        operations={"chat": result.Operation.of(histogram([1000, 2000]), 2.0)},
        series=(result.Point(0.0, 1, 1, server_cpu=0.5),),
        server=result.Server((result.ServerProcess(1, "beam", ("server",), 1.5, 100),), 1.5, 100),
    )
    return result.msgspec.structs.replace(made, **changes)


def test_a_result_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    result.write(path, make())
    assert result.read(path) == result.Runs((make(),))
    runs = result.Runs((make(label="a"), make(label="b", server=None)))
    result.write(path, runs)
    assert result.read(path) == runs
    assert json.loads(path.read_bytes())["schema"] == 1


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "not a result file"),
        (b"[]", "schema 1"),
        (b'{"schema":2}', "schema 1"),
        (b'{"schema":1,"scenario":3}', "Expected `str`"),
        (b'{"schema":1,"runs":4}', "Expected `array`"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(result.ResultError, match=why) as caught:
        result.read(path)
    assert str(path) in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(result.ResultError, match="No such file"):
        result.read(tmp_path / "none.json")

"""Levels of single modules: which lines are written, what comes back, what is told of names that are none."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import LogCapture

from rookery.shared.observe import levels, log

NAMES = ("rookery.thing", "rookery.thing.part", "rookery.other")


@pytest.fixture
def written() -> Iterator[LogCapture]:
    """Three modules with a logger each, at level info."""
    capture = LogCapture()
    structlog.configure(processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(20))
    for name in NAMES:
        module = types.ModuleType(name)
        module._log = structlog.get_logger()  # type: ignore[attr-defined]
        sys.modules[name] = module
    yield capture
    levels.apply({})
    for name in NAMES:
        del sys.modules[name]
    log.configure()
    log.quick.level = 51


def say(capture: LogCapture) -> list[str]:
    capture.entries.clear()
    for name in NAMES:
        for level in ("debug", "info", "warning"):
            getattr(sys.modules[name]._log, level)(f"{name.removeprefix('rookery.')} {level}")
    return [entry["event"] for entry in capture.entries]


def test_a_part_says_more_and_the_others_what_they_said(written: LogCapture) -> None:
    before = say(written)
    assert not any("debug" in line for line in before)
    assert levels.apply({"thing": "debug"}) == []
    assert [line for line in say(written) if "debug" in line] == ["thing debug", "thing.part debug"]
    assert levels.apply({"thing": "warning", "thing.part": "debug"}) == []
    assert say(written) == ["thing warning", "thing.part debug", "thing.part info", "thing.part warning", "other info", "other warning"]  # fmt: skip
    assert levels.apply({}) == []
    assert say(written) == before


def test_the_level_of_all_changes_beside(written: LogCapture) -> None:
    levels.apply({"other": "debug"})
    log.level("error")
    assert say(written) == ["other debug", "other info", "other warning"]


def test_names_of_nothing_are_told(written: LogCapture) -> None:
    assert levels.apply({"thing": "debug", "nothing.here": "info"}) == ["nothing.here"]


@pytest.mark.parametrize("line", ["edge", "edge=loud", "=debug", ""])
def test_what_is_no_level_of_a_module(line: str) -> None:
    with pytest.raises(ValueError, match="MODULE=LEVEL"):
        levels.parse([line])


def test_the_longest_name_counts() -> None:
    said = levels.parse(["edge=warning", "rookery.edge.login=debug"])
    assert levels.level_of("edge.login.login", said) == "debug"
    assert levels.level_of("edge.door", said) == "warning"
    assert levels.level_of("edgeless", said) == ""

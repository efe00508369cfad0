"""How many lines clients may cause, and what is told of the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from rookery.shared.observe import log as logs
from rookery.shared.observe.clients import ClientLog
from rookery.shared.observe.flood import MAX_ADDRESSES, PER_ADDRESS, WINDOW, Flood, Suppressed


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_an_event_has_its_lines_and_no_more() -> None:
    flood = Flood(3)
    assert [flood.admits("login", "", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert flood.admits("end", "", 0.0), "each event has a bound of its own"
    assert flood.ended(WINDOW - 0.01) == []
    assert flood.ended(WINDOW) == [Suppressed("login", 2, 0, "")]
    assert flood.admits("login", "", WINDOW)


def test_one_address_cannot_hide_another() -> None:
    flood = Flood(1000)
    assert sum(flood.admits("failed", "192.0.2.1", 0.0) for _ in range(10_000)) == PER_ADDRESS
    assert flood.admits("failed", "192.0.2.2", 0.0)
    assert flood.ended(WINDOW) == [Suppressed("failed", 10_000 - PER_ADDRESS, 2, "192.0.2.1")]


def test_a_flood_of_addresses_costs_bounded_memory() -> None:
    flood = Flood(10)
    for n in range(2 * MAX_ADDRESSES):
        flood.admits("failed", f"address{n}", 0.0)
    (told,) = flood.ended(WINDOW)
    assert told.lines == 2 * MAX_ADDRESSES - 10
    assert told.addresses == MAX_ADDRESSES


def test_a_quiet_window_tells_nothing() -> None:
    flood = Flood(10)
    assert flood.ended(5.0) == []
    flood.admits("login", "", 5.0)
    assert flood.ended(100.0) == []


def test_lines_go_out_until_there_are_too_many_and_none_when_that_is_set() -> None:
    now = 0.0
    lines: list[tuple[str, dict[str, Any]]] = []
    log = ClientLog(1, lambda: now, lambda event, **fields: lines.append((event, fields)))
    for _ in range(15):
        log("client_login", account="a@x", address="192.0.2.1")
    assert lines == [("client_login", {"account": "a@x", "address": "192.0.2.1"})] * 10
    now = WINDOW
    log("client_login", account="a@x", address="192.0.2.1")
    assert len(lines) == 11
    ClientLog(0, lambda: now, lambda event, **fields: lines.append((event, fields)))("client_login")
    assert len(lines) == 11


def test_a_summary_names_what_it_is_about(capsys: Any) -> None:
    logs.configure(form="json")
    now = 0.0
    log = ClientLog(1, lambda: now, lambda event, **fields: None)
    for _ in range(PER_ADDRESS + 5):
        log("client_login_failed", address="192.0.2.9")
    now = WINDOW
    log.tick()
    (line,) = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert line["event"] == "client_lines_suppressed"
    assert (line["suppressed"], line["lines"], line["most_of"]) == ("client_login_failed", 15, "192.0.2.9")

"""When a process says that it is ready, and where it listens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import trio
from trio.testing import MockClock

from rookery.shared.bus.messages import Kind
from rookery.shared.config import Config
from rookery.wiring import _Process


async def test_an_edge_that_does_not_listen_yet_is_not_ready(autojump_clock: MockClock) -> None:
    """It has no domains as long as no account worker lives, and no ports: whoever started it would never learn them."""
    said: list[tuple[float, Any]] = []
    began = trio.current_time()
    process = _Process(Config(), (Kind.EDGE,), lambda m: said.append((trio.current_time() - began, m)), None)
    edge: Any = SimpleNamespace(ports={})
    process._services = [edge]
    node: Any = SimpleNamespace(readiness=lambda: SimpleNamespace(ready=False, known={}), partitions=256)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(process._announce, node, 9000)
        await trio.sleep(60)
        assert said == []
        edge.ports = {"c2s": 5222}
    ((at, message),) = said
    assert (message["say"], message["ports"]) == ("ready", {"c2s": 5222, "admin": 9000})
    assert at < 61


async def test_an_edge_that_listens_waits_a_while_for_holders(autojump_clock: MockClock) -> None:
    said: list[float] = []
    began = trio.current_time()
    process = _Process(Config(), (Kind.EDGE,), lambda _: said.append(trio.current_time() - began), None)
    process._services = [SimpleNamespace(ports={"c2s": 5222})]  # type: ignore[list-item]
    node: Any = SimpleNamespace(readiness=lambda: SimpleNamespace(ready=True, known={}), partitions=256)
    await process._announce(node, 9000)
    (at,) = said
    assert 10 <= at < 12

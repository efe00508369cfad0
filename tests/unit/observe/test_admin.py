"""Liveness and readiness."""

from __future__ import annotations

import json

import trio.testing

from rookery.shared.observe.admin import LAG_LIMIT, Health, routes
from rookery.shared.observe.http import Request, Response


async def get(health: Health, path: str, accept: str = "") -> Response:
    answer = await routes(health)["GET", path](Request("GET", path, {}, {"accept": accept}))
    assert isinstance(answer, Response)
    return answer


async def test_ready_names_what_fails() -> None:
    health, state = Health(), {"nats": False}
    health.checks["nats"] = lambda: state["nats"]
    health.checks["database"] = lambda: True
    answer = await get(health, "/readyz")
    assert (answer.status, json.loads(answer.body)) == (503, {"failing": ["nats"]})
    state["nats"] = True
    assert (await get(health, "/readyz")).status == 200
    health.draining = True
    answer = await get(health, "/readyz")
    assert (answer.status, json.loads(answer.body)) == (503, {"failing": ["draining"]})


async def test_alive_depends_on_the_loop_only() -> None:
    health = Health()
    health.checks["nats"] = lambda: False
    assert (await get(health, "/livez")).status == 200
    health.lag = LAG_LIMIT
    assert (await get(health, "/livez")).status == 503


async def test_lag_is_measured(autojump_clock: trio.testing.MockClock) -> None:
    health = Health()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(health.watch_loop)
        await trio.sleep(0.5)
        autojump_clock.jump(3)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert 2 < health.lag < 3


async def test_metrics_say_whether_ready() -> None:
    answer = await get(Health(), "/metrics")
    assert b"rookery_ready 1.0" in answer.body

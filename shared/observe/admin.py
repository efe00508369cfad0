"""The admin endpoints of a process: /livez, /readyz and /metrics."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from rookery.shared.observe import metrics
from rookery.shared.observe.http import HttpLimits, Request, Response, Routes, serve_http

#: A loop that woke up later than this is not alive.
LAG_LIMIT: Final = 5.0
_EVERY: Final = 1.0
_JSON: Final = "application/json"


class Health:
    """What /livez and /readyz say. A check returns True when all is well; it is called for each request, so it is cheap."""

    def __init__(self) -> None:
        self.checks: dict[str, Callable[[], bool]] = {}
        #: What of the cluster is missing, by kind: told by /readyz.
        self.missing: Callable[[], dict[str, int]] = dict
        self.draining = False
        self.lag = 0.0

    def failing(self) -> list[str]:
        """Names of what is not ready."""
        names = [name for name, check in self.checks.items() if not check()]
        return ["draining", *names] if self.draining else names

    async def watch_loop(self) -> None:
        """Measure the lag of the event loop, once a second, until cancelled."""
        recent: deque[float] = deque(maxlen=60)
        while True:
            due = trio.current_time() + _EVERY
            await trio.sleep_until(due)
            self.lag = trio.current_time() - due
            recent.append(self.lag)
            metrics.LOOP_LAG.set(self.lag)
            metrics.LOOP_LAG_MAX.set(max(recent))


def routes(health: Health) -> Routes:
    """The endpoints of one process."""

    async def livez(request: Request) -> Response:
        alive = health.lag < LAG_LIMIT
        return Response(
            200 if alive else 503, json.dumps({"loop_lag_seconds": round(health.lag, 4)}).encode(), _JSON
        )

    async def readyz(request: Request) -> Response:
        failing, missing = health.failing(), health.missing()
        told = {"failing": failing} | ({"missing": missing} if missing else {})
        return Response(503 if failing else 200, json.dumps(told).encode(), _JSON)

    async def exposed(request: Request) -> Response:
        metrics.READY.set(not health.failing())
        body, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(body=body, content_type=content_type)

    return {("GET", "/livez"): livez, ("GET", "/readyz"): readyz, ("GET", "/metrics"): exposed}


async def serve_admin(
    health: Health, host: str, port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve the endpoints and watch the loop until cancelled; reports the port."""
    limits = HttpLimits(body_bytes=0, idle_seconds=15.0, write_seconds=10.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(health.watch_loop)
        bound: int = await nursery.start(
            lambda task_status: serve_http(
                host, port, routes(health), limits=limits, name="admin.port", task_status=task_status
            )
        )
        task_status.started(bound)

"""The admin endpoints of a process: /livez, /readyz and /metrics, and whatever else answers on its port."""

from __future__ import annotations

import hmac
import json
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import trio

from rookery.shared.observe import metrics
from rookery.shared.observe.http import Guard, Handler, HttpLimits, Request, Response, Routes, serve_http

#: A loop that woke up later than this is not alive.
LAG_LIMIT: Final = 5.0
_EVERY: Final = 1.0
#: Of a request to the administration API, such as many users to create.
BODY_BYTES: Final = 1024 * 1024
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


def bearer(request: Request) -> str:
    """What stands in `Authorization: Bearer` (RFC 6750 section 2.1), "" for nothing."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def may_read(request: Request, token: str) -> bool:
    """Whether this request may read metrics: it shows the token of the configuration, or there is none."""
    return not token or hmac.compare_digest(bearer(request).encode(), token.encode())


#: The answer to who may not.
UNAUTHORIZED: Final = Response(401, b"unauthorized\n", headers=(("WWW-Authenticate", "Bearer"),))


def routes(health: Health, readers: Callable[[Request], bool] = lambda request: True) -> Routes:
    """The endpoints of one process. Metrics are for those that `readers` lets in."""

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
        if not readers(request):
            return UNAUTHORIZED
        metrics.READY.set(not health.failing())
        body, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(body=body, content_type=content_type)

    return {("GET", "/livez"): livez, ("GET", "/readyz"): readyz, ("GET", "/metrics"): exposed}


class Port(NamedTuple):
    """What is served on the admin port beside health: where, who reads metrics, what answers every other path, and who looks at each connection."""

    host: str
    port: int
    readers: Callable[[Request], bool] = lambda request: True
    otherwise: Handler | None = None
    guard: Guard | None = None


async def serve_admin(
    health: Health, port: Port, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve the endpoints and watch the loop until cancelled; reports the port."""
    body = BODY_BYTES if port.otherwise is not None else 0
    limits = HttpLimits(body_bytes=body, idle_seconds=15.0, write_seconds=10.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(health.watch_loop)
        bound: int = await nursery.start(
            lambda task_status: serve_http(
                port.host,
                port.port,
                routes(health, port.readers),
                limits=limits,
                name="admin.port",
                otherwise=port.otherwise,
                guard=port.guard,
                task_status=task_status,
            )
        )
        task_status.started(bound)

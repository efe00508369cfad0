"""The parent's admin port: health and metrics of all processes of the cluster together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

import trio

from rookery.shared.observe import metrics
from rookery.shared.observe.admin import LAG_LIMIT, Health
from rookery.shared.observe.client import get
from rookery.shared.observe.http import Request, Response, Routes
from rookery.up.aggregate import merge
from rookery.up.children import Child

_JSON: Final = "application/json"


async def ask(children: Iterable[Child], path: str) -> dict[str, tuple[int, str]]:
    """(status, body) of `path` from each child that is ready; (0, reason) from one that does not answer."""
    answers: dict[str, tuple[int, str]] = {}

    async def one(child: Child) -> None:
        try:
            status, body = await get("127.0.0.1", child.ports["admin"], path)
            answers[child.name] = (status, body.decode())
        except OSError as error:
            answers[child.name] = (0, str(error))

    async with trio.open_nursery() as nursery:
        for child in children:
            if "admin" in child.ports:
                nursery.start_soon(one, child)
    return dict(sorted(answers.items()))


def routes(
    health: Health, children: Callable[[], Iterable[Child]], status: Callable[[], dict[str, Any]]
) -> Routes:
    """The aggregated endpoints; `status` is what `/status` answers."""

    async def livez(request: Request) -> Response:
        answers = await ask(children(), "/livez")
        dead = [child.name for child in children() if answers.get(child.name, (0, ""))[0] != 200]
        failing = (["loop"] if health.lag >= LAG_LIMIT else []) + dead
        return Response(503 if failing else 200, json.dumps({"failing": failing}).encode(), _JSON)

    async def failing() -> dict[str, list[str]]:
        answers = await ask(children(), "/readyz")
        found: dict[str, list[str]] = {"cluster": health.failing()} if health.failing() else {}
        for child in children():
            code, body = answers.get(child.name, (0, ""))
            if code != 200:
                found[child.name] = json.loads(body)["failing"] if code == 503 else ["not running"]
        return found

    async def readyz(request: Request) -> Response:
        found = await failing()
        return Response(503 if found else 200, json.dumps({"failing": found}).encode(), _JSON)

    async def exposed(request: Request) -> Response:
        metrics.READY.set(not await failing())
        answers = await ask(children(), "/metrics")
        texts = {name: body for name, (code, body) in answers.items() if code == 200}
        own, content_type = metrics.exposition()
        return Response(body=merge({"up": own.decode(), **texts}).encode(), content_type=content_type)

    async def told(request: Request) -> Response:
        return Response(body=json.dumps(status()).encode(), content_type=_JSON)

    return {
        ("GET", "/livez"): livez,
        ("GET", "/readyz"): readyz,
        ("GET", "/metrics"): exposed,
        ("GET", "/status"): told,
    }

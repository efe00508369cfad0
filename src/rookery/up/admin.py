"""The parent's admin port: health and metrics of all processes of the cluster together, and the way to the administration API of a worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

import trio

from rookery.shared.net.guard import Guard
from rookery.shared.observe import metrics
from rookery.shared.observe.admin import LAG_LIMIT, UNAUTHORIZED, Health
from rookery.shared.observe.client import Ask, get, request
from rookery.shared.observe.http import Handler, Request, Response, Routes
from rookery.shared.settings import is_loopback
from rookery.up.aggregate import merge
from rookery.up.children import Child

_JSON: Final = "application/json"
#: Headers that are passed on to a worker, and back.
_PASSED: Final = frozenset(
    {"authorization", "content-type", "accept", "cookie", "origin", "sec-fetch-site", "x-forwarded-proto"}
)
_BACK: Final = frozenset(
    {
        "allow",
        "www-authenticate",
        "retry-after",
        "location",
        "cache-control",
        "set-cookie",
        "content-security-policy",
        "x-content-type-options",
        "x-frame-options",
        "referrer-policy",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
    }
)
#: A worker ends a call before that.
_PASS_SECONDS: Final = 70.0


async def ask(children: Iterable[Child], path: str, token: str = "") -> dict[str, tuple[int, str]]:
    """(status, body) of `path` from each child that is ready; (0, reason) from one that does not answer."""
    answers: dict[str, tuple[int, str]] = {}

    async def one(child: Child) -> None:
        try:
            status, body = await get("127.0.0.1", child.ports["admin"], path, token=token)
            answers[child.name] = (status, body.decode())
        except OSError as error:
            answers[child.name] = (0, str(error))

    async with trio.open_nursery() as nursery:
        for child in children:
            if "admin" in child.ports:
                nursery.start_soon(one, child)
    return dict(sorted(answers.items()))


def routes(
    health: Health,
    children: Callable[[], Iterable[Child]],
    status: Callable[[], dict[str, Any]],
    guard: Guard,
    metrics_token: str = "",
) -> Routes:
    """The aggregated endpoints; `status` is what `/status` answers to those on this machine."""

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
        if not guard.may_read(request):
            return UNAUTHORIZED
        metrics.READY.set(not await failing())
        answers = await ask(children(), "/metrics", metrics_token)
        texts = {name: body for name, (code, body) in answers.items() if code == 200}
        own, content_type = metrics.exposition()
        return Response(body=merge({"up": own.decode(), **texts}).encode(), content_type=content_type)

    async def told(request: Request) -> Response:
        if request.peer and not is_loopback(request.peer):
            return Response(403, b"only from this machine\n")
        return Response(body=json.dumps(status()).encode(), content_type=_JSON)

    return {
        ("GET", "/livez"): livez,
        ("GET", "/readyz"): readyz,
        ("GET", "/metrics"): exposed,
        ("GET", "/status"): told,
    }


def passing(children: Callable[[], Iterable[Child]], guard: Guard) -> Handler:
    """Passes /api/ and /admin/ on to a worker that answers it; the worker checks the token, and hears how the request came, which is judged here."""

    async def passed(asked: Request) -> Response:
        if not asked.path.startswith(("/api/", "/admin/")) and asked.path != "/admin":
            return Response(404, b"not found\n")
        if refused := guard.refused(asked):
            return refused
        headers = {name: value for name, value in asked.headers.items() if name in _PASSED}
        where = {"x-forwarded-for": asked.peer or "?", "x-forwarded-host": asked.headers.get("host", "")}
        if asked.secure:
            where |= {"x-forwarded-proto": "https", "x-forwarded-certificate": asked.certificate}
        ask = Ask(asked.target, asked.method, headers | where, asked.body)
        for child in children():
            if child.state == "ready" and "account" in child.spec.kinds and "admin" in child.ports:
                try:
                    reply = await request("127.0.0.1", child.ports["admin"], ask, timeout=_PASS_SECONDS)
                except OSError:
                    if asked.method == "POST":
                        break  # it may have been done
                    continue
                back = [(name, value) for name, value in reply.headers.items() if name in _BACK]
                return Response(reply.status, reply.body, reply.headers.get("content-type", _JSON), back)
        return Response(503, b"no account worker answers\n", headers=(("Retry-After", "1"),))

    return passed

"""Who may call: tokens in the database, a pace for each token, and addresses that guess."""

from __future__ import annotations

import math
from collections.abc import Callable

from rookery.admin import tokens
from rookery.admin.api.problems import Problem
from rookery.admin.desk import Desk
from rookery.admin.tokens import Token
from rookery.admin.verb import Verb
from rookery.shared.bucket import Bucket
from rookery.shared.config import Admin
from rookery.shared.net.limits import Failures
from rookery.shared.observe.admin import bearer
from rookery.shared.observe.exchange import Request
from rookery.shared.settings import is_loopback

#: Wrong tokens of one address in the window (seconds), before it is not looked at any more.
GUESSES = 20
GUESS_WINDOW = 600.0


class Access:
    """The door of the API in one process. `clock` gives seconds that grow."""

    def __init__(self, settings: Admin, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._failures = Failures(GUESSES, GUESS_WINDOW)
        self._buckets: dict[str, Bucket] = {}

    async def token(self, desk: Desk, request: Request) -> Token:
        """The token that a request shows. Raises Problem (401, 429), DatabaseUnavailable."""
        secret, address, now = bearer(request), address_of(request), self._clock()
        if self._failures.blocked(address, now):
            raise _slower(GUESS_WINDOW, "too many wrong tokens came from this address")
        found = await tokens.presented(desk, secret) if secret else None
        if found is None:
            if secret:
                self._failures.add(address, now)
            error = ', error="invalid_token"' if secret else ""
            raise Problem(
                401,
                "unauthorized",
                "this token is not known, or its time is over"
                if secret
                else "a token is needed: `rookery token create`",
                (("WWW-Authenticate", f'Bearer realm="rookery"{error}'),),
            )
        self._pace(found.name, now)
        return found

    def allow(self, token: Token, verb: Verb) -> None:
        """Whether the token may do this. Raises Problem (403)."""
        if not verb.allowed(token.scopes):
            raise forbidden(verb.scope)

    def _pace(self, name: str, now: float) -> None:
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= 1024:
                self._buckets.clear()  # tokens come and go; whoever was slowed down begins anew
            rate, burst = self._settings.requests_per_second, self._settings.requests_burst
            bucket = self._buckets[name] = Bucket(rate, burst, now)
        if not bucket.spend(now):
            raise _slower(bucket.wait(), "this token is used too often")


def forbidden(scope: str) -> Problem:
    """The answer to a token that lacks a scope (RFC 6750 section 3.1)."""
    header = f'Bearer realm="rookery", error="insufficient_scope", scope="{scope}"'
    return Problem(403, "forbidden", f"this token lacks the scope {scope}", (("WWW-Authenticate", header),))


def address_of(request: Request) -> str:
    """Where a request came from; the parent of `rookery up` on this machine passes it on."""
    forwarded = request.headers.get("x-forwarded-for", "")
    if forwarded and (not request.peer or is_loopback(request.peer)):
        return forwarded.partition(",")[0].strip()[:64]
    return request.peer


def certificate_of(request: Request) -> str:
    """Whose certificate a request came with, for the log; "" without. The parent of `rookery up` on this machine passes it on."""
    if not request.secure and is_loopback(request.peer):
        return request.headers.get("x-forwarded-certificate", "")[:200]
    return request.certificate


def _slower(seconds: float, detail: str) -> Problem:
    return Problem(429, "too-many-requests", detail, (("Retry-After", str(max(1, math.ceil(seconds)))),))

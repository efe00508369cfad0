"""Access tokens of an OpenID Connect issuer: JSON Web Tokens (RFC 7519, RFC 9068), checked with the keys that it publishes (RFC 7517).

The issuer is asked for its keys alone, so logins go on for a while when it is away. That a token was taken back before it expired is not seen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trio
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from rookery.workers.account.logins.api import Answer, AwayError
from rookery.workers.account.logins.http_service import client, fetch
from rookery.workers.account.logins.settings import Oidc

_METADATA: Final = "/.well-known/openid-configuration"
#: A token that names an unknown key makes the keys be read again, but not more often than this (seconds).
UNKNOWN_SECONDS: Final = 30.0
#: Keys that cannot be read again are believed for so many times `jwks_seconds`.
STALE: Final = 4


class Issuer:
    """Implements `BackEnd`."""

    def __init__(self, settings: Oidc, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._client = client(settings.ca_file, settings.timeout_seconds)
        self._keys: KeySet | None = None
        self._read_at = 0.0
        self._tried_at = 0.0
        self._lock = trio.Lock()

    async def check(self, domain: str, localpart: str, secret: str) -> Answer:
        """Whose token this is; nobody's unless it is of the `localpart` that the client says, if it says one. Raises AwayError."""
        claims = await self._claims(secret)
        if claims is None:
            return Answer()
        name = _localpart(claims.get(self._settings.claim), domain)
        if not name or (localpart and name.casefold() != localpart.casefold()):
            return Answer()
        return Answer(name, float(claims["exp"]))

    async def _claims(self, token: str) -> dict[str, Any] | None:
        keys = await self._current(self._settings.jwks_seconds)
        try:
            decoded = self._decoded(token, keys)
        except InvalidKeyIdError:
            # A key that is newer than ours, or an invented one.
            newer = await self._current(UNKNOWN_SECONDS)
            if newer is keys:
                return None
            try:
                decoded = self._decoded(token, newer)
            except (JoseError, ValueError):
                return None
        except (JoseError, ValueError):
            return None
        return decoded if self._holds(decoded) else None

    def _decoded(self, token: str, keys: KeySet) -> dict[str, Any]:
        found: dict[str, Any] = jwt.decode(token, keys, algorithms=list(self._settings.algorithms)).claims
        return found

    def _holds(self, claims: dict[str, Any]) -> bool:
        settings = self._settings
        wanted: dict[str, Any] = {
            "iss": {"essential": True, "value": settings.issuer},
            "exp": {"essential": True},
        }
        if settings.audiences:
            wanted["aud"] = {"essential": True, "values": list(settings.audiences)}
        try:
            registry = jwt.JWTClaimsRegistry(int(self._clock()), settings.leeway_seconds, **wanted)
            registry.validate(claims)
        except (JoseError, ValueError, TypeError):
            return False
        if not isinstance(claims["exp"], int | float) or isinstance(claims["exp"], bool):
            return False
        scopes = claims.get("scope", "")
        had = scopes.split() if isinstance(scopes, str) else scopes if isinstance(scopes, list) else []
        return not settings.scope or settings.scope in had

    # --- keys ---

    async def _current(self, seconds: float) -> KeySet:
        """The issuer's keys, read within so many seconds if they can be. Raises AwayError."""
        async with self._lock:
            now = self._clock()
            if self._keys is not None and now - max(self._read_at, self._tried_at) < seconds:
                return self._keys
            self._tried_at = now
            try:
                self._keys = await self._read()
                self._read_at = now
            except AwayError:
                if self._keys is None or now - self._read_at > STALE * self._settings.jwks_seconds:
                    raise
            return self._keys

    async def _read(self) -> KeySet:
        where = self._settings.jwks
        if not where:
            metadata = await self._document(self._settings.issuer.rstrip("/") + _METADATA)
            where = str(metadata.get("jwks_uri") or "")
            if metadata.get("issuer") != self._settings.issuer or not where.startswith("http"):
                raise AwayError("the issuer's metadata are of another issuer, or name no keys")
        if where.startswith("http"):
            found = await self._document(where)
        else:
            try:
                found = json.loads(await trio.Path(where).read_text("utf-8"))
            except (OSError, ValueError) as error:
                raise AwayError(f"{Path(where).name}: {error}") from None
        try:
            return KeySet.import_key_set(_public(found))
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise AwayError(f"the keys cannot be read: {error}") from None

    async def _document(self, url: str) -> dict[str, Any]:
        status, body = await fetch(self._client, "GET", url, {"accept": "application/json"})
        try:
            found = json.loads(body) if status == 200 else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise AwayError(f"{url} answered {status}, and no JSON object")
        return found

    async def aclose(self) -> None:
        """Let connections go."""
        await self._client.aclose()


def _public(found: Any) -> Any:
    """A set without keys that are not for signatures, and without types that are not known: those spoil no others."""
    keys = found["keys"]
    return {
        "keys": [
            one for one in keys if one.get("kty") in ("RSA", "EC", "OKP") and one.get("use", "sig") == "sig"
        ]
    }


def _localpart(said: object, domain: str) -> str:
    """What a claim names, "" for nobody here: a localpart, or an address of the domain."""
    if not isinstance(said, str):
        return ""
    local, at, host = said.rpartition("@")
    if not at:
        return said
    return local if host.casefold() == domain.casefold() else ""

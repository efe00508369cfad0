"""A service over HTTP that knows passwords: `check_password` and `user_exists`, answered by `true` or `false` (or 401, 403, 404)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import httpx

from rookery.workers.account.logins.api import Answer, AwayError
from rookery.workers.account.logins.settings import Http

#: Octets of an answer that are read.
MAX_ANSWER: Final = 65_536
_NO: Final = frozenset({401, 403, 404})


class HttpService:
    """Implements `BackEnd`."""

    def __init__(self, settings: Http) -> None:
        self._settings = settings
        self._client = client(settings.ca_file, settings.timeout_seconds)

    async def check(self, domain: str, localpart: str, secret: str) -> Answer:
        """Ask `check_password`. Raises AwayError."""
        right = await self._ask("check_password", {"user": localpart, "server": domain, "pass": secret})
        return Answer(localpart if right else "")

    async def exists(self, domain: str, localpart: str) -> bool:
        """Ask `user_exists`. Raises AwayError."""
        return await self._ask("user_exists", {"user": localpart, "server": domain})

    async def _ask(self, what: str, values: dict[str, str]) -> bool:
        settings, url = self._settings, f"{self._settings.url.rstrip('/')}/{what}"
        headers = (
            {"authorization": read_secret(settings.authorization_file)} if settings.authorization_file else {}
        )
        query, form = (values, None) if settings.method == "GET" else (None, values)
        status, body = await fetch(self._client, settings.method, url, headers, query, form)
        if status in _NO:
            return False
        text = body.strip().lower()
        if status == 200 and text in (b"true", b"false"):
            return text == b"true"
        raise AwayError(f"{what} answered {status} and neither true nor false")

    async def aclose(self) -> None:
        """Let connections go."""
        await self._client.aclose()


def client(ca_file: str, timeout: float) -> httpx.AsyncClient:
    """A client that follows no redirects, and trusts the system's authorities or those of a file. Raises OSError."""
    verify = ssl.create_default_context(cafile=ca_file or None)
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30.0)
    return httpx.AsyncClient(
        verify=verify, timeout=timeout, limits=limits, follow_redirects=False, trust_env=False
    )


async def fetch(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    headers: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
    form: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    """Status and body, of which no more than MAX_ANSWER is read. Raises AwayError."""
    try:
        async with client.stream(method, url, headers=headers, params=query, data=form) as response:
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise AwayError("the answer is too long")
            return response.status_code, body
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        # Texts of errors may have the URL, and a query may have a password.
        raise AwayError(type(error).__name__) from None


def read_secret(path: str) -> str:
    """The first line of a file. Raises AwayError."""
    try:
        return Path(path).read_text("utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AwayError(f"{path}: {error}") from None

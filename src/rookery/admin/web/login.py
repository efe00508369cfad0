"""Who is logged in to the pages: a sealed cookie that names a token, and the seals that forms carry. Pure.

The cookie says which token was shown, not the token itself. Each request looks the token up again: one that was revoked, has expired or
was made anew under its name lets nobody in. Any process that has the secret of the cluster verifies it, so nothing is kept.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

COOKIE: Final = "rookery_admin"
PATH: Final = "/admin/"
#: Seconds after which the token is asked for again.
LASTS: Final = 12 * 3600
_DIGEST: Final = "sha256"
_FIELDS: Final = 5


class Login(NamedTuple):
    """Somebody showed the token of this name that was made at this time (microseconds), in Unix seconds `issued`."""

    name: str
    made: int
    issued: int
    nonce: str

    def cookie(self, secret: bytes) -> str:
        """The value of the cookie."""
        said = self._said
        return f"{said}~{_mac(secret, 'cookie', said)}"

    def form(self, secret: bytes) -> str:
        """What each form carries: another site cannot know it."""
        return _mac(secret, "form", self._said)

    def fits(self, secrets: Sequence[bytes], seal: str) -> bool:
        """Whether a form was made for this login."""
        return any(hmac.compare_digest(self.form(secret).encode(), seal.encode()) for secret in secrets)

    @property
    def _said(self) -> str:
        return f"{self.name}~{self.made}~{self.issued}~{self.nonce}"


def read(secrets: Sequence[bytes], value: str, now: float) -> Login | None:
    """The login that a cookie tells; None for one that was not sealed here, or is too old."""
    said, _, mac = value.rpartition("~")
    if not any(
        hmac.compare_digest(_mac(secret, "cookie", said).encode(), mac.encode()) for secret in secrets
    ):
        return None
    fields = said.split("~")
    if len(fields) != _FIELDS - 1:
        return None
    found = Login(fields[0], int(fields[1]), int(fields[2]), fields[3])
    return found if 0 <= now - found.issued < LASTS else None


def cookie_of(headers: Mapping[str, str]) -> str:
    """The value of our cookie in a request, "" for none (RFC 6265 section 4.2)."""
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def set_cookie(value: str, *, secure: bool) -> tuple[str, str]:
    """The header that keeps a login: for this site alone, for no script. "" ends it."""
    lasts = LASTS if value else 0
    rest = f"Path={PATH}; Max-Age={lasts}; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")
    return "Set-Cookie", f"{COOKIE}={value}; {rest}"


def foreign(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that another site made this request (Fetch Metadata, or RFC 6454 for those without)."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != (
        headers.get("x-forwarded-host") or headers.get("host", "")
    )


def _mac(secret: bytes, purpose: str, said: str) -> str:
    return hmac.digest(secret, f"{purpose}\0{said}".encode(), _DIGEST).hex()[:43]

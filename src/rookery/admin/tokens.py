"""Tokens of operators: what programs show to the HTTP API in place of a password. Of their secret only a digest is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from rookery.admin.desk import Desk
from rookery.admin.errors import Conflict, Invalid, NotFound
from rookery.admin.verb import SCOPES
from rookery.shared.db.api import Connection

#: What a token begins with, so that a scanner of repositories finds one that leaked.
PREFIX: Final = "rookery_"
_SECRET_BYTES: Final = 32
_FORM: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}\Z")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_PERIOD: Final = re.compile(r"([1-9][0-9]{0,3})([hdwy])\Z")
_HOURS: Final = {"h": 1, "d": 24, "w": 168, "y": 8766}
_COLUMNS: Final = "name, scopes, made_by, created, expires, last_used"
_LIST: Final = f"SELECT {_COLUMNS} FROM admin_token ORDER BY name"  # noqa: S608
_MAKE: Final = f"""
INSERT INTO admin_token (name, digest, scopes, made_by, expires) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO NOTHING RETURNING {_COLUMNS}"""  # noqa: S608
_FIND: Final = f"SELECT {_COLUMNS} FROM admin_token WHERE name = $1 AND (expires IS NULL OR expires > now())"  # noqa: S608
#: A use is written down at most once a minute: a program that asks often costs no write for each call.
_USE: Final = f"""
WITH found AS (SELECT {_COLUMNS} FROM admin_token WHERE digest = $1 AND (expires IS NULL OR expires > now())),
used AS (
    UPDATE admin_token t SET last_used = now() FROM found
    WHERE t.name = found.name AND (t.last_used IS NULL OR t.last_used < now() - interval '1 minute')
)
SELECT {_COLUMNS} FROM found"""  # noqa: S608


class Token(NamedTuple):
    """A token without its secret; times are UTC."""

    name: str
    scopes: frozenset[str]
    made_by: str
    created: datetime
    expires: datetime | None
    last_used: datetime | None

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= datetime.now(UTC)


def made() -> str:
    """A new secret."""
    return PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def digest(secret: str) -> bytes | None:
    """What is kept of a secret; None for what is surely none."""
    # The secret is random and long, so a fast hash without salt is as good as a slow one.
    return hashlib.sha256(secret.encode()).digest() if _FORM.match(secret) else None


def parse_scopes(given: Iterable[str]) -> list[str]:
    """Scopes in the order of `SCOPES`. Raises Invalid."""
    wanted = {one.strip() for text in given for one in text.split(",")} - {""}
    if unknown := sorted(wanted - set(SCOPES)):
        raise Invalid(f"there is no scope {unknown[0]!r}: choose from {', '.join(SCOPES)}")
    if not wanted:
        raise Invalid(f"a token needs a scope: choose from {', '.join(SCOPES)}")
    return [scope for scope in SCOPES if scope in wanted]


def parse_expiry(text: str, now: datetime) -> datetime | None:
    """A time from a period (12h, 30d, 4w, 1y), or from a date (2027-01-31); None for "". Raises Invalid."""
    if not text:
        return None
    try:
        if match := _PERIOD.match(text):
            until = now + timedelta(hours=int(match[1]) * _HOURS[match[2]])
        else:
            until = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Invalid(f"{text!r} is no time: write 12h, 30d, 4w, 1y, or a date as 2027-01-31") from None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    if until <= now:
        raise Invalid(f"{text!r} is over already")
    return until


async def create(desk: Desk, name: str, scopes: Iterable[str], expires: str = "") -> tuple[Token, str]:
    """Make a token; returns it and its secret, which nobody can read again. Raises Conflict, Invalid."""
    if not _NAME.match(name):
        raise Invalid(f"{name!r} is no name: letters, digits, dots, dashes and underscores, at most 64")
    wanted, until = parse_scopes(scopes), parse_expiry(expires, datetime.now(UTC))
    secret, who = made(), desk.operator

    async def work(conn: Connection) -> Any:
        return await conn.fetchrow(_MAKE, name, digest(secret), wanted, who, until)

    row = await desk.run(work)
    if row is None:
        raise Conflict(f"there is a token {name} already: revoke it, or choose another name")
    await desk.tell([desk.audit("token create", name, scopes=",".join(wanted), expires=until)])
    return _token(row), secret


async def listed(desk: Desk) -> list[Token]:
    """All tokens by name."""
    rows = await desk.run(lambda conn: conn.fetch(_LIST))
    return [_token(row) for row in rows]


async def revoke(desk: Desk, name: str) -> None:
    """Take a token back; the next call with it is refused. Raises NotFound."""
    tag = await desk.run(lambda conn: conn.execute("DELETE FROM admin_token WHERE name = $1", name))
    if tag == "DELETE 0":
        raise NotFound(f"there is no token {name}")
    await desk.tell([desk.audit("token revoke", name)])


async def find(desk: Desk, name: str) -> Token | None:
    """The token of this name, if it is still valid."""
    row = await desk.run(lambda conn: conn.fetchrow(_FIND, name))
    return None if row is None else _token(row)


async def presented(desk: Desk, secret: str) -> Token | None:
    """The token with this secret, if it is one and still valid."""
    key = digest(secret)
    if key is None:
        return None
    row = await desk.run(lambda conn: conn.fetchrow(_USE, key))
    return None if row is None else _token(row)


def _token(row: Any) -> Token:
    return Token(
        row["name"],
        frozenset(row["scopes"]),
        row["made_by"],
        row["created"],
        row["expires"],
        row["last_used"],
    )

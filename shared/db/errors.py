"""Which errors of asyncpg mean that Postgres is away, and which are worth another attempt."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from rookery.shared.db.api import DatabaseUnavailable

#: The server is going, not ready, full or out of connections (SQLSTATE classes 53, 57P, 58), the connection broke (08),
#: a limit of time was reached (57014, 55P03), or a failover left us with a standby (25006).
_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
#: The transaction was rolled back through no fault of its own: deadlock, serialisation, a plan from before a migration.
AGAIN = (asyncpg.TransactionRollbackError, asyncpg.InvalidCachedStatementError)


#: Shorter than what the library says.
_REASONS: Final[dict[type[BaseException], str]] = {
    ConnectionRefusedError: "connection refused",
    TimeoutError: "no answer",
}


def describe(exc: BaseException) -> str:
    """One line without DETAIL, which may have what users wrote."""
    text = exc.args[0] if exc.args and isinstance(exc.args[0], str) else str(exc)
    return f"{type(exc).__name__}: {text.splitlines()[0] if text else 'no details'}"


def translate(exc: Exception, *, closed: bool) -> Exception:
    """DatabaseUnavailable for what says that Postgres is away; any other error as it is.

    `closed` says that the connection is gone: then asyncpg's complaints about its state are no fault of the caller.
    """
    lost = closed and isinstance(exc, (asyncpg.InterfaceError, asyncpg.InternalClientError))
    if lost or isinstance(exc, (*_UNAVAILABLE, *AGAIN)):
        unavailable = DatabaseUnavailable(describe(exc))
        unavailable.__cause__ = exc
        return unavailable
    return exc


def misfit(exc: BaseException) -> str:
    """What to do about a database that is not as this version needs it: other tables, another owner. "" for any other error."""
    match exc:
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedColumnError():
            return f"the database has not the schema of this version ({exc}): run `rookery migrate`"
        case asyncpg.InsufficientPrivilegeError():
            return f"Postgres refuses that ({exc}): is the user in database.url the owner of the database?"
    return ""


#: What can be done when no connection is made, by the first class that fits.
_REMEDIES: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...]] = (
    (ConnectionRefusedError, "start it, or mend database.url or --database-url"),
    ((TimeoutError, OSError), "mend database.url or --database-url, or the way there"),
    (asyncpg.InvalidAuthorizationSpecificationError, "mend the user in database.url, or database.password"),
    (asyncpg.InvalidCatalogNameError, "make the database, or mend database.url"),
    (asyncpg.TooManyConnectionsError, "raise its max_connections, or lower database.pool_max"),
)


def address_of(url: str) -> str:
    """Where a database URL leads, without its secrets: `HOST:PORT, database NAME`."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    place = parts.netloc.rpartition("@")[2] or query.get("host", ["this machine"])[0]
    name = unquote(parts.path.lstrip("/")) or unquote(parts.username or "")
    return place + (f", database {name}" if name else "")


def connect_failed(exc: Exception, url: str) -> DatabaseUnavailable:
    """What callers get when no connection to `url` can be made, whatever the reason (also a wrong password or database)."""
    if isinstance(exc, ValueError):  # the text may have parts of the URL, and so of the password
        return DatabaseUnavailable("cannot connect to Postgres: the database URL is not valid")
    remedy = next((text for kinds, text in _REMEDIES if isinstance(exc, kinds)), "")
    reason = _REASONS.get(type(exc)) or describe(exc)
    unavailable = DatabaseUnavailable(
        f"cannot connect to Postgres at {address_of(url)}: {reason}" + (f": {remedy}" if remedy else "")
    )
    unavailable.__cause__ = exc
    return unavailable

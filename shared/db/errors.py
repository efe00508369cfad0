"""Which errors of asyncpg mean that Postgres is away, and which are worth another attempt."""

from __future__ import annotations

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


def connect_failed(exc: Exception) -> DatabaseUnavailable:
    """What callers get when no connection can be made, whatever the reason (also a wrong password or database)."""
    if isinstance(exc, ValueError):  # the text may have parts of the URL, and so of the password
        return DatabaseUnavailable("cannot connect to Postgres: the database URL is not valid")
    unavailable = DatabaseUnavailable(f"cannot connect to Postgres: {describe(exc)}")
    unavailable.__cause__ = exc
    return unavailable

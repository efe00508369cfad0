"""Clients that are notified, in Postgres. Units of work on one connection; each write begins with the fence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.xeps.push import App
from rookery.workers.pubsub.push.client import Client

#: The end of a statement.
_OPEN: Final = ")\nSELECT EXISTS (SELECT FROM fence_ok)"
_OF: Final = "(SELECT id FROM account WHERE localpart = $2 AND domain = $3)"
_ENABLE: Final = f"""{FENCE},
gone AS (
    DELETE FROM push p USING fence_ok, (
        SELECT o.service, o.node FROM push o WHERE o.account_id = {_OF} AND (o.service, o.node) <> ($4, $5)
        ORDER BY o.enabled DESC OFFSET $9
    ) AS old
    WHERE p.account_id = {_OF} AND p.service = old.service AND p.node = old.node
),
up AS (
    INSERT INTO push (account_id, service, node, partition, resource, options)
    SELECT a.id, $4, $5, $6, $7, $8 FROM fence_ok, account a WHERE a.localpart = $2 AND a.domain = $3
    ON CONFLICT (account_id, service, node) DO UPDATE
    SET resource = EXCLUDED.resource, options = EXCLUDED.options, enabled = now(), missed = 0, failures = 0, due = false
{_OPEN}"""  # noqa: S608  constants only
_DISABLE: Final = f"""{FENCE},
gone AS (
    DELETE FROM push p USING fence_ok WHERE p.account_id = {_OF} AND p.service = $4 AND ($5::text IS NULL OR p.node = $5)
{_OPEN}"""  # noqa: S608  constants only
_WRITE: Final = f"""{FENCE},
up AS (
    UPDATE push p SET missed = r.missed, failures = r.failures, due = r.due
    FROM fence_ok, unnest($4::text[], $5::text[], $6::int[], $7::int[], $8::bool[]) AS r(service, node, missed, failures, due)
    WHERE p.account_id = {_OF} AND p.service = r.service AND p.node = r.node
{_OPEN}"""  # noqa: S608  constants only
_READ: Final = """
SELECT p.service, p.node, p.options, p.resource, p.missed, p.failures, p.due
FROM push p JOIN account a ON a.id = p.account_id WHERE a.localpart = $1 AND a.domain = $2"""
_DUE: Final = """
SELECT DISTINCT a.localpart || '@' || a.domain AS account FROM push p JOIN account a ON a.id = p.account_id
WHERE p.partition = $1 AND p.due"""


def _names(account: str) -> tuple[str, str]:
    local, _, domain = account.rpartition("@")
    return local, domain


async def _write(conn: Connection, query: str, incarnation: str, account: str, *args: object) -> None:
    if not await conn.fetchval(query, incarnation, *_names(account), *args):
        raise Fenced(incarnation)


async def enable(
    conn: Connection, incarnation: str, account: str, app: App, place: tuple[int, str], most: int
) -> None:
    """Notify a client; `place` is the partition and the client's resource. Of others the newest stay, `most` with it. Raises Fenced."""
    partition, resource = place
    await _write(
        conn, _ENABLE, incarnation, account, app.service, app.node, partition, resource, app.options, most - 1
    )


async def disable(conn: Connection, incarnation: str, account: str, service: str, node: str | None) -> None:
    """Notify no more by this node of an app server, or by none of it (None). Raises Fenced."""
    await _write(conn, _DISABLE, incarnation, account, service, node)


async def write(conn: Connection, incarnation: str, account: str, clients: Iterable[Client]) -> None:
    """What has changed of these clients. Raises Fenced."""
    columns = zip(
        *((one.app.service, one.app.node, one.missed, one.failures, one.due) for one in clients), strict=True
    )
    await _write(conn, _WRITE, incarnation, account, *[list(column) for column in columns])


async def read(conn: Connection, account: str) -> list[Client]:
    """The clients of an account."""
    return [
        Client(
            App(row["service"], row["node"], bytes(row["options"])),
            row["resource"],
            row["missed"],
            row["failures"],
            row["due"],
        )
        for row in await conn.fetch(_READ, *_names(account))
    ]


async def due(conn: Connection, partition: int) -> Sequence[str]:
    """Accounts of a partition with clients whose notifications a former process had not done."""
    return [row["account"] for row in await conn.fetch(_DUE, partition)]

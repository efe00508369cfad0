"""Nodes in Postgres: what is written. Units of work on one connection; each begins with the fence (`shared.db.api.FENCE`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid, bare_of
from rookery.workers.pubsub import options
from rookery.workers.pubsub.changes import (
    Affiliated,
    Change,
    Configured,
    Created,
    Deleted,
    Published,
    Purged,
    Retracted,
    Subscribed,
    Unsubscribed,
)
from rookery.workers.pubsub.errors import no_node
from rookery.workers.pubsub.node import NONE, Node

#: Rows of what was told that one statement deletes.
_CHUNK: Final = 1000
_OPEN: Final = FENCE + " SELECT EXISTS (SELECT FROM fence_ok)"  # noqa: S608  constants only
_TOLD: Final = """
INSERT INTO pubsub_event (partition, node_id, uid, reply, told) SELECT {0}, $2, {1}, {2}, {3} FROM fence_ok"""
_DONE: Final = "SELECT reply, told FROM pubsub_event WHERE uid = $1"
# A publication is one statement: the number of the node, the item, what is too much or too old, and what is told.
_PUBLISH: Final = f"""{FENCE},
up AS (
    UPDATE pubsub_node SET n = $3 FROM fence_ok WHERE id = $2 RETURNING id
),
item AS (
    INSERT INTO pubsub_item (node_id, id, n, publisher, payload) SELECT up.id, $4, $3, $5, $6::bytea FROM up WHERE $7::bigint > 0
    ON CONFLICT (node_id, id) DO UPDATE
    SET n = EXCLUDED.n, publisher = EXCLUDED.publisher, payload = EXCLUDED.payload, published = EXCLUDED.published
),
gone AS (
    DELETE FROM pubsub_item i USING up
    WHERE $12 AND i.node_id = up.id AND i.id <> $4 AND (
        i.n <= (SELECT o.n FROM pubsub_item o WHERE o.node_id = $2 AND o.id <> $4 ORDER BY o.n DESC OFFSET greatest($7::bigint - 1, 0) LIMIT 1)
        OR ($8::bigint > 0 AND i.published < now() - make_interval(secs => $8::bigint))
    )
),
told AS ({_TOLD.format("$9::int", "$10::bytea", "$11::bytea", "$13::bytea")}, up WHERE $10 <> ''::bytea OR $13 <> ''::bytea)
SELECT EXISTS (SELECT FROM fence_ok) AS open, EXISTS (SELECT FROM up) AS there"""  # noqa: S608  constants only
_MAKE: Final = """
INSERT INTO pubsub_node (owner, name, account_id, domain, creator, config)
SELECT $1, $2, (SELECT id FROM account WHERE localpart = $3 AND domain = $4), CASE WHEN $3 = '' THEN $4 END, $5, $6
RETURNING id, account_id, extract(epoch FROM created)::float8 AS created"""
_ID: Final = "SELECT id, extract(epoch FROM created)::float8 AS created FROM pubsub_node WHERE owner = $1 AND name = $2"
_SUBSCRIBE: Final = """
INSERT INTO pubsub_subscription (node_id, jid, bare, subid, state, options) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (node_id, jid, subid) DO UPDATE SET state = EXCLUDED.state, options = EXCLUDED.options"""
_AFFILIATE: Final = """
INSERT INTO pubsub_affiliation (node_id, jid, affiliation) VALUES ($1, $2, $3)
ON CONFLICT (node_id, jid) DO UPDATE SET affiliation = EXCLUDED.affiliation"""
_PUT: Final = """
INSERT INTO pubsub_item (node_id, id, n, publisher, payload) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (node_id, id) DO UPDATE
SET n = EXCLUDED.n, publisher = EXCLUDED.publisher, payload = EXCLUDED.payload, published = EXCLUDED.published"""
_TRIM: Final = """
DELETE FROM pubsub_item WHERE node_id = $1 AND n <= (
    SELECT n FROM pubsub_item WHERE node_id = $1 ORDER BY n DESC OFFSET $2 LIMIT 1)"""
_FORGET: Final = f"""{FENCE},
old AS (
    SELECT e.id FROM pubsub_event e, fence_ok WHERE e.at < now() - make_interval(secs => $2) ORDER BY e.at LIMIT $3
)
DELETE FROM pubsub_event e USING old WHERE e.id = old.id"""  # noqa: S608  constants only


class Record(NamedTuple):
    """What is kept of a request that changed something: its uid, its answer, and what is told; all packed."""

    partition: int
    uid: bytes
    reply: bytes
    told: bytes


async def done(conn: Connection, uid: bytes) -> tuple[bytes, bytes] | None:
    """The answer and what was told of a request that a former holder has committed."""
    row = await conn.fetchrow(_DONE, uid) if uid else None
    return None if row is None else (bytes(row["reply"]), bytes(row["told"]))


async def publish(
    conn: Connection, incarnation: str, node: Node, change: Published, record: Record, *, trim: bool
) -> None:
    """Publish an item of a node that is there, in one statement. `trim`: there may be items to remove. Raises Fenced, StanzaError."""
    item = change.item
    row = await conn.fetchrow(
        _PUBLISH,
        incarnation,
        node.id,
        item.n,
        item.id,
        item.publisher,
        item.payload,
        change.keep,
        change.expire,
        record.partition,
        record.uid,
        record.reply,
        trim,
        record.told,
    )
    if not row["open"]:
        raise Fenced(incarnation)
    if not row["there"]:
        raise no_node()


async def commit(
    conn: Connection, incarnation: str, node: Node, changes: Sequence[Change], n: int, record: Record
) -> None:
    """Write changes of a node in one transaction; a new node gets its `id`. Raises Fenced, StanzaError."""
    async with conn.transaction():
        if not await conn.fetchval(_OPEN, incarnation):
            raise Fenced(incarnation)
        first = changes[0] if changes else None
        if isinstance(first, Created) and record.uid and await done(conn, record.uid) is not None:
            # The connection was lost when it was committed.
            row = await conn.fetchrow(_ID, node.owner, node.name)
            node.id, node.created = row["id"], row["created"]
            return
        for change in changes:
            await _write(conn, node, change)
        await conn.execute("UPDATE pubsub_node SET n = greatest(n, $2) WHERE id = $1", node.id, n)
        if record.uid or record.told:
            await conn.execute(
                "INSERT INTO pubsub_event (partition, node_id, uid, reply, told) VALUES ($1, $2, $3, $4, $5)",
                record.partition,
                node.id,
                record.uid,
                record.reply,
                record.told,
            )


async def _write(conn: Connection, node: Node, change: Change) -> None:
    id = node.id
    match change:
        case Created():
            await _create(conn, node, change)
        case Configured(config, keep):
            await conn.execute("UPDATE pubsub_node SET config = $2 WHERE id = $1", id, config.pack())
            await conn.execute(_TRIM, id, keep)
        case Affiliated(jid, affiliation):
            if affiliation == NONE:
                await conn.execute("DELETE FROM pubsub_affiliation WHERE node_id = $1 AND jid = $2", id, jid)
            else:
                await conn.execute(_AFFILIATE, id, jid, affiliation)
        case Subscribed(one):
            packed = options.pack(one.options)
            await conn.execute(_SUBSCRIBE, id, one.jid, bare_of(one.jid), one.subid, one.state, packed)
        case Unsubscribed(jid, subid):
            await conn.execute(
                "DELETE FROM pubsub_subscription WHERE node_id = $1 AND jid = $2 AND subid = $3",
                id,
                jid,
                subid,
            )
        case Published(item, keep, _):
            if keep:
                await conn.execute(
                    _PUT,
                    id,
                    item.id,
                    item.n,
                    item.publisher,
                    item.payload,
                )
        case Retracted(ids):
            await conn.execute(
                "DELETE FROM pubsub_item WHERE node_id = $1 AND id = ANY ($2::text[])", id, list(ids)
            )
        case Purged():
            await conn.execute("DELETE FROM pubsub_item WHERE node_id = $1", id)
        case Deleted():
            await conn.execute("DELETE FROM pubsub_node WHERE id = $1", id)


async def _create(conn: Connection, node: Node, change: Created) -> None:
    owner = Jid.trusted(node.owner)
    local = owner.local or ""
    if await conn.fetchval(
        "SELECT EXISTS (SELECT FROM pubsub_node WHERE owner = $1 AND name = $2)", node.owner, node.name
    ):
        raise StanzaError("conflict", "there is such a node")
    row = await conn.fetchrow(
        _MAKE, node.owner, node.name, local, owner.domain, node.creator, change.config.pack()
    )
    if local and row["account_id"] is None:
        raise StanzaError("service-unavailable")
    node.id, node.created = int(row["id"]), float(row["created"])
    for jid, affiliation in change.affiliations:
        await conn.execute(_AFFILIATE, node.id, jid, affiliation)


async def forget(conn: Connection, incarnation: str, seconds: int) -> None:
    """Delete what was told longer ago than that, a part of it at a time."""
    await conn.execute(_FORGET, incarnation, float(seconds), _CHUNK)

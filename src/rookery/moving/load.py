"""The one writer of records: some statements for hundreds of people, all in one transaction.

An account that is there already stays as it is, with all that it has. So what is in a batch came in whole or not at all, and an import
that was interrupted is only to be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from rookery.moving.load_rooms import put_rooms
from rookery.moving.records import Message, Person, Room
from rookery.shared.db.api import Connection, Database
from rookery.shared.store import loading
from rookery.shared.store.ids import ArchiveIds
from rookery.shared.store.rows import Row, make_row, pack_stanza
from rookery.shared.xmpp.jid import bare_of
from rookery.workers.account import store

#: Rows in one statement: each stays far below the statement timeout.
ROWS: Final = 2000
_MAKE: Final = """
INSERT INTO account (localpart, domain, email, disabled, created)
SELECT l, $1, e, x, coalesce(to_timestamp(nullif(c, 0)), now())
FROM unnest($2::text[], $3::text[], $4::boolean[], $5::float8[]) AS n (l, e, x, c)
ON CONFLICT (domain, localpart) DO NOTHING RETURNING id, localpart"""
_KEYS: Final = """
INSERT INTO credential (account_id, mechanism, iterations, salt, stored_key, server_key)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::bytea[], $5::bytea[], $6::bytea[])"""
# Groups are arrays in an array, which has to be even: they come as one text each, with a separator that no group has.
_CONTACTS: Final = """
INSERT INTO roster_item (account_id, contact, name, groups, sub_to, sub_from, pending_out, pending_in, approved, listed)
SELECT i, c, n, CASE WHEN g = '' THEN '{}' ELSE string_to_array(g, E'\\x01') END, t, f, o, p, a, l
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::boolean[], $7::boolean[], $8::bytea[],
    $9::boolean[], $10::boolean[]) AS r (i, c, n, g, t, f, o, p, a, l)
ON CONFLICT DO NOTHING"""
_CARDS: Final = "INSERT INTO vcard (account_id, xml) SELECT * FROM unnest($1::bigint[], $2::bytea[])"
_PRIVATE: Final = """
INSERT INTO private_xml (account_id, namespace, name, xml)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[])"""
_BLOCKED: Final = "INSERT INTO blocked (account_id, jid) SELECT * FROM unnest($1::bigint[], $2::text[])"
_PREFERENCE: Final = (
    "INSERT INTO archive_preference (account_id, fallback, always, never) VALUES ($1, $2, $3, $4)"
)
_NODES: Final = """
INSERT INTO pubsub_node (owner, name, account_id, creator, config, n)
SELECT o, m, a, o, c, n FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[], $5::bigint[]) AS r (o, m, a, c, n)
RETURNING id, owner, name"""
_ITEMS: Final = """
INSERT INTO pubsub_item (node_id, id, n, publisher, published, payload)
SELECT d, i, n, p, coalesce(to_timestamp(nullif(t, 0)), now()), x
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::float8[], $6::bytea[]) AS r (d, i, n, p, t, x)"""
_AFFILIATIONS: Final = """
INSERT INTO pubsub_affiliation (node_id, jid, affiliation) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])
ON CONFLICT DO NOTHING"""
_SUBSCRIBERS: Final = """
INSERT INTO pubsub_subscription (node_id, jid, bare, subid, state, options)
SELECT d, j, b, s, t, E'\\\\x80' FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[]) AS r (d, j, b, s, t)
ON CONFLICT DO NOTHING"""


class Loaded(NamedTuple):
    """What a batch did: names of new accounts and rooms, and how many were there already."""

    made: Sequence[str]
    there: int


async def put_people(db: Database, people: Sequence[Person]) -> Loaded:
    """Store people of one domain, with keys. Raises store.UnknownDomainError, DatabaseUnavailable."""
    return await db.run(0, partial(_people, people))


async def put(db: Database, rooms: Sequence[Room]) -> Loaded:
    """Store rooms of one domain."""
    return await db.run(0, partial(_rooms, rooms))


async def _rooms(rooms: Sequence[Room], conn: Connection) -> Loaded:
    await _reach(conn, (message for room in rooms for message in room.messages))
    made = await put_rooms(rooms, message_rows, conn)
    return Loaded(made, len(rooms) - len(made))


async def _reach(conn: Connection, messages: Iterable[Message]) -> None:
    first = min((message.stamp for message in messages), default=None)
    if first is not None:
        await loading.reach(conn, first)


async def _people(people: Sequence[Person], conn: Connection) -> Loaded:
    domain = people[0].domain
    await _reach(conn, (message for one in people for message in one.messages))
    async with conn.transaction():
        if await conn.fetchval("SELECT 1 FROM domain WHERE name = $1 AND kind = 'accounts'", domain) is None:
            raise store.UnknownDomainError(domain)
        columns = _columns([(one.local, one.email, one.disabled, one.created) for one in people], 4)
        ids = {row["localpart"]: row["id"] for row in await conn.fetch(_MAKE, domain, *columns)}
        new = [(ids[one.local], one) for one in people if one.local in ids]
        await _many(conn, _KEYS, 6, ((id, *keys) for id, one in new for keys in one.keys))
        await _many(conn, _CONTACTS, 10, _contacts(new))
        await _many(conn, _CARDS, 2, ((id, one.card) for id, one in new if one.card))
        await _many(conn, _PRIVATE, 4, ((id, *part) for id, one in new for part in one.private))
        await _many(conn, _BLOCKED, 2, ((id, jid) for id, one in new for jid in one.blocked))
        for id, one in new:
            if one.preferences is not None:
                await conn.execute(_PREFERENCE, id, one.preferences[0], *map(list, one.preferences[1:]))
        await loading.put(conn, (row for id, one in new for row in message_rows(id, one.messages)))
        await _nodes(conn, new)
    return Loaded([one.jid for _, one in new], len(people) - len(new))


def _contacts(new: Iterable[tuple[int, Person]]) -> Iterable[Sequence[Any]]:
    for id, person in new:
        for one in person.contacts:
            groups = "\x01".join(group.replace("\x01", "") for group in one.groups)
            request = None if one.request is None else pack_stanza(one.request)
            yield (
                id,
                one.jid,
                one.name,
                groups,
                one.to,
                one.from_,
                one.asked,
                request,
                one.approved,
                one.listed,
            )


def message_rows(owner: int, messages: Sequence[Message]) -> Iterable[Row]:
    """Rows of an owner that is new: their ids are of epoch 0, in which nobody holds a partition, so all later ones are higher."""
    ids = ArchiveIds(0)
    for stamp, stanza, peer, outgoing, archived, owed in messages:
        yield make_row(
            owner,
            ids.next(),
            b"",
            0,
            stanza,
            peer=peer,
            outgoing=outgoing,
            archived=archived,
            owed=owed,
            stamp=stamp,
        )


async def _nodes(conn: Connection, new: Sequence[tuple[int, Person]]) -> None:
    nodes = {(one.jid, node.name): (id, node) for id, one in new for node in one.nodes}
    rows = [
        (owner, name, id, node.config.pack(), len(node.items)) for (owner, name), (id, node) in nodes.items()
    ]
    made = [
        (record["id"], nodes[record["owner"], record["name"]][1])
        for at in range(0, len(rows), ROWS)
        for record in await conn.fetch(_NODES, *_columns(rows[at : at + ROWS], 5))
    ]
    items = (
        (id, one.id, n, one.publisher, one.published, one.payload)
        for id, node in made
        for n, one in enumerate(node.items, 1)
    )
    await _many(conn, _ITEMS, 6, items)
    await _many(conn, _AFFILIATIONS, 3, ((id, *one) for id, node in made for one in node.affiliations))
    listed = (
        (id, one.jid, bare_of(one.jid), one.subid or f"import-{id}", one.state)
        for id, node in made
        for one in node.subscribers
    )
    await _many(conn, _SUBSCRIBERS, 5, listed)


async def _many(conn: Connection, statement: str, width: int, rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows, a statement for each 2000 of them."""
    batch: list[Sequence[Any]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, bytes))
        if len(batch) == ROWS or size > 4 * 1024 * 1024:
            await conn.execute(statement, *_columns(batch, width))
            batch, size = [], 0
    if batch:
        await conn.execute(statement, *_columns(batch, width))


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]

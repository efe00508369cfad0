"""The way of one message: what the rows say of it, who holds the partitions that it concerns, and what processes have logged meanwhile.

A message is named by an id of an archive (XEP-0359 `stanza-id`), which tells by itself whose archive it is in, or, for a user, by what its
sender called it: the id of the stanza or its `origin-id`. Content is never told. What is read is bounded.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from rookery.admin import cluster_work, sessions
from rookery.admin.desk import Desk
from rookery.admin.errors import NotFound, Unreachable
from rookery.shared.bus.kinds import KINDS, Kind
from rookery.shared.bus.subjects import partition_of
from rookery.shared.cluster.addresses import Addresses
from rookery.shared.db.api import Connection
from rookery.shared.store.ids import Seal, cluster_seal
from rookery.shared.store.rows import unpack_stanza
from rookery.shared.xeps import stanza_ids
from rookery.shared.xmpp.jid import Jid, bare_of
from rookery.shared.xmpp.stanza import Stanza

#: Newest rows of an archive, or of a queue, that are searched for the id that a sender gave.
SEARCHED: Final = 5000
#: The two legs of a message, and what is logged about it, are this near to one another, in seconds.
NEAR: Final = 120.0
#: Log lines of one process, and in all.
LINES: Final = 100
_COLUMNS: Final = (
    "owner_id, id, peer, outgoing, archived, owed, extract(epoch FROM stamp)::float8 AS at, stanza"
)
_ROWS: Final = (
    "(SELECT account_id AS owner_id, id, peer, outgoing, archived, owed, stamp, stanza FROM message) AS r"
)
_OWNER: Final = """
SELECT localpart || '@' || domain AS address FROM account WHERE id = $1
UNION ALL SELECT CASE WHEN position('@' IN name) > 0 THEN name ELSE name || '@' || domain END FROM archive_owner WHERE id = $1"""
_OWNED: Final = """
SELECT id FROM account WHERE localpart = $1 AND domain = $2
UNION ALL SELECT id FROM archive_owner WHERE domain = $2 AND name IN ($1, $1 || '@' || $2)"""
_QUEUE: Final = """
SELECT q.remote, q.local, extract(epoch FROM q.stamp)::float8 AS at, extract(epoch FROM q.expires)::float8 AS expires, q.stanza,
       q.seq <= coalesce(p.acked, 0) AS acknowledged, coalesce(p.trouble, '') AS trouble
FROM s2s_queue q LEFT JOIN s2s_peer p ON p.remote = q.remote AND p.local = q.local
WHERE q.remote = ANY($1::text[]) AND q.local = ANY($1::text[]) ORDER BY q.seq DESC LIMIT $2"""
_PUSH: Final = """
SELECT a.localpart || '@' || a.domain AS account, p.service, p.resource, p.due, p.missed, p.failures
FROM push p JOIN account a ON a.id = p.account_id WHERE a.localpart || '@' || a.domain = ANY($1::text[]) ORDER BY 1, 2 LIMIT 100"""
_HOLDERS: Final = """
SELECT kind, partition, incarnation, epoch FROM lease
WHERE partition = ANY($1::integer[]) AND kind = ANY($2::text[]) AND incarnation IS NOT NULL"""


class Row(NamedTuple):
    """The message in one archive, or on its way to a user who was away."""

    owner: str
    id: int
    sealed: str
    peer: str
    outgoing: bool
    archived: bool
    owed: bool
    at: float
    stanza: Stanza


def ids_of(stanza: Stanza) -> set[str]:
    """What its sender calls a stanza."""
    found = {stanza.id} if stanza.id else set()
    if stanza.has(stanza_ids.NS, "origin-id"):
        origin = stanza.find(stanza_ids.NS, "origin-id")
        if origin is not None and (id := origin.get("id")):
            found.add(id)
    return found


def same(one: Stanza, other: Stanza) -> bool:
    """Whether two rows tell of one message: its two legs have their ids in common, and their senders."""
    return (
        bool(ids_of(one) & ids_of(other))
        and bare_of(one.from_) == bare_of(other.from_)
        and bare_of(one.to or "") == bare_of(other.to or "")
    )


def opened(seal: Seal, text: str) -> tuple[int, int] | None:
    """(owner, id) of an archive id, None for what is none of ours."""
    try:
        block = urlsafe_b64decode(text.encode() + b"==")
    except (binascii.Error, ValueError):
        return None
    owner = seal.owner(block)
    id = None if owner is None else seal.open(owner, text)
    return None if owner is None or id is None else (owner, id)


class _Store:
    """Reads of one connection."""

    def __init__(self, conn: Connection, seal: Seal) -> None:
        self._conn = conn
        self._seal = seal

    async def by_id(self, owner: int, id: int) -> list[Row]:
        return await self._rows("owner_id = $1 AND id = $2", owner, id)

    async def by_name(self, jid: str, name: str) -> list[Row]:
        """Rows of one archive, the newest first, whose sender called them so."""
        rows = await self._of(jid, "id > 0")
        return [row for row in rows if name in ids_of(row.stanza)]

    async def leg(self, jid: str, message: Row) -> list[Row]:
        """The other leg of a message, in the archive of `jid`."""
        near = "stamp BETWEEN to_timestamp($3::float8) AND to_timestamp($4::float8)"
        rows = await self._of(jid, near, message.at - NEAR, message.at + NEAR)
        return [row for row in rows if same(row.stanza, message.stanza)]

    async def _of(self, jid: str, where: str, *args: object) -> list[Row]:
        owner = await self._conn.fetchval(_OWNED, *bare_of(jid).rpartition("@")[::2])
        if owner is None:
            return []
        return await self._rows(
            f"owner_id = $1 AND {where} ORDER BY id DESC LIMIT $2", owner, SEARCHED, *args
        )

    async def _rows(self, where: str, owner: int, *args: object) -> list[Row]:
        viewed = await self._conn.fetchval("SELECT to_regclass('stored') IS NOT NULL")
        found = await self._conn.fetch(
            f"SELECT {_COLUMNS} FROM {'stored' if viewed else _ROWS} WHERE {where}",  # noqa: S608  constants only
            owner,
            *args,
        )
        address = await self._conn.fetchval(_OWNER, owner) or ""
        return [
            Row(
                address,
                row["id"],
                self._seal.seal(owner, row["id"]),
                row["peer"],
                row["outgoing"],
                row["archived"],
                row["owed"],
                row["at"],
                unpack_stanza(row["stanza"]),
            )
            for row in found
        ]


async def _find(desk: Desk, id: str, user: Jid | None) -> list[Row]:
    seal = await cluster_seal(desk.db)

    async def read(conn: Connection) -> list[Row]:
        store = _Store(conn, seal)
        place = opened(seal, id)
        first = await store.by_id(*place) if place is not None else []
        if not first and user is not None:
            first = (await store.by_name(user.bare, id))[:1]
        if not first:
            return []
        message = first[0]
        sides = {bare_of(message.stanza.from_), bare_of(message.stanza.to or ""), bare_of(message.peer)}
        rows = {(row.owner, row.id): row for row in first}
        for jid in sorted(sides - {message.owner, ""}):
            rows |= {(row.owner, row.id): row for row in await store.leg(jid, message)}
        return list(rows.values())

    return await desk.run(read)


async def trace(desk: Desk, id: str, user: Jid | None = None) -> dict[str, Any]:
    """The way of the message with this archive id, or, of a user, with this id of its sender. Raises NotFound, Unreachable."""
    rows = await _find(desk, id, user)
    await desk.tell([desk.audit("trace", user.bare if user else rows[0].owner if rows else "-", id=id)])
    if not rows:
        where = (
            "the newest 5000 messages of that archive"
            if user
            else "any archive; an id of a sender needs its user"
        )
        raise NotFound(f"there is no message {id} in {where}")
    message = rows[0].stanza
    people = sorted(
        {bare_of(jid) for jid in (message.from_, message.to or "", *(row.owner for row in rows)) if jid}
    )

    async def read(conn: Connection) -> tuple[list[Any], list[Any], list[Any], dict[str, str]]:
        domains = {row["name"]: row["kind"] for row in await conn.fetch("SELECT name, kind FROM domain")}
        queue = await conn.fetch(_QUEUE, [jid.rpartition("@")[2] for jid in people], SEARCHED)
        push = await conn.fetch(_PUSH, people)
        wanted = [partition_of(jid) for jid in people] + [
            partition_of(jid.rpartition("@")[2]) for jid in people
        ]
        return (
            queue,
            push,
            await conn.fetch(_HOLDERS, wanted, [row.kind.label for row in KINDS.values()]),
            domains,
        )

    queue, push, leases, domains = await desk.run(read)
    return {
        "id": id,
        "from": message.from_,
        "to": message.to or "",
        "type": message.type or "normal",
        "ids": sorted(ids_of(message)),
        "rows": [_row(row) for row in sorted(rows, key=lambda row: (not row.outgoing, row.at))],
        "queued": [_queued(row) for row in queue if same(unpack_stanza(row["stanza"]), message)],
        "push": [dict(row) for row in push],
        "holders": _holders(leases, people, domains),
        "sessions": await _sessions(desk, people, domains),
        "log": await _log(desk, people, {id, *ids_of(message)}, rows[0].at),
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "owner": row.owner,
        "id": row.sealed,
        "at": row.at,
        "direction": "sent" if row.outgoing else "received",
        "archived": row.archived,
        "owed": row.owed,
        "octets": len(row.stanza.inner),
    }


def _queued(row: Any) -> dict[str, Any]:
    names = ("remote", "local", "at", "expires", "acknowledged", "trouble")
    return {name: row[name] for name in names}


def _holders(leases: list[Any], people: list[str], domains: dict[str, str]) -> list[dict[str, Any]]:
    book = Addresses(partition_of, federated=True)
    book.learn(domains)
    held = {(row["kind"], row["partition"]): (row["incarnation"], row["epoch"]) for row in leases}
    found = []
    for jid in people:
        place = book.place(jid)
        kinds = [place.kind, Kind.OFFLINE] if place.kind is Kind.ROUTER else [place.kind]
        for kind in kinds:
            incarnation, epoch = held.get((kind.label, place.partition), ("", 0))
            found.append(
                {
                    "address": jid,
                    "kind": kind.label,
                    "partition": place.partition,
                    "incarnation": incarnation,
                    "epoch": epoch,
                }
            )
    return found


async def _sessions(desk: Desk, people: list[str], domains: dict[str, str]) -> list[dict[str, Any]]:
    found = []
    for jid in people:
        if domains.get(jid.rpartition("@")[2]) != "accounts":
            continue
        try:
            page = await sessions.of_account(desk.cluster, jid)
        except Unreachable:
            continue
        found += [{"jid": row.jid, "edge": row.edge, "state": row.state} for row in page.rows]
    return found


async def _log(desk: Desk, people: list[str], ids: set[str], at: float) -> list[dict[str, Any]]:
    """Lines of the processes' memories that name the message, or one of its people near its time."""
    names = [
        one["incarnation"]
        for one in (await cluster_work.status(desk))["processes"]
        if one["state"] != "silent"
    ]
    lines: dict[str, dict[str, Any]] = {}
    for text in sorted({*people, *ids}):
        asked = {"level": "info", "text": text, "limit": LINES}
        for process, answer in (await desk.cluster.ask_processes(names, "log", asked)).items():
            for line in answer:
                when = _when(str(line.get("ts", "")))
                if text in ids or (when is not None and abs(when - at) <= NEAR):
                    told = {"process": process, "at": when or 0.0, "event": str(line.get("event", ""))}
                    told["fields"] = {
                        key: str(value)
                        for key, value in line.items()
                        if key not in ("ts", "event", "incarnation")
                    }
                    lines[f"{process} {line}"] = told
    return sorted(lines.values(), key=lambda line: float(line["at"]))[-LINES:]


def _when(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None

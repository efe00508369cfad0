"""Records out of rows, a page of accounts or rooms at a time: for exports, and for what a person may know of himself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rookery.moving.records import Contact, Item, Message, Node, Person, Preferences, Room, Subscriber
from rookery.shared.db.api import Connection
from rookery.shared.store.rows import unpack_stanza
from rookery.workers.account.credentials import Keys
from rookery.workers.muc.room import packed
from rookery.workers.pubsub.config import Config as NodeConfig

#: Messages that are read at once.
MESSAGES: Final = 2000
_ACCOUNTS: Final = """
SELECT id, localpart, domain, email, disabled, extract(epoch FROM created)::float8 AS created FROM account
WHERE domain = $1 AND localpart > $2 ORDER BY localpart LIMIT $3"""
_KEYS: Final = """
SELECT account_id, mechanism, iterations, salt, stored_key, server_key FROM credential
WHERE account_id = ANY ($1::bigint[]) ORDER BY mechanism DESC"""
_CONTACTS: Final = """
SELECT account_id, contact, name, groups, sub_to, sub_from, pending_out, approved, listed, pending_in FROM roster_item
WHERE account_id = ANY ($1::bigint[]) AND (listed OR pending_in IS NOT NULL) ORDER BY contact"""
_CARDS: Final = "SELECT account_id, xml FROM vcard WHERE account_id = ANY ($1::bigint[])"
_PRIVATE: Final = """
SELECT account_id, namespace, name, xml FROM private_xml WHERE account_id = ANY ($1::bigint[]) ORDER BY namespace, name"""
_BLOCKED: Final = "SELECT account_id, jid FROM blocked WHERE account_id = ANY ($1::bigint[]) ORDER BY jid"
_PREFERENCES: Final = (
    "SELECT account_id, fallback, always, never FROM archive_preference WHERE account_id = ANY ($1::bigint[])"
)
_MESSAGES: Final = """
SELECT id, extract(epoch FROM stamp)::float8 AS stamp, stanza, peer, outgoing, archived, owed FROM stored
WHERE owner_id = $1 AND id > $2 ORDER BY id LIMIT $3"""
_NODES: Final = (
    "SELECT id, account_id, name, config FROM pubsub_node WHERE account_id = ANY ($1::bigint[]) ORDER BY name"
)
_ITEMS: Final = """
SELECT node_id, id, publisher, extract(epoch FROM published)::float8 AS published, payload FROM pubsub_item
WHERE node_id = ANY ($1::bigint[]) ORDER BY n"""
_AFFILIATIONS: Final = (
    "SELECT node_id, jid, affiliation FROM pubsub_affiliation WHERE node_id = ANY ($1::bigint[]) ORDER BY jid"
)
_SUBSCRIBERS: Final = "SELECT node_id, jid, state, subid FROM pubsub_subscription WHERE node_id = ANY ($1::bigint[]) ORDER BY jid"
_ROOMS: Final = """
SELECT r.id, r.jid, r.state FROM archive_owner o JOIN room r ON r.id = o.id
WHERE o.domain = $1 AND o.kind = 'room' AND r.jid > $2 ORDER BY r.jid LIMIT $3"""
_LISTED: Final = "SELECT jid, state FROM room_affiliation WHERE room_id = $1 ORDER BY jid"


async def people(conn: Connection, domain: str, after: str, limit: int) -> list[Person]:
    """People of a domain with names above `after`, by name."""
    return await _people(conn, await conn.fetch(_ACCOUNTS, domain, after, limit))


async def person(conn: Connection, local: str, domain: str) -> Person | None:
    """One person, None when there is no such account."""
    sql = _ACCOUNTS.replace("localpart > $2 ORDER", "localpart = $2 ORDER")
    found = await _people(conn, await conn.fetch(sql, domain, local, 1))
    return found[0] if found else None


async def _people(conn: Connection, accounts: Sequence[Any]) -> list[Person]:
    ids = [row["id"] for row in accounts]
    keys, contacts, cards, private, blocked, preferences = [
        _grouped(await conn.fetch(sql, ids))
        for sql in (_KEYS, _CONTACTS, _CARDS, _PRIVATE, _BLOCKED, _PREFERENCES)
    ]
    nodes = await _nodes(conn, ids)
    out = []
    for row in accounts:
        id = row["id"]
        prefs = preferences.get(id)
        out.append(
            Person(
                row["localpart"],
                row["domain"],
                "",
                tuple(Keys(*one) for one in keys.get(id, ())),
                row["email"],
                row["disabled"],
                row["created"],
                tuple(_contact(one) for one in contacts.get(id, ())),
                bytes(cards[id][0][0]) if id in cards else b"",
                tuple((uri, name, bytes(xml)) for uri, name, xml in private.get(id, ())),
                tuple(jid for (jid,) in blocked.get(id, ())),
                tuple(await _messages(conn, id)),
                nodes.get(id, ()),
                Preferences(prefs[0][0], tuple(prefs[0][1]), tuple(prefs[0][2])) if prefs else None,
            )
        )
    return out


def _grouped(records: Sequence[Any]) -> dict[int, list[tuple[Any, ...]]]:
    out: dict[int, list[tuple[Any, ...]]] = {}
    for record in records:
        owner, *rest = record.values()
        out.setdefault(owner, []).append(tuple(rest))
    return out


def _contact(row: tuple[Any, ...]) -> Contact:
    jid, name, groups, to, from_, asked, approved, listed, request = row
    stanza = None if request is None else unpack_stanza(request)
    return Contact(jid, name, tuple(groups), to, from_, asked, approved, listed, stanza)


async def _messages(conn: Connection, owner: int) -> list[Message]:
    out: list[Message] = []
    after = -1
    while records := await conn.fetch(_MESSAGES, owner, after, MESSAGES):
        for row in records:
            try:
                stanza = unpack_stanza(row["stanza"])
            except (ValueError, TypeError):
                continue  # nobody can read it here either
            out.append(
                Message(row["stamp"], stanza, row["peer"], row["outgoing"], row["archived"], row["owed"])
            )
        after = records[-1]["id"]
        if len(records) < MESSAGES:
            break
    return out


async def _nodes(conn: Connection, accounts: Sequence[int]) -> Mapping[int, tuple[Node, ...]]:
    records = await conn.fetch(_NODES, list(accounts))
    ids = [row["id"] for row in records]
    items, affiliations, subscribers = [
        _grouped(await conn.fetch(sql, ids)) for sql in (_ITEMS, _AFFILIATIONS, _SUBSCRIBERS)
    ]
    out: dict[int, tuple[Node, ...]] = {}
    for row in records:
        id = row["id"]
        node = Node(
            row["name"],
            NodeConfig.unpack(True, row["config"]),
            tuple(Item(one[0], one[1], one[2], bytes(one[3])) for one in items.get(id, ())),
            tuple((jid, affiliation) for jid, affiliation in affiliations.get(id, ())),
            tuple(Subscriber(*one) for one in subscribers.get(id, ())),
        )
        out[row["account_id"]] = (*out.get(row["account_id"], ()), node)
    return out


async def rooms(conn: Connection, domain: str, after: str, limit: int) -> list[Room]:
    """Rooms of a domain with addresses above `after`, by address."""
    out = []
    for row in await conn.fetch(_ROOMS, domain, after, limit):
        listed = {one["jid"]: bytes(one["state"]) for one in await conn.fetch(_LISTED, row["id"])}
        state = packed.load(row["jid"], row["state"], listed, {})
        affiliates = tuple((jid, state.affiliate(jid)) for jid in listed)
        out.append(
            Room(row["jid"], state.config, affiliates, state.subject, tuple(await _messages(conn, row["id"])))
        )
    return out

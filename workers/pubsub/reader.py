"""Nodes in Postgres: what is read. Units of work on one connection."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.shared.db.groups import ANY, contacts, labels_if_any
from rookery.shared.xmpp.jid import Jid
from rookery.workers.pubsub import options
from rookery.workers.pubsub.config import Config
from rookery.workers.pubsub.entity import Relation
from rookery.workers.pubsub.node import INSIDE, OWNER, Contact, Item, Node, Subscription

_ITEM: Final = "i.id, i.n, i.publisher, i.payload, extract(epoch FROM i.published)::float8 AS published"
# One statement for all of a node but its items; lists as arrays in one order.
_NODE: Final = """
SELECT n.id, n.creator, n.config, n.n, extract(epoch FROM n.created)::float8 AS created, n.account_id,
    ARRAY(SELECT jid FROM pubsub_affiliation WHERE node_id = n.id ORDER BY jid) AS jids,
    ARRAY(SELECT affiliation FROM pubsub_affiliation WHERE node_id = n.id ORDER BY jid) AS affiliations,
    ARRAY(SELECT jid FROM pubsub_subscription WHERE node_id = n.id ORDER BY jid, subid) AS subscribers,
    ARRAY(SELECT subid FROM pubsub_subscription WHERE node_id = n.id ORDER BY jid, subid) AS subids,
    ARRAY(SELECT state FROM pubsub_subscription WHERE node_id = n.id ORDER BY jid, subid) AS states,
    ARRAY(SELECT options FROM pubsub_subscription WHERE node_id = n.id ORDER BY jid, subid) AS options,
    (SELECT count(*) FROM pubsub_item WHERE node_id = n.id) AS count,
    i.id AS item, i.n AS item_n, i.publisher, i.payload, extract(epoch FROM i.published)::float8 AS published
FROM pubsub_node n
LEFT JOIN LATERAL (SELECT * FROM pubsub_item WHERE node_id = n.id ORDER BY n DESC LIMIT 1) i ON true
WHERE n.owner = $1 AND n.name = $2"""
_AUDIENCE: Final = f"""
SELECT
    ARRAY(SELECT contact FROM roster_item WHERE account_id = a.id AND sub_from UNION {contacts("a.id")}) AS seen_by,
    ARRAY(SELECT jid FROM blocked WHERE account_id = a.id) AS blocked
FROM account a WHERE domain = $1 AND localpart = $2"""  # noqa: S608  constants only
_CONTACT: Final = f"""
SELECT coalesce(r.sub_from, false) OR s.labels <> '{{}}' AS sub_from, coalesce(r.groups, '{{}}') || s.labels AS groups
FROM account a LEFT JOIN roster_item r ON r.account_id = a.id AND r.contact = $3
CROSS JOIN LATERAL (SELECT {labels_if_any("a.id", "$3")} AS labels) s
WHERE a.domain = $1 AND a.localpart = $2
AND NOT EXISTS (SELECT FROM blocked b WHERE b.account_id = a.id AND b.jid IN ($3, split_part($3, '@', 2)))"""  # noqa: S608  constants only
# The last item of every node of these names whose account lets the asker see its presence, and of the asker's own.
_LAST: Final = f"""
SELECT asked.k, n.id AS node_id, n.owner, n.name, n.config, r.groups, f.affiliation,
    EXISTS (SELECT FROM pubsub_subscription s WHERE s.node_id = n.id AND s.bare = asked.bare AND s.state = 'subscribed') AS subscribed,
    {_ITEM}, extract(epoch FROM now())::float8 AS now
FROM unnest($1::int[], $2::text[], $3::text[]) AS asked (k, bare, name)
CROSS JOIN LATERAL (
    SELECT account_id, groups || {labels_if_any("roster_item.account_id", "asked.bare")} AS groups
    FROM roster_item WHERE contact = asked.bare AND sub_from
    UNION ALL
    SELECT they.account_id, array_agg(g.label) FROM account me
    JOIN group_member mine ON mine.account_id = me.id
    JOIN roster_group g ON g.id = mine.group_id
    JOIN group_member they ON they.group_id = g.id AND they.account_id <> me.id
    WHERE {ANY} AND me.localpart = split_part(asked.bare, '@', 1) AND me.domain = split_part(asked.bare, '@', 2)
        AND NOT EXISTS (SELECT FROM roster_item i WHERE i.account_id = they.account_id AND i.contact = asked.bare AND i.sub_from)
    GROUP BY they.account_id
    UNION ALL
    SELECT a.id, NULL::text[] FROM account a
    WHERE a.localpart = split_part(asked.bare, '@', 1) AND a.domain = split_part(asked.bare, '@', 2)
) r
JOIN pubsub_node n ON n.account_id = r.account_id AND n.name = asked.name
CROSS JOIN LATERAL (SELECT * FROM pubsub_item WHERE node_id = n.id ORDER BY n DESC LIMIT 1) i
LEFT JOIN pubsub_affiliation f ON f.node_id = n.id AND f.jid = asked.bare
WHERE NOT EXISTS (
    SELECT FROM blocked b WHERE b.account_id = r.account_id AND b.jid IN (asked.bare, split_part(asked.bare, '@', 2)))
ORDER BY n.owner, n.name"""  # noqa: S608  constants only
# What is not too old yet, of items `i`; $2 are the seconds after which they go, 0 for never.
_FRESH: Final = "($2::bigint = 0 OR i.published >= now() - make_interval(secs => $2::bigint))"
_PAGE: Final = f"""
SELECT {_ITEM} FROM pubsub_item i WHERE i.node_id = $1 AND {_FRESH} AND i.n < $3 AND i.n > $4 ORDER BY i.n """  # noqa: S608


class Last(NamedTuple):
    """A last item that asker number `k` may perhaps have: what is known of the node, of the asker, and the item."""

    k: int
    node: Node
    groups: Sequence[str] | None
    subscribed: bool
    item: Item

    @property
    def allowed(self) -> bool:
        """Whether the node's access model lets the asker, who sees the account's presence, have it."""
        node = self.node
        affiliation = next(iter(node.affiliations.values()), "none")
        if self.groups is None or affiliation in INSIDE:
            return True
        model = node.config.text("access_model")
        if affiliation != "none":
            return False
        if model == "roster":
            return not set(self.groups).isdisjoint(node.config.values("roster_groups_allowed"))
        return model in ("open", "presence") or (model == "authorize" and self.subscribed)


@lru_cache(maxsize=256)
def _settings(packed: bytes) -> Config:
    """Those of an account's node, to be looked at: most are alike."""
    return Config.unpack(True, packed)


def _item(row: Any) -> Item:
    return Item(row["id"], row["n"], row["publisher"], bytes(row["payload"]), row["published"])


async def load(conn: Connection, owner: str, name: str) -> Node | None:
    """A node with all but its items, in one statement."""
    row = await conn.fetchrow(_NODE, owner, name)
    if row is None:
        return None
    account = row["account_id"] is not None
    node = Node(owner, name, Config.unpack(account, bytes(row["config"])), row["creator"])
    node.id, node.n, node.created, node.count = row["id"], row["n"], row["created"], row["count"]
    node.affiliations.update(zip(row["jids"], row["affiliations"], strict=True))
    for jid, subid, state, packed in zip(
        row["subscribers"], row["subids"], row["states"], row["options"], strict=True
    ):
        node.subscriptions[jid, subid] = Subscription(jid, subid, state, options.unpack(bytes(packed)))
    if row["item"] is not None:
        node.last = Item(
            row["item"], row["item_n"], row["publisher"], bytes(row["payload"]), row["published"]
        )
    return node


async def audience(conn: Connection, account: str) -> tuple[Sequence[str], frozenset[str]]:
    """Who sees the presence of an account, and whom it blocks."""
    jid = Jid.trusted(account)
    row = await conn.fetchrow(_AUDIENCE, jid.domain, jid.local or "")
    return ((), frozenset()) if row is None else (row["seen_by"], frozenset(row["blocked"]))


async def owns(conn: Connection, account: str) -> bool:
    """Whether an account has nodes."""
    return bool(await conn.fetchval("SELECT EXISTS (SELECT 1 FROM pubsub_node WHERE owner = $1)", account))


async def mutual(conn: Connection, account: str) -> list[str]:
    """The contacts of an account that it sees and that see it."""
    jid = Jid.trusted(account)
    rows = await conn.fetch(
        "SELECT r.contact FROM account a JOIN roster_item r ON r.account_id = a.id "
        "WHERE a.domain = $1 AND a.localpart = $2 AND r.sub_from AND r.sub_to ORDER BY r.contact",
        jid.domain,
        jid.local or "",
    )
    return [row["contact"] for row in rows]


async def contact(conn: Connection, account: str, bare: str) -> Contact:
    """How an account stands to somebody."""
    jid = Jid.trusted(account)
    row = await conn.fetchrow(_CONTACT, jid.domain, jid.local or "", bare)
    return Contact(False) if row is None else Contact(row["sub_from"], tuple(row["groups"]))


async def last_items(conn: Connection, asked: Sequence[tuple[str, Sequence[str]]]) -> list[Last]:
    """The last items of nodes for each asker: (bare JID, names of nodes). One statement for all of them."""
    flat = [(k, bare, name) for k, (bare, names) in enumerate(asked) for name in names]
    rows = await conn.fetch(
        _LAST, [one[0] for one in flat], [one[1] for one in flat], [one[2] for one in flat]
    )
    found = []
    for row in rows:
        node = Node(row["owner"], row["name"], _settings(bytes(row["config"])), "")
        node.id = row["node_id"]
        if row["affiliation"] is not None:
            node.affiliations[""] = row["affiliation"]
        item = _item(row)
        if node.config.text("send_last_published_item") == "on_sub_and_presence" and node.has(
            item, row["now"]
        ):
            found.append(Last(row["k"], node, row["groups"], row["subscribed"], item))
    return found


async def publishers(conn: Connection, node: int, expire: int, ids: Sequence[str]) -> dict[str, str]:
    """Who published which of these items, of those that are there."""
    rows = await conn.fetch(
        f"SELECT i.id, i.publisher FROM pubsub_item i WHERE i.node_id = $1 AND {_FRESH} AND i.id = ANY ($3::text[])",  # noqa: S608
        node,
        expire,
        list(ids),
    )
    return {row["id"]: row["publisher"] for row in rows}


async def count(conn: Connection, node: int, expire: int) -> int:
    """How many items there are."""
    return int(
        await conn.fetchval(
            f"SELECT count(*) FROM pubsub_item i WHERE i.node_id = $1 AND {_FRESH}",  # noqa: S608
            node,
            expire,
        )
    )


async def beyond(conn: Connection, node: int, id: str, keep: int) -> list[str]:
    """The items that are too many once the item `id` is published, oldest first."""
    rows = await conn.fetch(
        "SELECT id FROM pubsub_item WHERE node_id = $1 AND id <> $2 ORDER BY n DESC OFFSET $3",
        node,
        id,
        keep - 1,
    )
    return [row["id"] for row in reversed(rows)]


async def some(conn: Connection, node: int, expire: int, ids: Sequence[str]) -> list[Item]:
    """These items, of those that are there, in the order of `ids`."""
    rows = await conn.fetch(
        f"SELECT {_ITEM} FROM pubsub_item i WHERE i.node_id = $1 AND {_FRESH} AND i.id = ANY ($3::text[])",  # noqa: S608
        node,
        expire,
        list(ids),
    )
    found = {row["id"]: _item(row) for row in rows}
    return [found[id] for id in dict.fromkeys(ids) if id in found]


class Page(NamedTuple):
    """Items, newest first; `place` is that of the first of them among `total`."""

    items: Sequence[Item]
    place: int
    total: int


class Where(NamedTuple):
    """Which page, as XEP-0059 says it: behind or before an item; the end of the list with `before` "". Older items than `expire` seconds are gone."""

    expire: int = 0
    after: str | None = None
    before: str | None = None
    start: int = 0


async def page(conn: Connection, node: int, most: int, where: Where) -> Page | None:
    """A page of items. None: there is no such item."""
    expire, after, before, start = where
    place: int | None = None
    if after or before:
        place = await conn.fetchval(
            f"SELECT i.n FROM pubsub_item i WHERE i.node_id = $1 AND {_FRESH} AND i.id = $3",  # noqa: S608
            node,
            expire,
            after or before,
        )
        if place is None:
            return None
    low, high = -1, 1 << 62
    if after and place is not None:
        high = place
    elif before and place is not None:
        low = place
    order = "ASC" if before is not None else "DESC"
    rows = await conn.fetch(_PAGE + f"{order} OFFSET $5 LIMIT $6", node, expire, high, low, start, most)
    items = [_item(row) for row in rows]
    if before is not None:
        items.reverse()
    counts = await conn.fetchrow(
        f"SELECT count(*) AS count, count(*) FILTER (WHERE i.n > $3) AS before FROM pubsub_item i WHERE i.node_id = $1 AND {_FRESH}",  # noqa: S608
        node,
        expire,
        items[0].n if items else 1 << 62,
    )
    return Page(items, counts["before"], counts["count"])


class Named(NamedTuple):
    """A node as lists show it, and how somebody stands to it."""

    name: str
    config: Config
    affiliation: str
    subscribed: bool


async def names(conn: Connection, owner: str, bare: str, most: int, after: str = "") -> list[Named]:
    """Nodes of an owner by name, as `bare` sees them."""
    rows = await conn.fetch(
        "SELECT n.name, n.config, n.account_id, f.affiliation, EXISTS (SELECT FROM pubsub_subscription s "
        "WHERE s.node_id = n.id AND s.bare = $2) AS subscribed FROM pubsub_node n "
        "LEFT JOIN pubsub_affiliation f ON f.node_id = n.id AND f.jid = $2 "
        "WHERE n.owner = $1 AND n.name > $3 ORDER BY n.name LIMIT $4",
        owner,
        bare,
        after,
        most,
    )
    return [
        Named(
            row["name"],
            Config.unpack(row["account_id"] is not None, bytes(row["config"])),
            row["affiliation"] or "none",
            row["subscribed"],
        )
        for row in rows
    ]


async def subscriptions(conn: Connection, owner: str, bare: str) -> list[Relation]:
    """The subscriptions of an entity at all nodes of an owner."""
    rows = await conn.fetch(
        "SELECT n.name, s.jid, s.subid, s.state FROM pubsub_subscription s JOIN pubsub_node n ON n.id = s.node_id "
        "WHERE s.bare = $2 AND n.owner = $1 ORDER BY n.name, s.jid, s.subid",
        owner,
        bare,
    )
    return [Relation(row["name"], row["jid"], row["subid"], row["state"]) for row in rows]


async def affiliations(conn: Connection, owner: str, bare: str) -> list[Relation]:
    """The affiliations of an entity at all nodes of an owner; an account owns its nodes."""
    if owner == bare:
        rows = await conn.fetch("SELECT name FROM pubsub_node WHERE owner = $1 ORDER BY name", owner)
        return [Relation(row["name"], bare, "", OWNER) for row in rows]
    rows = await conn.fetch(
        "SELECT n.name, f.affiliation FROM pubsub_affiliation f JOIN pubsub_node n ON n.id = f.node_id "
        "WHERE f.jid = $2 AND n.owner = $1 ORDER BY n.name",
        owner,
        bare,
    )
    return [Relation(row["name"], bare, "", row["affiliation"]) for row in rows]


class Counts(NamedTuple):
    """How much an owner has: nodes, those that one creator made, and octets of items."""

    nodes: int
    made: int


async def counts(conn: Connection, owner: str, creator: str) -> Counts:
    """How many nodes an owner has, and how many of them one made."""
    row = await conn.fetchrow(
        "SELECT count(*) AS nodes, count(*) FILTER (WHERE creator = $2) AS made FROM pubsub_node WHERE owner = $1",
        owner,
        creator,
    )
    return Counts(row["nodes"], row["made"])


async def used_bytes(conn: Connection, owner: str) -> int:
    """Octets of all items of an owner."""
    found: int = await conn.fetchval(
        "SELECT coalesce(sum(length(i.payload)), 0)::bigint FROM pubsub_node n JOIN pubsub_item i ON i.node_id = n.id "
        "WHERE n.owner = $1",
        owner,
    )
    return found


async def in_groups(conn: Connection, account: str, groups: Sequence[str]) -> frozenset[str]:
    """The contacts who see the presence of an account and are in one of these groups of its roster."""
    jid = Jid.trusted(account)
    rows = await conn.fetch(
        "SELECT r.contact FROM account a JOIN roster_item r ON r.account_id = a.id "
        "WHERE a.domain = $1 AND a.localpart = $2 AND r.sub_from AND r.groups && $3::text[] "
        "UNION SELECT s.contact FROM account a JOIN shared_contact s ON s.account_id = a.id "
        "WHERE a.domain = $1 AND a.localpart = $2 AND s.label = ANY ($3::text[])",
        jid.domain,
        jid.local or "",
        list(groups),
    )
    return frozenset(row["contact"] for row in rows)


async def shown(conn: Connection, account: str) -> list[str]:
    """The nodes of an account whose last item is sent to those who come online."""
    rows = await conn.fetch("SELECT name, config FROM pubsub_node WHERE owner = $1 ORDER BY name", account)
    return [
        row["name"]
        for row in rows
        if Config.unpack(True, bytes(row["config"])).text("send_last_published_item") == "on_sub_and_presence"
    ]


async def told(conn: Connection, partition: int, seconds: int) -> list[tuple[int, bytes]]:
    """What was told lately of a partition, in order."""
    rows = await conn.fetch(
        "SELECT node_id, told FROM pubsub_event WHERE partition = $1 AND told <> ''::bytea "
        "AND at > now() - make_interval(secs => $2) ORDER BY id",
        partition,
        float(seconds),
    )
    return [(row["node_id"], bytes(row["told"])) for row in rows]

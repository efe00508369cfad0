"""What a user keeps at the server, in Postgres: vCard, private XML, block list, last activity. Units of work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.bus.messages import LastSeen
from rookery.shared.db.api import Connection
from rookery.shared.db.groups import contacts, shares
from rookery.shared.xeps.avatar_conversion import DATA, METADATA, access_model, shown, with_photo
from rookery.shared.xeps.vcard4 import NODE, joined
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.parse import parse_element
from rookery.workers.account.store import fenced

_ID: Final = "SELECT id FROM account WHERE domain = $1 AND localpart = $2"


async def account_id(conn: Connection, account: str) -> int:
    """The id of an account. Raises StanzaError for one that is not there."""
    jid = Jid.trusted(account)
    found = await conn.fetchval(_ID, jid.domain, jid.local or "")
    if found is None:
        raise StanzaError("service-unavailable")
    return int(found)


# --- vCard (XEP-0054) -------------------------------------------------------------------------------------------------

_CARD: Final = f"""
SELECT v.xml, m.payload AS metadata, n.config, d.payload AS data, c.config AS card_config, p.payload AS card,
    EXISTS (SELECT FROM roster_item r WHERE r.account_id = a.id AND r.contact = $4 AND r.sub_from)
        OR {shares("a.id", "$4")} AS sees
FROM account a
LEFT JOIN vcard v ON v.account_id = a.id
LEFT JOIN pubsub_node n ON n.owner = $3 AND n.name = $5
LEFT JOIN pubsub_node c ON c.owner = $3 AND c.name = $7
LEFT JOIN LATERAL (SELECT payload FROM pubsub_item WHERE node_id = c.id ORDER BY n DESC LIMIT 1) p ON true
LEFT JOIN LATERAL (SELECT id, payload FROM pubsub_item WHERE node_id = n.id ORDER BY n DESC LIMIT 1) m ON true
LEFT JOIN LATERAL (
    SELECT i.payload FROM pubsub_node o JOIN pubsub_item i ON i.node_id = o.id AND i.id = m.id WHERE o.owner = $3 AND o.name = $6
) d ON true
WHERE a.domain = $1 AND a.localpart = $2"""  # noqa: S608  constants only
_PUT_VCARD: Final = """
, done AS (
    INSERT INTO vcard (account_id, xml) SELECT $2, $3 FROM fence_ok
    ON CONFLICT (account_id) DO UPDATE SET xml = EXCLUDED.xml
)
SELECT EXISTS (SELECT FROM fence_ok) AS alive"""


async def get_vcard(conn: Connection, account: str, asker: str) -> bytes | None:
    """The card in canonical XML: what its new form says (XEP-0292), and the picture of the avatar (XEP-0398), for those who may see them.

    `asker` is a bare JID. None when there is no card or no account.
    """
    jid = Jid.trusted(account)
    row = await conn.fetchrow(_CARD, jid.domain, jid.local or "", account, asker, METADATA, DATA, NODE)
    if row is None:
        return None

    def sees(config: bytes) -> bool:
        model = access_model(bytes(config))
        return account == asker or model == "open" or (model == "presence" and bool(row["sees"]))

    xml = None if row["xml"] is None else bytes(row["xml"])
    if row["card"] is not None and sees(row["card_config"]):
        xml = joined(None if xml is None else parse_element(xml), parse_element(bytes(row["card"]))).encode()
    if row["metadata"] is None:
        return xml
    if sees(row["config"]):
        data = None if row["data"] is None else bytes(row["data"])
        return with_photo(xml, shown(bytes(row["metadata"])), data)
    return with_photo(xml, None, None)


async def has_photo(conn: Connection, account: str) -> bool:
    """Whether the stored card has a picture."""
    jid = Jid.trusted(account)
    found = await conn.fetchval(
        "SELECT position('<PHOTO'::bytea IN v.xml) > 0 FROM vcard v JOIN account a ON a.id = v.account_id "
        "WHERE a.domain = $1 AND a.localpart = $2",
        jid.domain,
        jid.local or "",
    )
    return bool(found)


async def put_vcard(conn: Connection, incarnation: str, account: str, xml: bytes) -> None:
    """Replace the card."""
    await fenced(conn, incarnation, _PUT_VCARD, await account_id(conn, account), xml)


# --- private XML (XEP-0049) -------------------------------------------------------------------------------------------

_PUT_PRIVATE: Final = """
, done AS (
    INSERT INTO private_xml (account_id, namespace, name, xml)
    SELECT $2, n, e, x FROM unnest($3::text[], $4::text[], $5::bytea[]) AS k (n, e, x), fence_ok
    ON CONFLICT (account_id, namespace, name) DO UPDATE SET xml = EXCLUDED.xml
)
SELECT EXISTS (SELECT FROM fence_ok) AS alive"""


async def get_private(conn: Connection, account: str, namespace: str, name: str) -> bytes | None:
    """What the user stored under this element name."""
    xml = await conn.fetchval(
        "SELECT xml FROM private_xml WHERE account_id = $1 AND namespace = $2 AND name = $3",
        await account_id(conn, account),
        namespace,
        name,
    )
    return None if xml is None else bytes(xml)


async def put_private(
    conn: Connection, incarnation: str, account: str, parts: dict[tuple[str, str], bytes], limit: int
) -> None:
    """Store elements by their names. Raises StanzaError when all of the user's would have more than `limit` bytes."""
    found = await account_id(conn, account)
    namespaces, names = [uri for uri, _ in parts], [name for _, name in parts]
    others = await conn.fetchval(
        "SELECT coalesce(sum(length(xml)), 0) FROM private_xml WHERE account_id = $1 "
        "AND (namespace, name) NOT IN (SELECT * FROM unnest($2::text[], $3::text[]))",
        found,
        namespaces,
        names,
    )
    if others + sum(map(len, parts.values())) > limit:
        raise StanzaError("resource-constraint", f"private storage is limited to {limit} bytes")
    await fenced(conn, incarnation, _PUT_PRIVATE, found, namespaces, names, list(parts.values()))


# --- block list (XEP-0191) --------------------------------------------------------------------------------------------

_BLOCK: Final = """
, done AS (
    INSERT INTO blocked (account_id, jid) SELECT $2, j FROM unnest($3::text[]) AS j, fence_ok ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM fence_ok) AS alive"""
_UNBLOCK: Final = """
, done AS (DELETE FROM blocked b USING fence_ok WHERE b.account_id = $2 AND ($3::text[] IS NULL OR b.jid = ANY ($3)))
SELECT EXISTS (SELECT FROM fence_ok) AS alive"""


_BLOCKED: Final = f"""
SELECT ARRAY(SELECT jid FROM blocked WHERE account_id = $1) AS blocked,
    ARRAY(SELECT contact FROM roster_item WHERE account_id = $1 AND sub_from UNION {contacts("$1")}) AS seen_by"""  # noqa: S608


class Blocklist(NamedTuple):
    """The block list before a change, and the bare JIDs that may see the account's presence."""

    blocked: frozenset[str]
    seen_by: Sequence[str]


async def get_blocklist(conn: Connection, account: str) -> Blocklist:
    """The block list, and whom it concerns."""
    row = await conn.fetchrow(_BLOCKED, await account_id(conn, account))
    return Blocklist(frozenset(row["blocked"]), row["seen_by"])


async def block(
    conn: Connection, incarnation: str, account: str, jids: Sequence[str], limit: int
) -> Blocklist:
    """Add JIDs. Raises StanzaError when the list would be longer than `limit`."""
    before = await get_blocklist(conn, account)
    if len(before.blocked.union(jids)) > limit:
        raise StanzaError("resource-constraint", f"a block list has at most {limit} entries")
    await fenced(conn, incarnation, _BLOCK, await account_id(conn, account), list(jids))
    return before


async def unblock(conn: Connection, incarnation: str, account: str, jids: Sequence[str] | None) -> Blocklist:
    """Remove JIDs, or all with None."""
    before = await get_blocklist(conn, account)
    await fenced(
        conn, incarnation, _UNBLOCK, await account_id(conn, account), None if jids is None else list(jids)
    )
    return before


# --- last activity (XEP-0012) -----------------------------------------------------------------------------------------

_SEEN: Final = """
, done AS (
    UPDATE account a SET last_seen = to_timestamp(r.at / 1000), last_status = r.status
    FROM unnest($2::text[], $3::text[], $4::float8[], $5::text[]) AS r (localpart, domain, at, status), fence_ok
    WHERE a.localpart = r.localpart AND a.domain = r.domain
        AND (a.last_seen IS NULL OR a.last_seen < to_timestamp(r.at / 1000))
)
SELECT EXISTS (SELECT FROM fence_ok) AS alive"""


async def set_last(conn: Connection, incarnation: str, left: Sequence[LastSeen]) -> None:
    """Remember when the last available resources of accounts went away, and what they said; each account once."""
    jids = [Jid.trusted(item.account) for item in left]
    await fenced(
        conn,
        incarnation,
        _SEEN,
        [jid.local or "" for jid in jids],
        [jid.domain for jid in jids],
        [float(item.at) for item in left],
        [item.status for item in left],
    )


async def get_last(conn: Connection, account: str) -> tuple[int, str] | None:
    """(whole seconds since the last resource went away, its status) by the database's clock; None when never."""
    row = await conn.fetchrow(
        "SELECT extract(epoch FROM clock_timestamp() - last_seen)::bigint AS seconds, last_status FROM account "
        "WHERE id = $1 AND last_seen IS NOT NULL",
        await account_id(conn, account),
    )
    return None if row is None else (row["seconds"], row["last_status"])

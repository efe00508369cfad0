"""Accounts, credentials and domains in Postgres: units of work on one connection, for the worker and the command line.

`incarnation` fences a write of a worker (`shared.db.api.FENCE`); "" is the command line, which holds nothing. A fenced
function raises Fenced once the fence is closed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from rookery.shared.bus.kinds import ACCOUNTS, SERVICES
from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.db.groups import contacts
from rookery.shared.store.owners import CHUNK, EMPTY
from rookery.shared.xmpp.jid import MAX_PART
from rookery.workers.account.credentials import Keys
from rookery.workers.account.logins.settings import mechanisms

_NO_FENCE: Final = "WITH fence_ok AS MATERIALIZED (SELECT 1 WHERE $1::text = '')"


async def fenced(conn: Connection, incarnation: str, sql: str, *args: object) -> Any:
    """Run `sql`, which goes on after FENCE and selects one row with the column `alive`. Raises Fenced."""
    row = await conn.fetchrow((FENCE if incarnation else _NO_FENCE) + sql, incarnation, *args)
    if not row["alive"]:
        raise Fenced(incarnation)
    return row


def _columns(keys: Sequence[Keys]) -> list[list[object]]:
    return [list(column) for column in zip(*keys, strict=True)] if keys else [[], [], [], [], []]


class Account(NamedTuple):
    """A row of the account table, without its secrets."""

    id: int
    localpart: str
    domain: str
    email: str
    disabled: bool
    created: Any
    last_seen: Any


class Domain(NamedTuple):
    """A hosted domain; `contacts` maps the fields of XEP-0157 to URIs, `logins` as in `DomainRow`."""

    name: str
    registration: bool
    contacts: Mapping[str, Sequence[str]]
    kind: str = ACCOUNTS
    logins: Sequence[str] = ()
    puzzles: bool = False


# --- domains ----------------------------------------------------------------------------------------------------------


async def domains(conn: Connection) -> list[Domain]:
    """All hosted domains by name."""
    out = []
    for row in await conn.fetch("SELECT name, registration, policy, kind FROM domain ORDER BY name"):
        policy = json.loads(row["policy"]) if isinstance(row["policy"], str) else row["policy"]
        out.append(
            Domain(
                row["name"],
                row["registration"],
                policy.get("contacts", {}),
                row["kind"],
                mechanisms(policy),
                bool(policy.get("captcha")),
            )
        )
    return out


async def put_domain(
    conn: Connection,
    name: str,
    *,
    registration: bool | None = None,
    contacts: Mapping[str, Sequence[str]] | None = None,
    kind: str | None = None,
) -> bool:
    """Add a domain (prepared name) or change it; None leaves a setting as it is. Returns whether it is new."""
    row = await conn.fetchrow(
        "INSERT INTO domain AS d (name, registration, policy, kind) "
        "VALUES ($1, coalesce($2, false), jsonb_build_object('contacts', coalesce($3::jsonb, '{}')), coalesce($4, 'accounts')) "
        "ON CONFLICT (name) DO UPDATE SET registration = coalesce($2, d.registration), kind = coalesce($4, d.kind), "
        "policy = CASE WHEN $3::jsonb IS NULL THEN d.policy ELSE d.policy || EXCLUDED.policy END "
        "RETURNING xmax = 0 AS fresh",
        name,
        registration,
        None if contacts is None else json.dumps({key: list(uris) for key, uris in contacts.items()}),
        kind,
    )
    return bool(row["fresh"])


async def host_service(conn: Connection, name: str, kind: str) -> str:
    """Give a domain of accounts its service of a kind (`kinds.SERVICES`); returns the name of that if it is new, else ""."""
    service = SERVICES[kind] + name
    if len(service) > MAX_PART:
        return ""
    return service if await put_domain(conn, service, kind=kind) else ""


async def list_with(conn: Connection, name: str, parent: str) -> None:
    """Let the domain `parent` list the service `name` (XEP-0030)."""
    await conn.execute(
        "UPDATE domain SET policy = policy || jsonb_build_object('for', $2::text) WHERE name = $1",
        name,
        parent,
    )


# --- accounts ---------------------------------------------------------------------------------------------------------

_CREATE: Final = """
, made AS (
    INSERT INTO account (localpart, domain, email)
    SELECT $2, name, $4 FROM domain, fence_ok WHERE name = $3 AND kind = 'accounts'
    ON CONFLICT (domain, localpart) DO NOTHING RETURNING id
), keys AS (
    INSERT INTO credential (account_id, mechanism, iterations, salt, stored_key, server_key)
    SELECT made.id, m, i, s, sk, vk FROM made, unnest($5::text[], $6::int[], $7::bytea[], $8::bytea[], $9::bytea[]) AS k (m, i, s, sk, vk)
)
SELECT EXISTS (SELECT FROM fence_ok) AS alive, (SELECT id FROM made) AS id, EXISTS (SELECT FROM domain WHERE name = $3 AND kind = 'accounts') AS hosted"""


class UnknownDomainError(Exception):
    """The domain is not hosted here, or has no accounts."""


async def create_account(
    conn: Connection,
    localpart: str,
    domain: str,
    keys: Sequence[Keys],
    email: str = "",
    incarnation: str = "",
) -> int | None:
    """Add an account (prepared names). Returns its id, None when it exists. Raises UnknownDomainError, Fenced."""
    row = await fenced(conn, incarnation, _CREATE, localpart, domain, email, *_columns(keys))
    if not row["hosted"]:
        raise UnknownDomainError(domain)
    return None if row["id"] is None else int(row["id"])


async def create_accounts(
    conn: Connection, domain: str, accounts: Sequence[tuple[str, str, Sequence[Keys]]]
) -> set[str]:
    """Add many accounts (localpart, email, keys) with one statement; returns the localparts that are new.

    A localpart that exists keeps its password. Raises UnknownDomainError.
    """
    if await conn.fetchval("SELECT 1 FROM domain WHERE name = $1 AND kind = 'accounts'", domain) is None:
        raise UnknownDomainError(domain)
    flat = [(localpart, key) for localpart, _, keys in accounts for key in keys]
    rows = await conn.fetch(
        "WITH made AS (INSERT INTO account (localpart, domain, email) "
        "SELECT l, $1, e FROM unnest($2::text[], $3::text[]) AS n (l, e) "
        "ON CONFLICT (domain, localpart) DO NOTHING RETURNING id, localpart), "
        "keys AS (INSERT INTO credential (account_id, mechanism, iterations, salt, stored_key, server_key) "
        "SELECT made.id, k.m, k.i, k.s, k.sk, k.vk FROM made JOIN "
        "unnest($4::text[], $5::text[], $6::int[], $7::bytea[], $8::bytea[], $9::bytea[]) "
        "AS k (l, m, i, s, sk, vk) ON k.l = made.localpart) "
        "SELECT localpart FROM made",
        domain,
        [localpart for localpart, _, _ in accounts],
        [email for _, email, _ in accounts],
        [localpart for localpart, _ in flat],
        *_columns([key for _, key in flat]),
    )
    return {row["localpart"] for row in rows}


_REPLACE_KEYS: Final = """
, found AS (SELECT id FROM account, fence_ok WHERE localpart = $2 AND domain = $3),
clients AS (DELETE FROM user_agent u USING found WHERE u.account_id = found.id),
old AS (DELETE FROM credential c USING found WHERE c.account_id = found.id AND NOT c.mechanism = ANY ($4)),
keys AS (
    INSERT INTO credential (account_id, mechanism, iterations, salt, stored_key, server_key)
    SELECT found.id, m, i, s, sk, vk FROM found, unnest($4::text[], $5::int[], $6::bytea[], $7::bytea[], $8::bytea[]) AS k (m, i, s, sk, vk)
    ON CONFLICT (account_id, mechanism) DO UPDATE SET iterations = EXCLUDED.iterations, salt = EXCLUDED.salt,
        stored_key = EXCLUDED.stored_key, server_key = EXCLUDED.server_key
)
SELECT EXISTS (SELECT FROM fence_ok) AS alive, (SELECT id FROM found) AS id"""


async def set_password(
    conn: Connection, localpart: str, domain: str, keys: Sequence[Keys], incarnation: str = ""
) -> bool:
    """Replace all keys of an account, and end the tokens of its clients; False when there is none. Raises Fenced."""
    row = await fenced(conn, incarnation, _REPLACE_KEYS, localpart, domain, *_columns(keys))
    return row["id"] is not None


async def login_keys(
    conn: Connection, localpart: str, domain: str, mechanism: str
) -> tuple[Keys, Sequence[str]] | None:
    """The keys of one mechanism, and all mechanisms that the account has keys for; None for an unknown or disabled user, or one without such
    keys.
    """
    row = await conn.fetchrow(
        "SELECT c.mechanism, c.iterations, c.salt, c.stored_key, c.server_key, "
        "ARRAY(SELECT o.mechanism FROM credential o WHERE o.account_id = a.id) AS had FROM credential c "
        "JOIN account a ON a.id = c.account_id "
        "WHERE a.domain = $1 AND a.localpart = $2 AND c.mechanism = $3 AND NOT a.disabled",
        domain,
        localpart,
        mechanism,
    )
    if row is None:
        return None
    *keys, had = row.values()
    return Keys(*keys), had


async def get_credentials(conn: Connection, localpart: str, domain: str, mechanism: str) -> Keys | None:
    """The keys of one mechanism; None for an unknown or disabled user, or one without such keys."""
    found = await login_keys(conn, localpart, domain, mechanism)
    return None if found is None else found[0]


_ADD_KEYS: Final = """
, found AS (
    SELECT a.id FROM fence_ok, account a JOIN credential c ON c.account_id = a.id
    WHERE a.localpart = $2 AND a.domain = $3 AND NOT a.disabled AND c.salt = $4 LIMIT 1
), added AS (
    INSERT INTO credential (account_id, mechanism, iterations, salt, stored_key, server_key)
    SELECT found.id, $5, $6, $7, $8, $9 FROM found ON CONFLICT DO NOTHING RETURNING 1
)
SELECT EXISTS (SELECT FROM fence_ok) AS alive, EXISTS (SELECT FROM found) AS known, EXISTS (SELECT FROM added) AS added"""


async def add_keys(
    conn: Connection, localpart: str, domain: str, proved: bytes, keys: Keys, incarnation: str = ""
) -> bool | None:
    """Add keys of a mechanism that an account has none for; None unless it has keys with the salt `proved`, False when they are there.

    Raises Fenced.
    """
    row = await fenced(conn, incarnation, _ADD_KEYS, localpart, domain, proved, *keys)
    return row["added"] if row["known"] else None


_COUNTS: Final = """
WITH size AS (SELECT greatest(reltuples, 1) AS keys FROM pg_class WHERE oid = 'credential'::regclass)
SELECT mechanism, iterations, count(*) AS keys
FROM credential TABLESAMPLE SYSTEM ((SELECT least(100, 100 * $1 / keys) FROM size))
GROUP BY mechanism, iterations"""
#: About so many keys are looked at.
_SAMPLE: Final = 20_000.0


async def iteration_counts(conn: Connection) -> dict[str, dict[int, int]]:
    """How many keys of a mechanism have how many iterations, in a sample of the table."""
    counts: dict[str, dict[int, int]] = {}
    for row in await conn.fetch(_COUNTS, _SAMPLE):
        counts.setdefault(row["mechanism"], {})[row["iterations"]] = row["keys"]
    return counts


async def get_account(conn: Connection, localpart: str, domain: str) -> Account | None:
    """One account, or None."""
    row = await conn.fetchrow(f"{_SELECT} WHERE domain = $1 AND localpart = $2", domain, localpart)
    return None if row is None else Account(*row.values())


_SELECT: Final = "SELECT id, localpart, domain, email, disabled, created, last_seen FROM account"


async def list_accounts(conn: Connection, domain: str, after: str = "", limit: int = 1000) -> list[Account]:
    """Accounts of a domain by localpart, a page at a time: those after `after`."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE domain = $1 AND localpart > $2 ORDER BY localpart LIMIT $3", domain, after, limit
    )
    return [Account(*row.values()) for row in rows]


_DISABLE: Final = """
WITH found AS (UPDATE account SET disabled = $3 WHERE domain = $1 AND localpart = $2 RETURNING id),
clients AS (DELETE FROM user_agent u USING found WHERE u.account_id = found.id AND $3)
SELECT EXISTS (SELECT FROM found)"""


async def set_disabled(conn: Connection, localpart: str, domain: str, disabled: bool) -> bool:
    """Keep an account from logging in, and end the tokens of its clients, or let it; False when there is none."""
    return bool(await conn.fetchval(_DISABLE, domain, localpart, disabled))


# --- removal ----------------------------------------------------------------------------------------------------------

_CLOSE: Final = """
, found AS (
    UPDATE account SET disabled = true FROM fence_ok WHERE localpart = $2 AND domain = $3 RETURNING id
)
SELECT EXISTS (SELECT FROM fence_ok) AS alive, (SELECT id FROM found) AS id"""
_EMPTY: Final = EMPTY + "SELECT EXISTS (SELECT FROM fence_ok) AS alive, rows AS deleted FROM emptied"  # noqa: S608
# Accounts are locked before roster rows, and in order, as the roster worker's writes do: no deadlock.
_DELETE: Final = f"""
, others AS (
    SELECT a.id, a.localpart || '@' || a.domain AS jid FROM account a, fence_ok
    WHERE a.id IN (SELECT account_id FROM roster_item WHERE contact = $3) AND a.id <> $2
    ORDER BY a.id FOR UPDATE OF a
), bumped AS (
    UPDATE account a SET roster_ver = a.roster_ver + 1 FROM others WHERE a.id = others.id
    RETURNING a.id, a.roster_ver
), cleared AS (
    UPDATE roster_item r SET sub_to = false, sub_from = false, pending_out = false, pending_in = NULL,
        approved = false, last_uid = NULL, last_state = NULL,
        ver = CASE WHEN r.listed THEN bumped.roster_ver ELSE r.ver END
    FROM bumped WHERE r.account_id = bumped.id AND r.contact = $3
), gone AS (
    DELETE FROM account a USING fence_ok WHERE a.id = $2 RETURNING a.id
), unlisted AS (
    DELETE FROM room_affiliation WHERE jid = $3 AND EXISTS (SELECT FROM fence_ok)
), unaffiliated AS (
    DELETE FROM pubsub_affiliation WHERE jid = $3 AND EXISTS (SELECT FROM fence_ok)
), unsubscribed AS (
    DELETE FROM pubsub_subscription WHERE bare = $3 AND EXISTS (SELECT FROM fence_ok)
), uninvited AS (
    DELETE FROM invitation WHERE localpart || '@' || domain = $3 AND uses = 0 AND EXISTS (SELECT FROM fence_ok)
), disowned AS (
    UPDATE invitation SET inviter = '' WHERE inviter = $3 AND (localpart || '@' || domain = $3 AND uses = 0) IS NOT TRUE
        AND EXISTS (SELECT FROM fence_ok)
), noted AS (
    INSERT INTO erased (account_id) SELECT id FROM gone
)
SELECT EXISTS (SELECT FROM fence_ok) AS alive, ARRAY(SELECT jid FROM others UNION {contacts("$2")}) AS contacts, EXISTS (SELECT FROM gone) AS deleted"""  # noqa: S608  constants only


async def empty(conn: Connection, account_id: int, incarnation: str = "") -> None:
    """Delete the messages of an account. Raises Fenced."""
    while (await fenced(conn, incarnation, _EMPTY, account_id, CHUNK))["deleted"] == CHUNK:
        pass


async def delete_account(
    conn: Connection, localpart: str, domain: str, incarnation: str = ""
) -> list[str] | None:
    """Remove an account with every trace: its own rows, what it is in the rosters of other accounts, in rooms and at nodes.

    Returns the accounts that had it in their rosters (they get ContactRemoved), None when there is no such account. It
    is closed to logins first and emptied in pieces, so that a removal that was interrupted is only to be repeated. What a router
    still stores for it is deleted by the sweep (`shared.store.reader.erase`). Raises Fenced.
    """
    row = await fenced(conn, incarnation, _CLOSE, localpart, domain)
    account_id = row["id"]
    if account_id is None:
        return None
    await empty(conn, account_id, incarnation)
    row = await fenced(conn, incarnation, _DELETE, account_id, f"{localpart}@{domain}")
    return list(row["contacts"]) if row["deleted"] else None

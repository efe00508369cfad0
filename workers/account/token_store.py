"""Clients and their login tokens in Postgres (XEP-0484): units of work on one connection. `incarnation` as in `workers.account.store`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.workers.account.store import fenced
from rookery.workers.account.tokens import Kept

#: A token of another password than the account has now is none.
_READ: Final = """
SELECT t.serial, t.mechanism, t.verifier, t.salt, t.used, t.count, t.expires > now() AS live,
    t.created < now() - make_interval(secs => $4) AS due
FROM account a JOIN login_token t ON t.account_id = a.id
WHERE a.domain = $1 AND a.localpart = $2 AND NOT a.disabled AND t.agent = $3
    AND (t.salt = ''::bytea OR EXISTS (SELECT FROM credential c WHERE c.account_id = a.id AND c.salt = t.salt))
ORDER BY t.serial DESC"""


async def read(
    conn: Connection, localpart: str, domain: str, agent: str, rotate_seconds: float
) -> list[Kept]:
    """The tokens of one client, newest first; one is due for rotation when it is so old."""
    rows = await conn.fetch(_READ, domain, localpart, agent, rotate_seconds)
    return [Kept(*row.values()) for row in rows]


_HOLDS: Final = """
SELECT EXISTS (SELECT FROM account a JOIN login_token t ON t.account_id = a.id
    WHERE a.domain = $1 AND a.localpart = $2 AND t.agent = $3 AND t.expires > now())"""


async def holds(conn: Connection, localpart: str, domain: str, agent: str) -> bool:
    """Whether a client has a token of the account."""
    return bool(await conn.fetchval(_HOLDS, domain, localpart, agent))


class Next(NamedTuple):
    """A token to be stored."""

    mechanism: str
    verifier: bytes
    salt: bytes
    #: How long it is good; one without a salt no longer than the one before it.
    seconds: float


class Used(NamedTuple):
    """A token was used: what it was, and what is to become of it."""

    serial: int
    counter: int
    invalidate: bool
    #: The highest serial of the client's tokens.
    newest: int
    software: str
    device: str


# The row of the client is locked first: whoever revokes it at the same time leaves nothing behind, or finds nothing.
_USE: Final = """
, mine AS (
    UPDATE user_agent u SET last_seen = now(),
        software = CASE WHEN $8 = '' THEN u.software ELSE $8 END, device = CASE WHEN $9 = '' THEN u.device ELSE $9 END
    FROM account a, fence_ok WHERE a.domain = $2 AND a.localpart = $3 AND u.account_id = a.id AND u.agent = $4
    RETURNING u.account_id, u.agent
), gone AS (
    DELETE FROM login_token t USING mine WHERE t.account_id = mine.account_id AND t.agent = mine.agent
        AND (t.serial < $5 OR $7 OR ($12::bytea IS NOT NULL AND t.serial > $5 AND t.serial <= $10))
), marked AS (
    UPDATE login_token t SET used = true, count = greatest(t.count, $6) FROM mine
    WHERE t.account_id = mine.account_id AND t.agent = mine.agent AND t.serial = $5 AND NOT $7
), until AS (
    SELECT CASE WHEN $13 = ''::bytea THEN least(t.expires, now() + make_interval(secs => $14)) ELSE now() + make_interval(secs => $14) END AS at
    FROM login_token t JOIN mine USING (account_id, agent) WHERE t.serial = $5
), made AS (
    INSERT INTO login_token (account_id, agent, serial, mechanism, verifier, salt, expires)
    SELECT account_id, agent, $10 + 1, $11, $12, $13, until.at FROM mine, until WHERE $12::bytea IS NOT NULL
    ON CONFLICT (account_id, agent, serial) DO UPDATE SET mechanism = EXCLUDED.mechanism, verifier = EXCLUDED.verifier
)
SELECT EXISTS (SELECT FROM fence_ok) AS alive, EXISTS (SELECT FROM until) AS known,
    extract(epoch FROM (SELECT at FROM until))::float8 AS expires"""


async def use(
    conn: Connection,
    localpart: str,
    domain: str,
    agent: str,
    used: Used,
    following: Next | None,
    incarnation: str = "",
) -> int | None:
    """Note that a token was used, and store the `following` one; tokens before it end.

    With `invalidate` all tokens of the client end. Returns when the following one expires (Unix seconds), None when the client
    was revoked meanwhile. Raises Fenced.
    """
    new = following or Next("", b"", b"", 0.0)
    row = await fenced(
        conn,
        incarnation,
        _USE,
        domain,
        localpart,
        agent,
        used.serial,
        used.counter,
        used.invalidate,
        used.software,
        used.device,
        used.newest,
        new.mechanism,
        new.verifier if following else None,
        new.salt,
        new.seconds,
    )
    return int(row["expires"]) if row["known"] else None


_ISSUE: Final = """
, found AS (
    SELECT a.id FROM account a, fence_ok WHERE a.domain = $2 AND a.localpart = $3 AND NOT a.disabled
        AND ($10 = ''::bytea OR EXISTS (SELECT FROM credential c WHERE c.account_id = a.id AND c.salt = $10))
), crowd AS (
    DELETE FROM user_agent u USING found WHERE u.account_id = found.id AND u.agent IN (
        SELECT o.agent FROM user_agent o WHERE o.account_id = found.id AND o.agent <> $4 ORDER BY o.last_seen DESC OFFSET $7 - 1)
), mine AS (
    INSERT INTO user_agent AS u (account_id, agent, software, device) SELECT id, $4, $5, $6 FROM found
    ON CONFLICT (account_id, agent) DO UPDATE SET last_seen = now(), software = EXCLUDED.software, device = EXCLUDED.device
    RETURNING u.account_id, u.agent
), unused AS (
    DELETE FROM login_token t USING mine WHERE t.account_id = mine.account_id AND t.agent = mine.agent AND NOT t.used
), made AS (
    INSERT INTO login_token (account_id, agent, serial, mechanism, verifier, salt, expires)
    SELECT mine.account_id, mine.agent, 1 + coalesce((SELECT max(t.serial) FROM login_token t WHERE t.account_id = mine.account_id
        AND t.agent = mine.agent), 0), $8, $9, $10, now() + make_interval(secs => $11) FROM mine
)
SELECT EXISTS (SELECT FROM fence_ok) AS alive, EXISTS (SELECT FROM mine) AS known,
    extract(epoch FROM now() + make_interval(secs => $11))::float8 AS expires"""


async def issue(
    conn: Connection,
    localpart: str,
    domain: str,
    agent: tuple[str, str, str],
    new: Next,
    most: int,
    incarnation: str = "",
) -> int | None:
    """Store a token for a client (id, program, device); tokens of it that were never used end, and clients beyond `most`.

    Returns when it expires (Unix seconds), None when the account cannot log in that way (any more). Raises Fenced.
    """
    id, software, device = agent
    row = await fenced(
        conn,
        incarnation,
        _ISSUE,
        domain,
        localpart,
        id,
        software,
        device,
        most,
        new.mechanism,
        new.verifier,
        new.salt,
        new.seconds,
    )
    return int(row["expires"]) if row["known"] else None


# --- clients, as their user and operators see them --------------------------------------------------------------------


class Client(NamedTuple):
    """A client that holds a token; `by_password`: it got it for the account's password."""

    agent: str
    software: str
    device: str
    created: datetime
    last_seen: datetime
    expires: datetime
    by_password: bool


_LIST: Final = """
SELECT u.agent, u.software, u.device, u.created, u.last_seen, max(t.expires) AS expires,
    bool_or(t.salt <> ''::bytea) AS by_password
FROM account a JOIN user_agent u ON u.account_id = a.id JOIN login_token t ON t.account_id = u.account_id AND t.agent = u.agent
WHERE a.domain = $1 AND a.localpart = $2 AND t.expires > now()
    AND (t.salt = ''::bytea OR EXISTS (SELECT FROM credential c WHERE c.account_id = a.id AND c.salt = t.salt))
GROUP BY u.account_id, u.agent ORDER BY u.last_seen DESC, u.agent"""


async def clients(conn: Connection, localpart: str, domain: str) -> list[Client]:
    """The clients of an account that may come back with a token, those that came last first."""
    return [Client(*row.values()) for row in await conn.fetch(_LIST, domain, localpart)]


_REVOKE: Final = """
, gone AS (
    DELETE FROM user_agent u USING account a, fence_ok
    WHERE a.domain = $2 AND a.localpart = $3 AND u.account_id = a.id AND ($4::text[] IS NULL OR u.agent = ANY ($4)) RETURNING u.agent
)
SELECT EXISTS (SELECT FROM fence_ok) AS alive, ARRAY(SELECT agent FROM gone) AS agents"""


async def revoke(
    conn: Connection, localpart: str, domain: str, agents: Sequence[str] | None, incarnation: str = ""
) -> list[str]:
    """End all tokens of these clients (None: of all); returns those that there were. Raises Fenced."""
    row = await fenced(
        conn, incarnation, _REVOKE, domain, localpart, None if agents is None else list(agents)
    )
    return list(row["agents"])


_EXPIRE: Final = """
WITH gone AS (
    DELETE FROM login_token WHERE (account_id, agent, serial) IN
        (SELECT account_id, agent, serial FROM login_token WHERE expires < now() LIMIT $1) RETURNING account_id, agent
)
DELETE FROM user_agent u USING (SELECT DISTINCT account_id, agent FROM gone) AS g WHERE u.account_id = g.account_id AND u.agent = g.agent
    AND NOT EXISTS (SELECT FROM login_token t WHERE t.account_id = u.account_id AND t.agent = u.agent AND t.expires > now())"""


async def expire(conn: Connection, most: int) -> None:
    """Delete at most so many tokens that have expired, and the clients that have no others."""
    await conn.execute(_EXPIRE, most)

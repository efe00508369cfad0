"""The statements that write the message store, as it is (ADR 0015) and as it was before the migration `archive_switch`.

Each begins with FENCE. `open` tells whether the fence was, `here` whether rows go where the statement wants to put them: else
nothing was written.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from rookery.shared.db.api import FENCE
from rookery.shared.store.owners import KNOWN

_SIGN: Final = 1 << 63


def peer_mark(peer: str) -> int:
    """What the archive's index has of a peer, as a signed number of 32 bits."""
    return crc32(peer.encode()) - 0x80000000


def uid_mark(digest: bytes, outgoing: bool) -> int:
    """What the table `taken` has of a digest and a direction, as a signed number of 64 bits."""
    return (int.from_bytes(digest[:8], "big") & -2 | outgoing) - _SIGN


# --- as it is ---------------------------------------------------------------------------------------------------------

#: Days and slots of 6 hours since 1970 by the database's clock; `both` while repetitions may still be in the table `message`.
_CLOCK: Final = """clock AS MATERIALIZED (
    SELECT (now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01' AS day,
           floor(extract(epoch FROM now()) / 21600)::integer AS slot,
           i.archive_from > now() - interval '1 day' AS both
    FROM installation i, fence_ok WHERE i.archive_from IS NOT NULL
)"""
_ROWS: Final = """r AS MATERIALIZED (
    SELECT * FROM unnest(
        $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bytea[], $7::text[], $8::boolean[],
        $9::boolean[], $10::boolean[], $11::float8[], $12::bytea[], $13::bigint[], $14::integer[]
    ) AS r (owner_id, id, stream, n, digest, peer, outgoing, archived, owed, stamp, stanza, uid, mark)
)"""
#: Looked up row by row, whatever the planner thinks of the size of the tables.
_TAKEN: Final = """LATERAL (
        (SELECT 1 FROM taken t WHERE t.stream = r.stream AND t.n = r.n AND t.owner_id = r.owner_id AND t.mark = r.uid
         AND t.slot < clock.slot LIMIT 1)
        UNION ALL
        (SELECT 1 FROM message m WHERE clock.both AND m.account_id = r.owner_id AND m.stream = r.stream AND m.n = r.n
         AND m.digest = r.digest AND m.outgoing = r.outgoing LIMIT 1)
    )"""
#: Beginnings, of which the other end closes the bracket.
_TO_TAKEN: Final = """(INSERT INTO taken (owner_id, n, mark, id, slot, stream)
    SELECT r.owner_id, r.n, r.uid, r.id, clock.slot, r.stream FROM clock CROSS JOIN"""
_TO_ARCHIVE: Final = """(INSERT INTO archive (owner_id, id, stamp, day, mark, outgoing, peer, stanza)
    SELECT r.owner_id, r.id, to_timestamp(r.stamp), clock.day, r.mark, r.outgoing, r.peer, r.stanza FROM clock CROSS JOIN"""
_TO_OWED: Final = """(INSERT INTO owed (owner_id, id, stamp, archived, peer, stanza)
    SELECT r.owner_id, r.id, to_timestamp(r.stamp), r.archived, r.peer, r.stanza FROM clock CROSS JOIN"""
#: For rows that nobody has tried to store before: a repetition within a slot is an error, an older one is `again`, and then nothing is written.
INSERT_NEW: Final = f"""{FENCE},
{_CLOCK},
{_ROWS},
seen AS MATERIALIZED (SELECT 1 FROM clock CROSS JOIN r CROSS JOIN {_TAKEN} AS old LIMIT 1),
noted AS {_TO_TAKEN} r WHERE NOT EXISTS (SELECT FROM seen)),
kept AS {_TO_ARCHIVE} r WHERE r.archived AND NOT EXISTS (SELECT FROM seen)),
debts AS {_TO_OWED} r WHERE r.owed AND NOT EXISTS (SELECT FROM seen))
SELECT EXISTS (SELECT FROM fence_ok) AS open, EXISTS (SELECT FROM clock) AS here, EXISTS (SELECT FROM seen) AS again,
       cardinality($2) AS stored, NULL AS ids, NULL AS owners"""  # noqa: S608  constants only
_INSERT: Final = f"""{FENCE},
{_CLOCK},
{_ROWS},
fresh AS MATERIALIZED (
    SELECT r.* FROM clock CROSS JOIN r LEFT JOIN {_TAKEN} AS old (found) ON true WHERE old.found IS NULL {{missing}}
),
new AS {_TO_TAKEN} fresh r ON CONFLICT DO NOTHING RETURNING owner_id, id),
kept AS {_TO_ARCHIVE} fresh r JOIN new USING (owner_id, id) WHERE r.archived),
debts AS {_TO_OWED} fresh r JOIN new USING (owner_id, id) WHERE r.owed)
SELECT EXISTS (SELECT FROM fence_ok) AS open, EXISTS (SELECT FROM clock) AS here, false AS again, count(*) AS stored,
       CASE WHEN count(*) < cardinality($2) THEN array_agg(id) END AS ids,
       CASE WHEN count(*) < cardinality($2) THEN array_agg(owner_id) END AS owners
FROM new"""  # noqa: S608  constants only
#: For a batch with a row that is there already: it is passed over.
INSERT_ALL: Final = _INSERT.format(missing="")
#: For rows that a former holder may have stored, in a form that is not known exactly.
INSERT_MISSING: Final = _INSERT.format(
    missing=f"""AND {KNOWN.format("r.owner_id")}
    AND NOT EXISTS (SELECT FROM archive a WHERE a.owner_id = r.owner_id AND a.id = r.id OFFSET 0)
    AND NOT EXISTS (SELECT FROM owed o WHERE o.owner_id = r.owner_id AND o.id = r.id OFFSET 0)
    AND NOT EXISTS (SELECT FROM message m WHERE m.account_id = r.owner_id AND m.id = r.id OFFSET 0)"""  # noqa: S608
)

# --- as it was before the migration `archive_switch` ----------------------------------------------------------------------------------

_COLUMNS: Final = "account_id, id, stream, n, digest, peer, outgoing, archived, owed, stamp, stanza"
_HERE: Final = "here AS MATERIALIZED (SELECT 1 FROM installation, fence_ok WHERE archive_from IS NULL)"
_TO_MESSAGE: Final = f"""(INSERT INTO message ({_COLUMNS})
    SELECT r.account_id, r.id, r.stream, r.n, r.digest, r.peer, r.outgoing, r.archived, r.owed, to_timestamp(r.stamp), r.stanza
    FROM here CROSS JOIN unnest(
        $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bytea[], $7::text[],
        $8::boolean[], $9::boolean[], $10::boolean[], $11::float8[], $12::bytea[]
    ) AS r ({_COLUMNS})"""  # noqa: S608  constants only
BEFORE_NEW: Final = f"""{FENCE},
{_HERE},
new AS {_TO_MESSAGE})
SELECT EXISTS (SELECT FROM fence_ok) AS open, EXISTS (SELECT FROM here) AS here, false AS again,
       cardinality($2) AS stored, NULL AS ids, NULL AS owners"""  # noqa: S608  constants only
_BEFORE: Final = f"""{FENCE},
{_HERE},
new AS {_TO_MESSAGE} {{where}} ON CONFLICT {{target}} DO NOTHING RETURNING account_id, id)
SELECT EXISTS (SELECT FROM fence_ok) AS open, EXISTS (SELECT FROM here) AS here, false AS again, count(*) AS stored,
       CASE WHEN count(*) < cardinality($2) THEN array_agg(id) END AS ids,
       CASE WHEN count(*) < cardinality($2) THEN array_agg(account_id) END AS owners
FROM new"""  # noqa: S608  constants only
BEFORE_ALL: Final = _BEFORE.format(where="", target="(account_id, stream, n, digest, outgoing)")
BEFORE_MISSING: Final = _BEFORE.format(where=f"WHERE {KNOWN.format('r.account_id')}", target="")

# --- both -------------------------------------------------------------------------------------------------------------

SETTLE: Final = f"""{FENCE},
acked AS MATERIALIZED (SELECT * FROM unnest($2::bigint[], $3::bigint[]) AS r (owner_id, id), fence_ok),
paid AS (
    DELETE FROM owed o USING acked a WHERE o.owner_id = a.owner_id AND o.id = a.id
),
gone AS (
    DELETE FROM message m USING acked a WHERE m.account_id = a.owner_id AND m.id = a.id AND NOT m.archived
),
kept AS (
    UPDATE message m SET owed = false FROM acked a
    WHERE m.account_id = a.owner_id AND m.id = a.id AND m.archived AND m.owed
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608  constants only

#: Archived rows that are owed again; goes on behind `r`, which has their owners and ids.
_OWED: Final = """
owed_now AS (
    INSERT INTO owed (owner_id, id, stamp, archived, peer, stanza)
    SELECT a.owner_id, a.id, a.stamp, true, a.peer, a.stanza
    FROM r CROSS JOIN LATERAL (SELECT * FROM archive a WHERE a.owner_id = r.owner_id AND a.id = r.id LIMIT 1) AS a
    ON CONFLICT DO NOTHING
),
owed_before AS (
    UPDATE message m SET owed = true FROM r WHERE m.account_id = r.owner_id AND m.id = r.id AND NOT m.owed
)
SELECT EXISTS (SELECT FROM fence_ok)"""
OWE: Final = f"""{FENCE},
r AS MATERIALIZED (SELECT * FROM unnest($2::bigint[], $3::bigint[]) AS r (owner_id, id), fence_ok),{_OWED}"""  # noqa: S608
#: The same by the uids of incoming messages.
OWE_AGAIN: Final = f"""{FENCE},
want AS MATERIALIZED (SELECT * FROM unnest($2::bigint[], $3::bytea[], $4::bigint[]) AS want (owner_id, stream, n), fence_ok),
r AS MATERIALIZED (
    SELECT want.owner_id, t.id FROM want CROSS JOIN LATERAL (
        SELECT t.id FROM taken t
        WHERE t.stream = want.stream AND t.n = want.n AND t.owner_id = want.owner_id AND t.mark & 1 = 0 OFFSET 0
    ) AS t
    UNION
    SELECT m.account_id, m.id FROM want JOIN message m
        ON m.account_id = want.owner_id AND m.stream = want.stream AND m.n = want.n AND NOT m.outgoing
),{_OWED}"""  # noqa: S608  constants only

"""Reports of spam and abuse (XEP-0377): rows that come with a block, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from rookery.shared.bus.messages import Origin
from rookery.shared.db.api import Connection
from rookery.shared.xeps.spam_reporting import Options, Report

_TODAY: Final = "SELECT count(*) FROM abuse_report WHERE account_id = $1 AND at > now() - interval '1 day'"
_OLD: Final = "DELETE FROM abuse_report WHERE at < now() - make_interval(days => $1)"
_KEEP: Final = """
INSERT INTO abuse_report (uid, account_id, reported, reason, text, stanza_ids, forward)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7) ON CONFLICT (uid) DO NOTHING"""
_COLUMNS: Final = "r.id, r.at, a.localpart || '@' || a.domain AS reporter, r.reported, r.reason, r.text, r.stanza_ids, r.forward"
#: A reported address is found by itself, as a bare JID with its resources, and by its domain.
_LIST: Final = f"""
SELECT {_COLUMNS} FROM abuse_report r JOIN account a ON a.id = r.account_id
WHERE ($1 = '' OR r.reported = $1 OR split_part(r.reported, '/', 1) = $1
    OR split_part(split_part(r.reported, '/', 1), '@', 2) = $1)
ORDER BY r.at DESC, r.id DESC LIMIT $2"""  # noqa: S608


class Row(NamedTuple):
    """A report as it is stored; times are UTC."""

    id: int
    at: datetime
    reporter: str
    reported: str
    reason: str
    text: str
    stanza_ids: Sequence[tuple[str, str]]
    forward: Sequence[str]


async def keep(
    conn: Connection, account_id: int, origin: Origin, reports: Mapping[str, Report], options: Options
) -> int:
    """Store the reports of one command, by what they report; returns how many there was room for today."""
    await conn.execute(_OLD, options.days)
    room = max(0, options.per_day - await conn.fetchval(_TODAY, account_id))
    kept = list(reports.items())[:room]
    for number, (reported, report) in enumerate(kept):
        await conn.execute(
            _KEEP,
            b"%b:%d:%d" % (origin.stream, origin.n, number),
            account_id,
            reported,
            report.reason,
            report.text,
            json.dumps(report.stanza_ids),
            list(report.forward),
        )
    return len(kept)


async def listed(conn: Connection, about: str, limit: int) -> Sequence[Row]:
    """The newest reports: all (""), or those about an address or a domain."""
    return [_row(row) for row in await conn.fetch(_LIST, about, limit)]


async def drop(conn: Connection, id: int) -> bool:
    """Remove a report; False when there is none."""
    tag: str = await conn.execute("DELETE FROM abuse_report WHERE id = $1", id)
    return tag != "DELETE 0"


def _row(row: Any) -> Row:
    ids = json.loads(row["stanza_ids"])
    return Row(
        row["id"],
        row["at"],
        row["reporter"],
        row["reported"],
        row["reason"],
        row["text"],
        [(by, id_) for by, id_ in ids],
        list(row["forward"]),
    )

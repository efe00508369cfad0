"""One page of an archive out of its days and of the table `message`: a few days at a time, until there is enough.

Days that a statement does not name cost it nothing, so that the price of a page is that of the days that fill it. Ids grow with the days, but
for a clock that was set back and rows that a successor stored late: the day after the last one is asked, too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rookery.shared.db.api import Connection

#: A plan for all days is made once for a connection: each use opens only the days that it names.
_ONE_PLAN: Final = "SET LOCAL plan_cache_mode = force_generic_plan"
_DAY: Final = 86_400
#: After all days.
_END: Final = 1 << 30
#: How many days are asked at once, one after the other; then all others. Most read what came lately.
_BACK: Final = (4, 4, 8, 16, 32)
_ON: Final = (8, 24, 96)
_BEGIN: Final = "SELECT day FROM archive WHERE owner_id = $1 AND id <= $2 AND day >= $3 AND day < $4 ORDER BY id DESC LIMIT 1"
Days = tuple[int, int]


class Wanted(NamedTuple):
    """What is looked for: conditions for `archive` and for `message`, whose first arguments are owner, `after` and `before`."""

    archive: str
    message: str
    args: Sequence[Any]
    #: The first day that may have something.
    first: int
    rows: int
    max_bytes: int
    backwards: bool


def back(today: int) -> list[Days]:
    """All days, from the last ones on."""
    found: list[Days] = []
    past, first = _END, today
    for days in _BACK:
        first -= days
        found.append((first, past))
        past = first
    return [*found, (0, past)]


def on(first: int) -> list[Days]:
    """All days from `first` on."""
    found: list[Days] = []
    for days in _ON:
        found.append((first, first + days))
        first += days
    return [*found, (first, _END)]


class Page:
    """Rows so far, of several sources. None is behind `edge`, the last one of a source that has more."""

    __slots__ = ("_wanted", "edge", "found")

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self.found: list[Any] = []
        self.edge: int | None = None

    def add(self, records: Sequence[Any]) -> None:
        """Rows of one source in the order of reading."""
        if not records:
            return
        self.found += records
        if len(records) < records[0]["found"] or len(records) >= self._wanted.rows:
            last = records[-1]["id"]
            if self.edge is None:
                self.edge = last
            else:
                self.edge = max(self.edge, last) if self._wanted.backwards else min(self.edge, last)

    def cut(self) -> tuple[list[Any], bool]:
        """The rows of the page, and whether a source has more or they are too many or too large."""
        wanted, edge = self._wanted, self.edge
        rows = sorted(self.found, key=lambda row: row["id"], reverse=wanted.backwards)
        if edge is not None:
            rows = [row for row in rows if (row["id"] >= edge if wanted.backwards else row["id"] <= edge)]
        size = 0
        for n, row in enumerate(rows):
            if n == wanted.rows or size >= wanted.max_bytes:
                return rows[:n], True
            size += len(row["stanza"])
        return rows, edge is not None


async def read(conn: Connection, wanted: Wanted) -> tuple[list[Any], bool]:
    """At most `rows` rows in the order of reading, fewer when they are larger than `max_bytes` in all (one at least), and whether there are more."""
    async with conn.transaction():
        await conn.execute(_ONE_PLAN)
        page = Page(wanted)
        page.add(await conn.fetch(_statement(wanted, "message"), *wanted.args, wanted.rows, wanted.max_bytes))
        more = await _days(conn, wanted, page)
    rows, cut = page.cut()
    return rows, more or cut


async def _days(conn: Connection, wanted: Wanted, page: Page) -> bool:
    """Read days until there is enough; returns whether some were not read."""
    statement = _statement(wanted, "archive")
    steps = await _steps(conn, wanted)
    got = 0
    for first, past in steps:
        records = await conn.fetch(statement, *wanted.args, wanted.rows, wanted.max_bytes, first, past)
        page.add(records)
        got += len(records)
        if not records or (got < wanted.rows and len(records) == records[0]["found"]):
            continue
        if (first, past) == steps[-1]:
            return False
        # What belongs before the last row may be one day further.
        args = list(wanted.args)
        args[2 - wanted.backwards] = records[-1]["id"]
        near = (first - 1, first) if wanted.backwards else (past, past + 1)
        page.add(await conn.fetch(statement, *args, wanted.rows, wanted.max_bytes, *near))
        return True
    return False


async def _steps(conn: Connection, wanted: Wanted) -> list[Days]:
    owner, after = wanted.args[:2]
    latest = back(int(time.time()) // _DAY)
    if wanted.backwards:
        return [(max(first, wanted.first), past) for first, past in latest if past > wanted.first]
    if wanted.first:
        return on(wanted.first)
    if after:
        for first, past in latest:
            day = await conn.fetchval(_BEGIN, owner, after, first, past)
            if day is not None:
                return on(day - 1)
    oldest = await conn.fetchval(
        f"SELECT day FROM archive WHERE {wanted.archive} ORDER BY id LIMIT 1",  # noqa: S608
        *wanted.args,
    )
    return [] if oldest is None else on(oldest - 1)


def _statement(wanted: Wanted, table: str) -> str:
    """The sizes are looked at first, so that a page of large stanzas is cut before it is read."""
    n = len(wanted.args)
    order = "DESC" if wanted.backwards else "ASC"
    where = (
        wanted.message if table == "message" else f"{wanted.archive} AND day >= ${n + 3} AND day < ${n + 4}"
    )
    return f"""
SELECT id, extract(epoch FROM stamp)::float8 AS stamp, stanza, peer, found FROM (
    SELECT id, stamp, stanza, peer, count(*) OVER () AS found,
           sum(octet_length(stanza)) OVER (ORDER BY id {order}) - octet_length(stanza) AS ahead
    FROM (SELECT id, stamp, stanza, peer FROM {table} WHERE {where} ORDER BY id {order} LIMIT ${n + 1}) AS page
) AS measured WHERE ahead < ${n + 2} ORDER BY id {order}"""  # noqa: S608  parts of this package only

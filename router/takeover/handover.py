"""What a router took lately, told to whoever holds the partition next.

A client sends again what was not acknowledged when its edge died (XEP-0198 section 5), and that must count once. A new holder learns from
the edges' mirrors what they were given; what a dead edge was given and has written only the former holder knows. One that gives a
partition away in order leaves that in the database.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack
import structlog

from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.shared.db.api import FENCE, Connection
from rookery.shared.db.persist import persist

_log = structlog.get_logger()

#: Numbers of one memory that are told; the newest streams first.
MAX_NUMBERS: Final = 100_000

SAVE_HANDOVER: Final = f"""{FENCE},
saved AS (
    INSERT INTO handover (partition, state, given) SELECT $2, $3, now() FROM fence_ok
    ON CONFLICT (partition) DO UPDATE SET state = excluded.state, given = excluded.given
    RETURNING partition
)
SELECT partition FROM saved"""  # noqa: S608  constants only
#: Memories are that long (`recent.KEEP_TURNS`): an older row is a former handover's.
LOAD_HANDOVER: Final = (
    "SELECT state FROM handover WHERE partition = $1 AND given > now() - interval '12 minutes'"
)


async def save(core: Core, part: Part) -> None:
    """Leave what this holder took lately for the next one; waits for the database. Nothing is left once the fence is closed."""
    told: list[Any] = [memory.told(MAX_NUMBERS) for memory in (part.recent, part.copied, part.wrapped)]
    told.append(part.heard.told(MAX_NUMBERS))
    if not any(told):
        return
    state = msgpack.packb(told)

    async def work(conn: Connection) -> list[Any]:
        return await conn.fetch(SAVE_HANDOVER, core.node.incarnation, part.number, state)

    await persist(core.node.db, part.number, work)


async def load(core: Core, part: Part) -> None:
    """Remember what the last orderly holder took; waits for the database."""

    async def work(conn: Connection) -> list[Any]:
        return await conn.fetch(LOAD_HANDOVER, part.number)

    for row in await persist(core.node.db, part.number, work):
        try:
            told = msgpack.unpackb(row["state"], strict_map_key=False, use_list=False)
        except ValueError:
            _log.warning("handover_unreadable", partition=part.number)
            return
        for memory, streams in zip((part.recent, part.copied, part.wrapped), told, strict=False):
            for stream, numbers in streams.items():
                for n in numbers:
                    memory.mark(stream, n, True)
        if len(told) > 3:  # (a former version told no more)
            part.heard.learn(told[3])

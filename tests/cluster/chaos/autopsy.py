"""Where a lost message was last seen: in the database, row by row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import trio
from tests.cluster.chaos.ledger import Message
from tests.cluster.chaos.rooms import Spoken
from tests.cluster.harness import Cluster

from rookery.shared.config import Database as DatabaseConfig
from rookery.shared.db.api import Connection
from rookery.shared.db.bridge import open_database

_FIND = """
SELECT a.localpart, m.id, m.outgoing, m.archived, m.owed
FROM stored m JOIN account a ON a.id = m.owner_id
WHERE position(convert_to($1, 'UTF8') in m.stanza) > 0
ORDER BY m.outgoing, m.id
"""

_ROOMS = """
SELECT convert_from(substring(m.stanza from position('<body>'::bytea in m.stanza) + 6 for 40), 'LATIN1') AS said
FROM stored m JOIN room r ON r.id = m.owner_id
WHERE position('<body>'::bytea in m.stanza) > 0
ORDER BY m.owner_id, m.id
"""

_NODES = """
SELECT n.name, convert_from(i.payload, 'UTF8') AS payload
FROM pubsub_item i JOIN pubsub_node n ON n.id = i.node_id
WHERE n.name LIKE 'all%' OR n.name LIKE 'own%'
ORDER BY i.n
"""


class Trace(NamedTuple):
    """A row of the store that has the message."""

    account: str
    id: int
    outgoing: bool
    archived: bool
    owed: bool


def room_archives(cluster: Cluster) -> dict[int, list[Spoken]]:
    """What the archive of each room has, in its order. Raises DatabaseUnavailable."""
    url = json.loads((cluster.data / "cluster.json").read_text())["database_url"]

    async def look() -> dict[int, list[Spoken]]:
        found: dict[int, list[Spoken]] = {}
        async with open_database(DatabaseConfig(url=url, pool_max=1, statement_timeout=60.0)) as database:

            async def unit(conn: Connection) -> list[str]:
                return [row["said"] for row in await conn.fetch(_ROOMS)]

            for said in await database.run(0, unit):
                spoken = Spoken(*(int(part) for part in said.partition("<")[0].split(":")))
                found.setdefault(spoken.room, []).append(spoken)
        return found

    return trio.run(look)


def nodes(cluster: Cluster) -> dict[str, list[int]]:
    """The numbers of the items of each node, in their order. Raises DatabaseUnavailable."""
    url = json.loads((cluster.data / "cluster.json").read_text())["database_url"]

    async def look() -> dict[str, list[int]]:
        async with open_database(DatabaseConfig(url=url, pool_max=1, statement_timeout=60.0)) as database:

            async def unit(conn: Connection) -> dict[str, list[int]]:
                found: dict[str, list[int]] = {}
                for row in await conn.fetch(_NODES):
                    number = row["payload"].partition(f"{row['name']}:")[2].partition("<")[0]
                    found.setdefault(row["name"], []).append(int(number))
                return found

            return await database.run(0, unit)

    return trio.run(look)


def rows(cluster: Cluster, messages: Sequence[Message]) -> dict[str, list[Trace]]:
    """The rows of each message, by its name. Raises DatabaseUnavailable."""
    url = json.loads((cluster.data / "cluster.json").read_text())["database_url"]

    async def look() -> dict[str, list[Trace]]:
        found: dict[str, list[Trace]] = {}
        async with open_database(DatabaseConfig(url=url, pool_max=1, statement_timeout=60.0)) as database:
            for message in messages:
                text = f"<body>{message.name}</body>"

                async def unit(conn: Connection, text: str = text) -> list[Trace]:
                    return [
                        Trace(row["localpart"], row["id"], row["outgoing"], row["archived"], row["owed"])
                        for row in await conn.fetch(_FIND, text)
                    ]

                found[message.name] = await database.run(0, unit)
        return found

    return trio.run(look)


def tell(message: Message, traces: Sequence[Trace], start: float) -> str:
    """The last known place of a message, for people. `start`: when the run began, on the same clock."""
    parts = [f"{message.name} sent {message.sent - start:.2f} s, written {message.written} times"]
    parts.append(f"acknowledged {message.acked - start:.2f} s" if message.acked else "never acknowledged")
    if message.got:
        parts.append(
            "received " + ", ".join(f"{one.at - start:.2f} s in chain {one.chain}" for one in message.got)
        )
    if message.bounced:
        parts.append("bounced " + ", ".join(f"{at - start:.2f} s {what}" for at, what in message.bounced))
    for trace in traces:
        side = "sender's" if trace.outgoing else "recipient's"
        flags = (
            ", ".join(name for name in ("archived", "owed") if getattr(trace, name))
            or "neither archived nor owed"
        )
        parts.append(f"{side} row {trace.id} ({flags})")
    if not traces:
        parts.append("no row")
    return "; ".join(parts)

"""Statements of a whole login, in all processes together: 100 contacts with five nodes each, of whom nobody knows anything yet (XEP-0163 section 4.3)."""

from __future__ import annotations

import trio
from tests.contracts.counted import Counted
from tests.contracts.test_login_statements import ROSTER
from tests.contracts.test_router_offline import DOMAIN, RealRig, rig
from tests.unit.router.delivery.test_interests import answer, appear, asked, query

from rookery.shared.bus.messages import Credentials, GetCredentials, Kind
from rookery.shared.db.api import Connection, Database
from rookery.shared.xeps.entity_caps import verification_string
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account.service import AccountService
from rookery.workers.hosted import HostedWorker
from rookery.workers.presence.changes import REMEMBERED
from rookery.workers.presence.service import PresenceService
from rookery.workers.pubsub.config import Config as NodeConfig
from rookery.workers.pubsub.service import PubsubService
from rookery.workers.roster.service import RosterService

ALICE = f"alice@{DOMAIN}"
NAMES = [f"urn:n{k}" for k in range(5)]
KINDS = (Kind.ACCOUNT, Kind.ROSTER, Kind.PRESENCE, Kind.PUBSUB)


async def fill(conn: Connection) -> None:
    """Contacts both ways, everybody's nodes with an item each, and keys for alice."""
    await conn.execute(
        "WITH made AS (INSERT INTO account (localpart, domain) SELECT 'c' || n, $2 FROM generate_series(1, 100) n "
        "RETURNING id, localpart || '@' || domain AS jid), "
        "theirs AS (INSERT INTO roster_item (account_id, contact, sub_from, sub_to) SELECT id, $1, true, true FROM made) "
        "INSERT INTO roster_item (account_id, contact, sub_from, sub_to) "
        "SELECT a.id, jid, true, true FROM made, account a WHERE a.localpart = 'alice'",
        ALICE,
        DOMAIN,
    )
    await conn.execute(
        "INSERT INTO pubsub_node (owner, name, account_id, creator, config) "
        "SELECT localpart || '@' || domain, n, id, '', $2 FROM account, unnest($1::text[]) n WHERE localpart <> 'bob'",
        NAMES,
        NodeConfig(True).pack(),
    )
    await conn.execute(
        "INSERT INTO pubsub_item (node_id, id, n, publisher, payload) "
        "SELECT id, 'i', 1, owner, '<x xmlns=''u''/>'::bytea FROM pubsub_node"
    )
    await conn.execute("INSERT INTO fence VALUES ('worker1', true)")
    await conn.execute(
        "INSERT INTO credential (account_id, mechanism, iterations, salt, stored_key, server_key) "
        "SELECT id, 'SCRAM-SHA-256', 4096, '\\x01', '\\x02', '\\x03' FROM account WHERE localpart = 'alice'"
    )


async def start(it: RealRig, database: Database) -> None:
    """All that a login asks, in one process."""
    node = it.cluster.node("worker1", *KINDS, config=it.config, db=database)
    for kind in KINDS:
        it.cluster.move(kind, "worker1")
    services: list[HostedWorker] = [
        AccountService(node),
        RosterService(node),
        PresenceService(node),
        PubsubService(node),
    ]
    # As if nothing had changed hands lately: after a takeover a router and a presence worker ask once more each.
    for part in it.router.core.parts.values():
        part.since = 0.0
    for service in services:
        node.serve(service)
        it.nursery.start_soon(service.run)
        if isinstance(service, PresenceService):
            for partition in range(it.cluster.partitions):
                service.changes.acquired(partition, trio.current_time() - 2 * REMEMBERED)


async def test_a_whole_login_is_four_statements(database: Database) -> None:
    counted = Counted(database)
    async with rig(counted) as it:  # type: ignore[arg-type]
        await database.run(0, fill)
        await start(it, counted)  # type: ignore[arg-type]
        edge = it.edge()
        partition = edge.node.partition(ALICE)
        # Whatever the processes read when they begin.
        before = -1
        while counted.statements != before:
            before = counted.statements
            await trio.sleep(0.5)
            await it.settle()
        counted.texts.clear()
        told: list[object] = []

        async def credentials() -> None:
            told.append(
                await edge.node.bus.call(Kind.ACCOUNT, partition, GetCredentials(ALICE, "SCRAM-SHA-256"))
            )

        it.nursery.start_soon(credentials)
        await it.until(lambda: bool(told))
        assert isinstance(told[0], Credentials)
        client = await it.bind("alice")
        client.submit(Stanza.build("iq", parse_element(ROSTER.encode()), type="get", id="r"))
        await it.until(lambda: any(one.stanza.id == "r" for one in client.taken))
        appear(client, verification_string(query(*NAMES)))
        await it.until(
            lambda: any(one.stanza.has("http://jabber.org/protocol/disco#info") for one in client.taken)
        )
        answer(client, asked(client)[0], *NAMES)
        await it.until(lambda: sum(one.stanza.kind == "message" for one in client.taken) == 505)
        await it.settle()
        assert len(counted.texts) == 4, "\n".join(" ".join(one.split())[:150] for one in counted.texts)

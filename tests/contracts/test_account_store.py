"""Accounts, credentials and what users keep, on a real Postgres."""

from __future__ import annotations

import pytest

from rookery.shared.bus.messages import LastSeen
from rookery.shared.db.api import Connection, Database, Fenced
from rookery.shared.store import partitions
from rookery.shared.xmpp.errors import StanzaError
from rookery.workers.account import bulk, policies, store, userdata
from rookery.workers.account.credentials import Keys

KEYS = [
    Keys("SCRAM-SHA-256", 4096, b"salt", b"stored", b"server"),
    Keys("SCRAM-SHA-1", 4096, b"s", b"k", b"v"),
]


async def prepare(conn: Connection) -> None:
    await store.put_domain(conn, "example.org", registration=True)
    await conn.execute("INSERT INTO fence VALUES ('here', true), ('deposed', false)")
    await store.create_account(conn, "alice", "example.org", KEYS, "a@b")


async def test_an_account_is_made_once(database: Database) -> None:
    async def work(conn: Connection) -> None:
        await prepare(conn)
        assert await store.create_account(conn, "alice", "example.org", KEYS) is None
        assert await store.create_account(conn, "bob", "example.org", KEYS, "", "here")
        with pytest.raises(store.UnknownDomainError):
            await store.create_account(conn, "bob", "elsewhere.org", KEYS)
        names = [account.localpart for account in await store.list_accounts(conn, "example.org")]
        assert names == ["alice", "bob"]
        assert [a.localpart for a in await store.list_accounts(conn, "example.org", "alice", 1)] == ["bob"]

    await database.run(0, work)


async def test_many_accounts_in_one_statement(database: Database) -> None:
    async def work(conn: Connection) -> None:
        await prepare(conn)
        rows = [("alice", "new@mail", KEYS), ("bob", "", KEYS), ("carol", "", KEYS[:1])]
        assert await store.create_accounts(conn, "example.org", rows) == {"bob", "carol"}
        found = await store.get_credentials(conn, "bob", "example.org", "SCRAM-SHA-1")
        assert found == KEYS[1]
        assert await store.get_credentials(conn, "carol", "example.org", "SCRAM-SHA-1") is None
        alice = await store.get_account(conn, "alice", "example.org")
        assert alice is not None
        assert alice.email == "a@b"

    await database.run(0, work)


async def test_a_password_replaces_all_keys(database: Database) -> None:
    async def work(conn: Connection) -> None:
        await prepare(conn)
        new = [Keys("SCRAM-SHA-256", 10_000, b"new salt", b"new stored", b"new server")]
        assert await store.set_password(conn, "alice", "example.org", new, "here")
        assert await store.get_credentials(conn, "alice", "example.org", "SCRAM-SHA-256") == new[0]
        assert await store.get_credentials(conn, "alice", "example.org", "SCRAM-SHA-1") is None
        assert not await store.set_password(conn, "nobody", "example.org", new)
        assert await store.set_disabled(conn, "alice", "example.org", True)
        assert await store.get_credentials(conn, "alice", "example.org", "SCRAM-SHA-256") is None

    await database.run(0, work)


async def test_keys_are_added_for_whoever_has_proved_others_and_only_where_there_are_none(
    database: Database,
) -> None:
    """XEP-0480."""
    new = Keys("SCRAM-SHA-512", 4096, b"more salt", b"stored", b"server")

    async def work(conn: Connection) -> None:
        await prepare(conn)
        assert await store.add_keys(conn, "alice", "example.org", b"an old salt", new, "here") is None
        assert await store.add_keys(conn, "alice", "example.org", KEYS[1].salt, new, "here") is True
        found = await store.login_keys(conn, "alice", "example.org", "SCRAM-SHA-1")
        assert found is not None
        assert (found[0], sorted(found[1])) == (KEYS[1], ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"])
        # What is there stays: nobody gives an account a second password.
        assert (
            await store.add_keys(conn, "alice", "example.org", KEYS[1].salt, new._replace(salt=b"x")) is False
        )
        assert await store.get_credentials(conn, "alice", "example.org", "SCRAM-SHA-512") == new
        with pytest.raises(Fenced):
            await store.add_keys(conn, "alice", "example.org", KEYS[1].salt, new, "deposed")
        # Another password ends all keys, those that were added, too.
        assert await store.set_password(conn, "alice", "example.org", KEYS[:1])
        assert await store.get_credentials(conn, "alice", "example.org", "SCRAM-SHA-512") is None
        await store.set_disabled(conn, "alice", "example.org", True)
        assert await store.add_keys(conn, "alice", "example.org", KEYS[0].salt, new) is None

    await database.run(0, work)


async def test_a_deposed_worker_writes_nothing(database: Database) -> None:
    async def work(conn: Connection) -> None:
        await prepare(conn)
        with pytest.raises(Fenced):
            await store.set_password(conn, "alice", "example.org", KEYS[:1], "deposed")
        with pytest.raises(Fenced):
            await store.create_account(conn, "bob", "example.org", KEYS, "", "deposed")
        with pytest.raises(Fenced):
            await store.delete_account(conn, "alice", "example.org", "deposed")
        with pytest.raises(Fenced):
            await userdata.put_vcard(conn, "deposed", "alice@example.org", b"<vCard/>")
        with pytest.raises(Fenced):
            await userdata.block(conn, "deposed", "alice@example.org", ["eve@example.org"], 10)
        alice = await store.get_account(conn, "alice", "example.org")
        assert alice is not None
        assert not alice.disabled
        assert await store.get_credentials(conn, "alice", "example.org", "SCRAM-SHA-1") == KEYS[1]
        assert await store.get_account(conn, "bob", "example.org") is None
        assert await userdata.get_vcard(conn, "alice@example.org", "alice@example.org") is None

    await database.run(0, work)


async def test_removal_leaves_no_trace(database: Database) -> None:
    async def work(conn: Connection) -> None:
        await prepare(conn)
        bob = await store.create_account(conn, "bob", "example.org", KEYS)
        alice = (await store.get_account(conn, "alice", "example.org")).id  # type: ignore[union-attr]
        await userdata.put_vcard(conn, "here", "alice@example.org", b"<vCard/>")
        await userdata.put_private(conn, "here", "alice@example.org", {("urn:x", "x"): b"<x/>"}, 99)
        await userdata.block(conn, "here", "alice@example.org", ["eve@example.org"], 9)
        await conn.execute(
            "INSERT INTO roster_item (account_id, contact, name, sub_to, sub_from, pending_in, listed, ver) VALUES "
            "($1, 'bob@example.org', '', true, true, NULL, true, 1), ($2, 'alice@example.org', 'A', true, true, NULL, true, 4)",
            alice,
            bob,
        )
        await conn.execute("UPDATE account SET roster_ver = 4 WHERE id = $1", bob)
        await conn.execute(
            "INSERT INTO message (account_id, id, stream, n, digest, peer, outgoing, archived, owed, stamp, stanza) "
            "SELECT $1, i, 's', i, 'd', 'p', false, true, true, now(), 'x' FROM generate_series(1, 5100) AS i",
            alice,
        )
        await partitions.make(conn)
        await conn.execute(
            "INSERT INTO archive (owner_id, id, stamp, day, mark, outgoing, peer, stanza) "
            "SELECT $1, i, now(), (now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01', 0, false, 'p', 'x' "
            "FROM generate_series(6000, 11100) AS i",
            alice,
        )
        await conn.execute("INSERT INTO owed VALUES ($1, 6000, now(), true, 'p', 'x')", alice)
        assert await store.delete_account(conn, "alice", "example.org", "here") == ["bob@example.org"]
        assert not await conn.fetchval("SELECT count(*) FROM stored WHERE owner_id = $1", alice)
        for table in ("credential", "roster_item", "private_xml", "vcard", "blocked", "message"):
            assert not await conn.fetchval(f"SELECT count(*) FROM {table} WHERE account_id = $1", alice), (
                table
            )
        # What comes in the last moments is looked for by the sweep.
        assert await conn.fetchval("SELECT count(*) FROM erased WHERE account_id = $1", alice) == 1
        row = await conn.fetchrow("SELECT * FROM roster_item WHERE account_id = $1", bob)
        assert (row["sub_to"], row["sub_from"], row["name"], row["listed"], row["ver"]) == (
            False,
            False,
            "A",
            True,
            5,
        )
        assert await store.delete_account(conn, "alice", "example.org", "here") is None

    await database.run(0, work)


async def test_many_removals_leave_what_single_ones_leave(database: Database) -> None:
    async def work(conn: Connection) -> None:
        await prepare(conn)
        ids = {}
        for name in ("a1", "a2", "a3", "bob", "eve"):
            ids[name] = await store.create_account(conn, name, "example.org", KEYS)
        items = [("bob", "a1"), ("bob", "a2"), ("eve", "a2"), ("a1", "a2"), ("a1", "bob"), ("bob", "eve")]
        for owner, contact in items:
            await conn.execute(
                "INSERT INTO roster_item (account_id, contact, sub_to, sub_from, ver) VALUES ($1, $2, true, true, 1)",
                ids[owner],
                f"{contact}@example.org",
            )
        await conn.execute("UPDATE account SET roster_ver = 4")
        await conn.execute(
            "INSERT INTO message (account_id, id, stream, n, digest, peer, outgoing, archived, owed, stamp, stanza) "
            "SELECT $1, i, 's', i, 'd', 'p', false, true, true, now(), 'x' FROM generate_series(1, 5100) AS i",
            ids["a1"],
        )
        wanted = [(name, "example.org") for name in ("a1", "a2", "a3", "nobody")]
        bob, eve = "bob@example.org", "eve@example.org"
        found = await bulk.delete_accounts(conn, wanted)
        assert {jid: sorted(who) for jid, who in found.items()} == {
            "a1@example.org": [bob],
            "a2@example.org": [bob, eve],
            "a3@example.org": [],
        }
        gone = [ids[name] for name in ("a1", "a2", "a3")]
        for table in ("credential", "roster_item", "message"):
            assert not await conn.fetchval(f"SELECT count(*) FROM {table} WHERE account_id = ANY ($1)", gone)
        assert await conn.fetchval("SELECT count(*) FROM erased WHERE account_id = ANY ($1)", gone) == 3
        rows = await conn.fetch(
            "SELECT contact, sub_to, ver FROM roster_item WHERE account_id = $1", ids["bob"]
        )
        # A version for each contact that changed; who is still there stays as it was.
        assert {row["contact"]: (row["sub_to"], row["ver"]) for row in rows} == {
            "a1@example.org": (False, 5),
            "a2@example.org": (False, 6),
            eve: (True, 1),
        }
        versions = "SELECT localpart, roster_ver FROM account WHERE localpart IN ('bob', 'eve')"
        assert {row[0]: row[1] for row in await conn.fetch(versions)} == {"bob": 6, "eve": 5}
        assert await bulk.delete_accounts(conn, wanted) == {}

    await database.run(0, work)


async def test_a_policy_is_changed_in_parts(database: Database) -> None:
    async def work(conn: Connection) -> None:
        await store.put_domain(conn, "one.org", contacts={"abuse-addresses": ["mailto:a@one.org"]})
        assert await policies.change(conn, "two.org", policies.Changes(True)) is None
        changes = policies.Changes(True, "relaxed", {"admin-addresses": ["xmpp:a@one.org"]})
        both = {"abuse-addresses": ["mailto:a@one.org"], "admin-addresses": ["xmpp:a@one.org"]}
        kept = policies.Policy("one.org", "accounts", True, "relaxed", both)
        assert await policies.change(conn, "one.org", changes) == kept
        assert await policies.change(conn, "one.org", policies.Changes()) == kept
        changes = policies.Changes(False, "", {"abuse-addresses": []})
        left = policies.Policy("one.org", "accounts", False, "", {"admin-addresses": ["xmpp:a@one.org"]})
        assert await policies.change(conn, "one.org", changes) == left
        assert await policies.policies(conn) == [left]

    await database.run(0, work)


async def test_private_storage_has_a_limit_for_all_of_it(database: Database) -> None:
    async def work(conn: Connection) -> None:
        await prepare(conn)
        account = "alice@example.org"
        await userdata.put_private(conn, "here", account, {("urn:a", "x"): b"12345"}, 10)
        with pytest.raises(StanzaError):
            await userdata.put_private(conn, "here", account, {("urn:b", "x"): b"123456"}, 10)
        await userdata.put_private(conn, "here", account, {("urn:a", "x"): b"1234567890"}, 10)
        assert await userdata.get_private(conn, account, "urn:a", "x") == b"1234567890"
        assert await userdata.get_private(conn, account, "urn:b", "x") is None

    await database.run(0, work)


async def test_blocking(database: Database) -> None:
    async def work(conn: Connection) -> None:
        await prepare(conn)
        account = "alice@example.org"
        await userdata.block(conn, "here", account, ["eve@example.org", "spam.example"], 2)
        await userdata.block(conn, "here", account, ["eve@example.org"], 2)
        with pytest.raises(StanzaError):
            await userdata.block(conn, "here", account, ["more@example.org"], 2)
        before = await userdata.unblock(conn, "here", account, ["spam.example"])
        assert before.blocked == {"eve@example.org", "spam.example"}
        await userdata.unblock(conn, "here", account, None)
        assert (await userdata.get_blocklist(conn, account)).blocked == frozenset()

    await database.run(0, work)


async def test_last_activity_never_goes_back(database: Database) -> None:
    async def work(conn: Connection) -> None:
        await prepare(conn)
        account = "alice@example.org"
        assert await userdata.get_last(conn, account) is None
        nobody = LastSeen("nobody@example.org", 1_600_000_000_000, "")
        await userdata.set_last(conn, "here", [LastSeen(account, 1_600_000_000_000, "gone home"), nobody])
        await userdata.set_last(conn, "here", [LastSeen(account, 1_500_000_000_000, "older")])
        found = await userdata.get_last(conn, account)
        assert found is not None
        assert found[1] == "gone home"
        assert found[0] > 100_000_000

    await database.run(0, work)


async def test_domains(database: Database) -> None:
    async def work(conn: Connection) -> None:
        assert await store.put_domain(conn, "one.org")
        assert not await store.put_domain(conn, "one.org", contacts={"abuse-addresses": ["mailto:a@one.org"]})
        assert not await store.put_domain(conn, "one.org", registration=True)
        assert await store.domains(conn) == [
            store.Domain("one.org", True, {"abuse-addresses": ["mailto:a@one.org"]})
        ]

    await database.run(0, work)


async def test_a_domain_of_another_kind_has_no_accounts(database: Database) -> None:
    async def work(conn: Connection) -> None:
        assert await store.put_domain(conn, "rooms.org", registration=True, kind="rooms")
        assert not await store.put_domain(conn, "rooms.org", registration=True)
        assert await store.domains(conn) == [store.Domain("rooms.org", True, {}, "rooms")]
        with pytest.raises(store.UnknownDomainError):
            await store.create_account(conn, "a", "rooms.org", [])
        with pytest.raises(store.UnknownDomainError):
            await store.create_accounts(conn, "rooms.org", [("a", "", [])])
        assert not await store.put_domain(conn, "rooms.org", kind="accounts")
        assert await store.create_account(conn, "a", "rooms.org", [])

    await database.run(0, work)

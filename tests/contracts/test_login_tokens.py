"""Login tokens (XEP-0484) in Postgres, as edges ask the account worker for them."""

from __future__ import annotations

import hashlib
import hmac

import pytest
import trio

from rookery.shared.bus.messages import IssueToken, Kind, LoginToken, Redeem
from rookery.shared.config import Account, Config
from rookery.shared.db.api import Connection, Database
from rookery.shared.xeps import fast
from rookery.shared.xmpp.sasl import ht
from rookery.workers.account import clients, store, token_store
from rookery.workers.account.credentials import Keys

from .counted import Counted
from .people import ALICE, BOB, KEYS, People, people
from .test_account_service import call, condition

AGENT = "d4565fa7-4d72-4749-b3d3-740edbf87770"
OTHER = AGENT.replace("d", "e")
CONFIG = Config(account=Account(iterations=4096), fast=fast.Options(agents_per_account=2))


async def issued(
    world: People, agent: str = AGENT, account: str = ALICE, salt: bytes = b"salt"
) -> LoginToken:
    answer = await call(world, IssueToken(account, agent, ht.NONE, salt, "Tester", "Desk"), account)
    assert isinstance(answer, LoginToken)
    return answer


async def redeemed(
    world: People,
    token: str,
    agent: str = AGENT,
    account: str = ALICE,
    *,
    counter: int = -1,
    invalidate: bool = False,
    wanted: str = "",
) -> LoginToken:
    proof = hmac.new(token.encode(), b"Initiator", hashlib.sha256).digest()
    request = Redeem(account, agent, ht.NONE, b"", proof, counter, invalidate, wanted, "", "")
    answer = await call(world, request, account)
    assert isinstance(answer, LoginToken)
    return answer


async def age(db: Database, hours: float = 48, expired: bool = False) -> None:
    async def work(conn: Connection) -> None:
        await conn.execute(
            "UPDATE login_token SET created = created - make_interval(secs => $1 * 3600), "
            "expires = CASE WHEN $2 THEN now() ELSE expires END",
            hours,
            expired,
        )

    await db.run(0, work)


async def test_a_token_is_given_used_rotated_and_ended(database: Database) -> None:
    async with people(database, CONFIG) as world:
        first = (await issued(world)).token
        assert first
        assert (await redeemed(world, first)).proof == hmac.new(
            first.encode(), b"Responder", "sha256"
        ).digest()
        assert (await redeemed(world, first)).token == ""  # not due
        # Another client, another account, another token: nobody.
        assert (await redeemed(world, first, OTHER)).failed == "credentials-expired"
        assert (await redeemed(world, first, account=BOB)).failed == "credentials-expired"
        assert (await redeemed(world, "guess")).failed == "credentials-expired"
        # Due: the next one comes; the old one is good until that is used (section 3.5).
        await age(database)
        lost = (await redeemed(world, first)).token
        second = (await redeemed(world, first)).token
        assert lost
        assert second
        assert (await redeemed(world, lost)).failed == "credentials-expired"  # given, never used, replaced
        assert (await redeemed(world, second)).failed == ""
        assert (await redeemed(world, first)).failed == "credentials-expired"
        # The client logs out (section 3.6): no new one, unless it asks.
        await age(database)
        assert (await redeemed(world, second, invalidate=True)).token == ""
        assert (await redeemed(world, second)).failed == "credentials-expired"
        third = (await issued(world)).token
        fourth = (await redeemed(world, third, invalidate=True, wanted=ht.NONE)).token
        assert (await redeemed(world, third)).failed == "credentials-expired"
        assert (await redeemed(world, fourth)).failed == ""
        await age(database, expired=True)
        assert (await redeemed(world, fourth)).failed == "credentials-expired"


async def test_a_replay_is_refused(database: Database) -> None:
    async with people(database, CONFIG) as world:
        token = (await issued(world)).token
        assert (await redeemed(world, token, counter=1)).failed == ""
        assert (await redeemed(world, token, counter=1)).failed == "not-authorized"
        assert (await redeemed(world, token, counter=7)).failed == ""
        assert (await redeemed(world, token, counter=6)).failed == "not-authorized"
        assert (await redeemed(world, token, counter=8)).failed == ""
        # Twice at the same moment, as somebody does who has recorded it: one of them comes in.
        came: list[str] = []

        async def come() -> None:
            came.append((await redeemed(world, token, counter=9)).failed)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(come)
        assert sorted(came) == ["", *["not-authorized"] * 3]
        # A count is of its token: it begins anew with the next one, and the old token's does not go back.
        await age(database)
        following = (await redeemed(world, token, counter=10)).token
        assert (await redeemed(world, following, counter=1)).failed == ""
        assert (await redeemed(world, following, counter=1)).failed == "not-authorized"
        assert (await redeemed(world, token, counter=99)).failed == "credentials-expired"


@pytest.mark.parametrize(
    "change", ["password", "disabled", "enabled again", "removed", "revoked", "forged salt"]
)
async def test_what_ends_tokens(database: Database, change: str) -> None:
    async with people(database, CONFIG) as world:
        token = (await issued(world)).token
        bobs = (await issued(world, account=BOB)).token

        async def work(conn: Connection) -> None:
            if change == "password":
                await store.set_password(
                    conn, "alice", "one.org", [Keys("SCRAM-SHA-256", 4096, b"pepper", b"s", b"k")]
                )
            elif change == "forged salt":
                # Without the deletion, as when the password changed while a token was made.
                await conn.execute(
                    "UPDATE login_token SET salt = 'old' WHERE account_id = (SELECT id FROM account WHERE localpart = 'alice')"
                )
            elif change == "removed":
                await store.delete_account(conn, "alice", "one.org")
            elif change == "revoked":
                assert await token_store.revoke(conn, "alice", "one.org", [AGENT]) == [AGENT]
            else:
                await store.set_disabled(conn, "alice", "one.org", True)
                if change == "enabled again":
                    await store.set_disabled(conn, "alice", "one.org", False)

        await database.run(0, work)
        assert (await redeemed(world, token)).failed == "credentials-expired"
        assert (await redeemed(world, bobs, account=BOB)).failed == ""
        assert await database.run(0, lambda conn: token_store.clients(conn, "alice", "one.org")) == []


async def test_none_is_made_for_a_password_that_was_changed_meanwhile(database: Database) -> None:
    async with people(database, CONFIG) as world:
        assert await issued(world, salt=b"of the former password") == LoginToken()
        assert (await issued(world, account="ghost@one.org")).token == ""


async def test_an_account_has_so_many_clients(database: Database) -> None:
    async with people(database, CONFIG) as world:
        agents = [f"{n}4565fa7-4d72-4749-b3d3-740edbf87770" for n in range(3)]
        given = [(await issued(world, agent)).token for agent in agents]
        assert (await redeemed(world, given[0], agents[0])).failed == "credentials-expired"
        for agent, token in list(zip(agents, given, strict=True))[1:]:
            assert (await redeemed(world, token, agent)).failed == ""
        listed = await database.run(0, lambda conn: token_store.clients(conn, "alice", "one.org"))
        assert {(one.agent, one.software, one.device) for one in listed} == {
            (agent, "Tester", "Desk") for agent in agents[1:]
        }


async def test_what_has_expired_is_deleted(database: Database) -> None:
    async with people(database, CONFIG) as world:
        await issued(world)
        await age(database, expired=True)
        await issued(world, OTHER)
        await database.run(0, lambda conn: token_store.expire(conn, 100))

        async def left(conn: Connection) -> list[str]:
            return [row["agent"] for row in await conn.fetch("SELECT agent FROM user_agent")]

        assert await database.run(0, left) == [OTHER]


async def test_coming_back_with_a_token_takes_one_statement(database: Database) -> None:
    async with people(database, CONFIG) as world:
        token = (await issued(world)).token
        await redeemed(world, token)
        counted = Counted(world.worker.db)
        world.worker.db = counted
        assert (await redeemed(world, token)).failed == ""
        assert counted.statements == 1
        assert KEYS


async def test_a_user_sees_and_revokes_clients(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """XEP-0494: a client that got its token for the password may know that still, which is told."""
    monkeypatch.setattr(clients, "CALL_SECONDS", 0.05)  # no router answers
    async with people(database, CONFIG) as world:
        token = (await issued(world)).token
        listed = await world.iq(Kind.ACCOUNT, "<list xmlns='urn:xmpp:cam:0'/>")
        (found,) = listed.elements()
        (one,) = found.elements()
        id = one.get("id") or ""
        assert AGENT not in listed.inner.decode()
        assert (one.get("connected"), one.get("type")) == ("false", "session")
        assert [child.name for child in one.elements()] == [
            "first-seen", "last-seen", "auth", "permission", "user-agent"
        ]  # fmt: skip
        assert one.find("urn:xmpp:cam:0", "auth") is not None
        wrong = await world.iq(Kind.ACCOUNT, "<revoke xmlns='urn:xmpp:cam:0' id='x'/>", "set")
        assert condition(wrong) == "item-not-found"
        answer = await world.iq(Kind.ACCOUNT, f"<revoke xmlns='urn:xmpp:cam:0' id='{id}'/>", "set")
        assert b"password-reset-required" in answer.inner
        assert (await redeemed(world, token)).failed == "credentials-expired"
        # An account whose password is elsewhere.
        await issued(world)
        await database.run(0, lambda conn: conn.execute("UPDATE login_token SET salt = ''"))
        answer = await world.iq(Kind.ACCOUNT, f"<revoke xmlns='urn:xmpp:cam:0' id='{id}'/>", "set")
        assert answer.type == "result"

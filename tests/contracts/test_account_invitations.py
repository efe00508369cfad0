"""Invitations on a real Postgres: what a token allows, how often, and whom it acquaints (XEP-0401, XEP-0445)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import trio

from rookery.shared.bus.messages import (
    AskInvitation,
    Credentials,
    Done,
    GetCredentials,
    Handle,
    Invited,
    Item,
    Kind,
    Register,
)
from rookery.shared.db.api import Database
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account import approvals, invitations, policies, store
from rookery.workers.account.bulk import delete_accounts
from rookery.workers.account.invitations import Invitation

from .people import ALICE, BOB, EVE, People, people, pushes
from .test_account_service import CHEAP, call

TOKEN = "a-token-of-twenty-and-more"
NOW = datetime.now(UTC)
#: A domain whose registration is closed.
NEW = Invitation("", "two.org", "", "", "cli:ada", NOW, NOW + timedelta(days=7), 1)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[People]:
    async with people(database, CHEAP) as world:
        yield world


async def make(database: Database, new: Invitation = NEW, token: str = TOKEN) -> Invitation:
    return await database.run(0, lambda conn: invitations.make(conn, new, token))


def register(username: str = "carol", token: str = TOKEN, domain: str = "two.org") -> Register:
    return Register(domain, username, "secret", "", "192.0.2.1", token)


async def refused(world: People, request: Item) -> str:
    with pytest.raises(StanzaError) as caught:
        await call(world, request)
    return caught.value.condition


async def test_one_account_for_one_token(database: Database, world: People) -> None:
    made = await make(database)
    told = await call(world, AskInvitation("two.org", TOKEN))
    assert told == Invited("", "", int(made.expires.timestamp()))
    assert await call(world, register()) == Done()
    assert await refused(world, AskInvitation("two.org", TOKEN)) == "item-not-found"
    assert await refused(world, register("dave")) == "not-allowed"


@pytest.mark.parametrize(
    ("policy", "joins"),
    [
        ("{}", True),
        ('{"joining": "invited"}', True),
        ('{"joining": "nobody"}', False),
        ('{"auth": {"type": "http"}}', False),
    ],
)
async def test_whether_an_account_may_be_made_is_told(
    database: Database, world: People, policy: str, joins: bool
) -> None:
    await make(database)
    change = "UPDATE domain SET policy = $1::jsonb WHERE name = 'two.org'"
    await database.run(0, lambda conn: conn.execute(change, policy))
    told = await call(world, AskInvitation("two.org", TOKEN))
    assert isinstance(told, Invited)
    assert told.joins is joins


async def test_as_many_at_once_as_it_says(database: Database, world: People) -> None:
    await make(database, NEW._replace(uses=3))
    ends: list[str] = []

    async def one(name: str) -> None:
        try:
            await call(world, register(name))
            ends.append("made")
        except StanzaError as error:
            ends.append(error.condition)

    async with trio.open_nursery() as nursery:
        for n in range(6):
            nursery.start_soon(one, f"u{n}")
    assert sorted(ends) == ["made"] * 3 + ["not-allowed"] * 3


async def test_a_failed_registration_does_not_use_it_up(database: Database, world: People) -> None:
    await make(database)
    assert await refused(world, register("not a name")) == "not-acceptable"
    assert await call(world, register()) == Done()


async def test_a_token_that_was_shown_in_time_is_good(database: Database, world: People) -> None:
    """XEP-0445 section 4: expiry is looked at when the token is shown, and not again."""
    await make(database, NEW._replace(expires=NOW - timedelta(seconds=1)))
    assert await refused(world, AskInvitation("two.org", TOKEN)) == "item-not-found"
    assert await call(world, register()) == Done()


async def test_a_name_is_kept(database: Database, world: People) -> None:
    await make(database, NEW._replace(domain="one.org", username="carol"))
    await make(database, NEW._replace(domain="one.org"), "another-token-of-twenty")
    for token, name, condition in (
        ("", "carol", "conflict"),
        ("another-token-of-twenty", "carol", "conflict"),
        (TOKEN, "dave", "not-acceptable"),
    ):
        assert await refused(world, register(name, token, "one.org")) == condition
    assert await call(world, register("Carol", TOKEN, "one.org")) == Done()


async def test_other_tokens_and_other_domains(database: Database, world: People) -> None:
    await make(database)
    assert await refused(world, AskInvitation("one.org", TOKEN)) == "item-not-found"
    for token in (TOKEN + "x", "", "x" * 30):
        assert await refused(world, AskInvitation("two.org", token)) == "item-not-found"
        assert await refused(world, register(token=token)) == "not-allowed"


async def test_what_was_revoked_is_no_good(database: Database, world: People) -> None:
    made = await make(database)
    assert await database.run(0, lambda conn: invitations.revoke(conn, made.id)) == made
    assert await database.run(0, lambda conn: invitations.revoke(conn, made.id)) is None
    assert await refused(world, register()) == "not-allowed"


async def test_the_inviter_is_a_contact_at_once(database: Database, world: People) -> None:
    await make(database, NEW._replace(inviter=ALICE))
    world.take()
    await call(world, register())
    items = world.take()
    for one, other in ((ALICE, "carol@two.org"), ("carol@two.org", ALICE)):
        (push,) = pushes(items, one)
        assert f"jid='{other}'" in push
        assert "subscription='both'" in push


async def test_who_shows_the_token_becomes_a_contact(database: Database, world: People) -> None:
    """XEP-0379: the request is answered by the server, which asks in return; a second one is an ordinary request."""
    await make(database, NEW._replace(inviter=ALICE))
    shown = f"<preauth xmlns='urn:xmpp:pars:0' token='{TOKEN}'/>"
    for sender, states in ((BOB, ["none", "from", "from"]), (EVE, [])):
        world.take()
        request = Stanza.build(
            "presence", parse_element(shown.encode()), type="subscribe", to=ALICE, from_=sender
        )
        world.post(Kind.ROSTER, ALICE, Handle(world.origin(), ALICE, "", False, request))
        await world.rest()
        items = world.take()
        found = [push for push in pushes(items, ALICE) if sender in push]
        assert [re.findall(r"subscription='(\w+)'", push)[0] for push in found] == states
        if states:
            assert "ask='subscribe'" in found[-1]


@pytest.mark.parametrize("many", [False, True])
async def test_a_removed_account_leaves_nothing_in_invitations(
    database: Database, world: People, many: bool
) -> None:
    """What it invited others with goes on without its name; what it came with goes."""
    await make(database, NEW._replace(username="carol"))
    await call(world, register())
    await make(database, NEW._replace(inviter="carol@two.org"), "another-token-of-twenty")
    if many:
        await database.run(0, lambda conn: delete_accounts(conn, [("carol", "two.org")]))
    else:
        await database.run(0, lambda conn: store.delete_account(conn, "carol", "two.org"))
    left = await database.run(0, lambda conn: invitations.listed(conn, "two.org"))
    assert [(one.username, one.inviter, one.uses) for one in left] == [("", "", 1)]


async def test_somebody_waits_for_approval_and_cannot_be_overlooked_or_forced(
    database: Database, world: People
) -> None:
    """The account is there and closed until an operator lets it in; who has an invitation does not wait."""
    changes = policies.Changes(registration=True, joining="approval")
    await database.run(0, lambda conn: policies.change(conn, "two.org", changes))
    assert await refused(world, register("carol", "")) == "not-allowed"
    assert await refused(world, register("carol", "")) == "conflict"
    await make(database)
    assert await call(world, register("dave")) == Done()
    (waiting,) = await database.run(0, lambda conn: approvals.pending(conn, ""))
    assert waiting[:3] == ("carol@two.org", "", "192.0.2.1")
    assert await database.run(0, lambda conn: approvals.pending(conn, "one.org")) == []
    keys = await call(world, GetCredentials("carol@two.org", "PLAIN"), "carol@two.org")
    assert isinstance(keys, Credentials)
    assert not keys.exists
    assert await database.run(0, lambda conn: approvals.approve(conn, "dave", "two.org")) is False
    assert await database.run(0, lambda conn: approvals.reject(conn, "dave", "two.org")) is False
    assert await database.run(0, lambda conn: approvals.approve(conn, "carol", "two.org"))
    keys = await call(world, GetCredentials("carol@two.org", "PLAIN"), "carol@two.org")
    assert isinstance(keys, Credentials)
    assert keys.exists
    # Who is rejected leaves nothing, and the name is free.
    assert await refused(world, register("erin", "")) == "not-allowed"
    assert await database.run(0, lambda conn: approvals.reject(conn, "erin", "two.org"))
    assert await refused(world, register("erin", "")) == "not-allowed"
    assert len(await database.run(0, lambda conn: approvals.pending(conn, "two.org"))) == 1


async def test_only_so_many_wait(database: Database, world: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approvals, "MAX_WAITING", 1)
    changes = policies.Changes(registration=True, joining="approval")
    await database.run(0, lambda conn: policies.change(conn, "two.org", changes))
    assert await refused(world, register("carol", "")) == "not-allowed"
    assert await refused(world, register("dave", "")) == "resource-constraint"


async def test_where_nobody_registers_an_invitation_is_no_good(database: Database, world: People) -> None:
    await make(database)

    async def change(**said: object) -> str:
        changes = policies.Changes(**said)  # type: ignore[arg-type]
        policy = await database.run(0, lambda conn: policies.change(conn, "two.org", changes))
        assert policy is not None
        return policy.joining

    assert await change(registration=False, joining="nobody") == "nobody"
    assert await refused(world, register()) == "not-allowed"
    assert await change(motd="hello") == "nobody"
    # What says more of a closed domain goes when it is opened, and the other way round.
    assert await change(registration=True) == ""
    assert await change(joining="approval") == "approval"
    assert await change(registration=True) == "approval"
    assert await change(registration=False) == ""
    assert await call(world, register()) == Done()

"""Users invite by commands (XEP-0401), on a real database; a contact comes in without being asked."""

from __future__ import annotations

import re

import pytest

from rookery.admin.adhoc.commands import Commands
from rookery.shared.bus.messages import Register
from rookery.shared.db.api import Connection, Database
from rookery.shared.xeps import invitations
from rookery.shared.xeps.adhoc_commands import NS
from rookery.shared.xeps.data_forms import NS as FORMS
from rookery.shared.xeps.data_forms import Field, form, values
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.account import policies
from rookery.workers.account.policies import Changes

from .people import ALICE, BOB, EVE, PHONE, People, people
from .test_account_service import CHEAP, call


async def command(
    world: People,
    node: str,
    *,
    to: str = "one.org",
    full: str = PHONE,
    filled: Element | None = None,
    id: str = "",
) -> Element:
    """Send a command; its answer."""
    said = {"node": node, **({"sessionid": id} if id else {})}
    element = Element(NS, "command", said, filled)
    iq = Stanza.build("iq", element, type="set", from_=full, to=to, id="c")
    answer = (await Commands(world.worker)(iq)).find(NS, "command")
    assert answer is not None
    return answer


def told(answer: Element) -> dict[str, str]:
    assert answer.get("status") == "completed"
    x = answer.find(FORMS, "x")
    assert x is not None
    found = {name: value for name, (value,) in values(x).items()}
    assert found.pop("FORM_TYPE") == invitations.INVITATION
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["expire"])
    assert found["landing-url"].startswith("https://one.org:")
    return found


async def sets(world: People, domain: str, changes: Changes) -> None:
    async def work(conn: Connection) -> None:
        assert await policies.change(conn, domain, changes)

    await world.db.run(0, work)


async def test_a_user_invites_a_contact(database: Database) -> None:
    async with people(database, CHEAP) as world:
        found = told(await command(world, invitations.INVITE))
        match = re.fullmatch(rf"xmpp:{ALICE}\?roster;preauth=([\w-]+);ibr=y", found["uri"])
        assert match is not None
        token = match[1]
        await call(
            world, Register("one.org", "carol", "a good password", "", "192.0.2.1", token), "carol@one.org"
        )
        await world.rest()

        async def contacts(conn: Connection) -> list[str]:
            rows = await conn.fetch(
                "SELECT contact FROM roster_item r JOIN account a ON a.id = r.account_id "
                "WHERE a.localpart = 'alice' AND a.domain = 'one.org' AND sub_to AND sub_from"
            )
            return [row["contact"] for row in rows]

        assert await database.run(0, contacts) == ["carol@one.org"]


async def test_where_nobody_makes_accounts_contacts_are_invited_all_the_same(database: Database) -> None:
    async with people(database, CHEAP) as world:
        await sets(world, "one.org", Changes(registration=False, joining="nobody", admins=[ALICE]))
        assert "ibr" not in told(await command(world, invitations.INVITE))["uri"]
        with pytest.raises(StanzaError, match="not-allowed"):
            await command(world, invitations.CREATE)


async def test_an_admin_invites_a_new_user(database: Database) -> None:
    async with people(database, CHEAP) as world:
        await sets(world, "one.org", Changes(admins=[ALICE]))
        first = await command(world, invitations.CREATE)
        assert first.get("status") == "executing"
        id = first.get("sessionid") or ""
        for username, contact, uri in (
            ("juliet", "0", r"xmpp:juliet@one.org\?register;preauth=[\w-]+"),
            ("", "0", r"xmpp:one.org\?register;preauth=[\w-]+"),
            ("romeo", "1", r"xmpp:romeo@one.org\?register;preauth=[\w-]+"),
        ):
            fields = [Field("username", (username,)), Field("roster-subscription", (contact,))]
            filled = form("submit", invitations.INVITATION, fields)
            assert re.fullmatch(
                uri, told(await command(world, invitations.CREATE, filled=filled, id=id))["uri"]
            )
        for username, condition in (("alice", "conflict"), ("juliet", "conflict"), ("a@b", "bad-request")):
            filled = form("submit", invitations.INVITATION, [Field("username", (username,))])
            with pytest.raises(StanzaError, match=condition):
                await command(world, invitations.CREATE, filled=filled, id=id)


async def test_who_may_not(database: Database) -> None:
    async with people(database, CHEAP) as world:
        for full, to, node in (
            (f"{EVE}/r", "one.org", invitations.INVITE),  # of another domain
            (f"{BOB}/r", "one.org", invitations.CREATE),  # no admin
        ):
            with pytest.raises(StanzaError, match="forbidden"):
                await command(world, node, to=to, full=full)
        for full in (f"{BOB}/r", PHONE):
            with pytest.raises(
                StanzaError, match="item-not-found"
            ):  # XEP-0050 section 4.4: there is no such command
                await command(world, "no-command", full=full)
        with pytest.raises(StanzaError, match="item-not-found"):
            await command(world, invitations.INVITE, to="nowhere.org", full="a@nowhere.org/r")
        most = invitations.Options().open_per_user
        for _ in range(most):
            told(await command(world, invitations.INVITE))
        with pytest.raises(StanzaError, match="resource-constraint"):
            await command(world, invitations.INVITE)
        told(await command(world, invitations.INVITE, full=f"{BOB}/r"))  # others have their own

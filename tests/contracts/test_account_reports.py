"""Reports that come with blocks (XEP-0377), and what operators do with them and with invitations, on a real Postgres."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from rookery.admin import invitations, reports
from rookery.admin.cluster import Cluster
from rookery.admin.desk import Desk
from rookery.admin.errors import Conflict, Invalid, NotFound
from rookery.shared.bus.messages import Kind, OperatorCommand, Route
from rookery.shared.bus.notices import Post
from rookery.shared.config import Config
from rookery.shared.db.api import Database
from rookery.shared.xeps import spam_reporting
from rookery.shared.xeps.invitations import digest
from rookery.workers.account import invitations as rows

from .people import ALICE, People, people
from .test_account_service import condition

BLOCK = "<block xmlns='urn:xmpp:blocking'>{}</block>"
ITEM = (
    "<item jid='{}'><report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'><text>{}</text>"
    "<stanza-id xmlns='urn:xmpp:sid:0' by='alice@one.org' id='7'/><third-party/></report></item>"
)


class Office(Desk):
    """A desk without a running cluster: what would be told is kept."""

    def __init__(self, database: Database) -> None:
        super().__init__(Config(), database, "cli:ada")
        self.told: list[str] = []

    @property
    def cluster(self) -> Cluster:
        raise AssertionError("not needed")

    async def tell(self, posts: Iterable[Post], *, domains: bool = False) -> None:
        self.told += [item.command for _, _, item in posts if isinstance(item, OperatorCommand)]


async def block(world: People, *items: str) -> object:
    return await world.iq(Kind.ACCOUNT, BLOCK.format("".join(items)), type="set")


async def test_a_report_is_kept_with_its_block(database: Database) -> None:
    async with people(database) as world:
        await block(world, ITEM.format("spam@evil.example/x", "buy"), "<item jid='other.example'/>")
        await block(world, ITEM.format("eve@evil.example", "again"))
    desk = Office(database)
    found = await reports.listed(desk)
    assert [(one.reporter, one.reported, one.text) for one in found] == [
        (ALICE, "eve@evil.example", "again"),
        (ALICE, "spam@evil.example/x", "buy"),
    ]
    assert list(found[0].stanza_ids) == [("alice@one.org", "7")]
    assert found[0].forward == ["third-party"]
    assert len(await reports.listed(desk, "evil.example")) == 2
    assert len(await reports.listed(desk, "spam@evil.example")) == 1
    assert not await reports.listed(desk, "one.org")
    await reports.drop(desk, found[0].id)
    with pytest.raises(NotFound):
        await reports.drop(desk, found[0].id)
    assert len(await reports.listed(desk)) == 1


async def test_a_bad_report_blocks_nobody(database: Database) -> None:
    async with people(database) as world:
        bad = "<item jid='a@b.example'><report xmlns='urn:xmpp:reporting:1'/></item>"
        answer = await world.iq(Kind.ACCOUNT, BLOCK.format(bad), type="set")
        assert condition(answer) == "bad-request"
        listed = await world.iq(Kind.ACCOUNT, "<blocklist xmlns='urn:xmpp:blocking'/>")
        assert b"b.example" not in listed.inner


async def test_a_report_is_sent_on(database: Database) -> None:
    config = Config(spam_reporting=spam_reporting.Options(forward_to="abuse@elsewhere.example", per_day=1))
    async with people(database, config) as world:
        one = ITEM.format("eve@evil.example", "buy")
        await block(world, one, one.replace("eve", "adam"))
        routes = [item.stanza for item in world.take() if isinstance(item, Route)]
    sent = [stanza for stanza in routes if stanza.to == "abuse@elsewhere.example"]
    assert len(sent) == 1
    assert b"eve@evil.example" in sent[0].inner
    assert ALICE.encode() not in sent[0].inner


async def test_a_flood_of_reports_only_blocks(database: Database) -> None:
    config = Config(spam_reporting=spam_reporting.Options(per_day=2))
    async with people(database, config) as world:
        await block(world, *[ITEM.format(f"s{n}@evil.example", "x") for n in range(5)])
        listed = await world.iq(Kind.ACCOUNT, "<blocklist xmlns='urn:xmpp:blocking'/>")
    assert listed.inner.count(b"evil.example") == 5
    assert len(await reports.listed(Office(database))) == 2


# --- operators and invitations ----------------------------------------------------------------------------------------


async def test_an_invitation_of_an_operator(database: Database) -> None:
    async with people(database):
        desk = Office(database)
        wanted = invitations.Wanted("One.org", "Carol", ALICE, 3)
        made = await invitations.create(desk, wanted)
        token = made.uri.rpartition("=")[2]
        assert made.uri == f"xmpp:carol@one.org?register;preauth={token}"
        assert made.page == f"https://one.org:5280/invite?t={token}"
        assert digest(token) is not None
        assert made.invitation == (await invitations.listed(desk, "one.org"))[0]
        assert (await database.run(0, lambda conn: rows.valid(conn, "one.org", token))).inviter == ALICE
        with pytest.raises(Conflict):
            await invitations.create(desk, wanted)
        await invitations.revoke(desk, made.invitation.id)
        with pytest.raises(NotFound):
            await invitations.revoke(desk, made.invitation.id)
        assert not await invitations.listed(desk)
        assert desk.told == ["invite create", "invite revoke"]


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (invitations.Wanted("nowhere.example"), NotFound),
        (invitations.Wanted("one.org", "alice"), Conflict),
        (invitations.Wanted("one.org", "a b"), Invalid),
        (invitations.Wanted("one.org", "", "nobody@one.org"), NotFound),
        (invitations.Wanted("one.org", "", "one.org"), Invalid),
        (invitations.Wanted("one.org", days=1000), Invalid),
        (invitations.Wanted("one.org", uses=0), Invalid),
        (invitations.Wanted("one.org", "carol", uses=2), Invalid),
    ],
)
async def test_invitations_that_cannot_be(
    database: Database, wanted: invitations.Wanted, error: type[Exception]
) -> None:
    async with people(database):
        with pytest.raises(error):
            await invitations.create(Office(database), wanted)

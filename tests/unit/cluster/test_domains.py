"""Reading the hosted domains: from rows and from account workers, again and again, into one address book."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import Domains, Item, Kind
from rookery.shared.bus.subjects import partition_of
from rookery.shared.cluster.addresses import Addresses
from rookery.shared.cluster.domains import (
    DomainReader,
    DomainRow,
    contacts_of,
    from_account_workers,
    from_rows,
)
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.xmpp.errors import StanzaError


class Rows:
    """A database with domains; it is away as often as `away` says."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = rows
        self.away = 0

    async def run(self, partition: int, work: Any, *, op: str = "") -> Any:
        await trio.lowlevel.checkpoint()
        if self.away:
            self.away -= 1
            raise DatabaseUnavailable("away")
        return await work(self)

    async def fetch(self, query: str) -> Sequence[dict[str, Any]]:
        return self.rows


def row(name: str, kind: str = "accounts", registration: bool = False, policy: Any = "{}") -> dict[str, Any]:
    return {"name": name, "kind": kind, "registration": registration, "policy": policy}


async def test_rows_with_patience(autojump_clock: object) -> None:
    db = Rows(
        row(
            "a.org",
            registration=True,
            policy='{"durability": "relaxed", "contacts": {"abuse": ["mailto:x"]}}',
        ),
        row("rooms.a.org", "rooms", policy={"durability": "sometimes"}),
    )
    db.away = 3
    node = FakeCluster().node("router1", Kind.ROUTER, db=db)  # type: ignore[arg-type]
    assert await from_rows(node)() == [
        DomainRow("a.org", "accounts", True, (("abuse", ("mailto:x",)),), "relaxed"),
        DomainRow("rooms.a.org", "rooms"),
    ]


async def test_the_reader_feeds_the_book_and_reads_again_when_told(autojump_clock: object) -> None:
    db = Rows(row("a.org"))
    node = FakeCluster().node("router1", Kind.ROUTER, db=db)  # type: ignore[arg-type]
    addresses = Addresses(partition_of)
    reader = DomainReader(addresses, from_rows(node))
    seen: list[list[str]] = []
    reader.changed = lambda rows: seen.append([one.name for one in rows])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.run)
        await reader.known()
        assert seen == [["a.org"]]
        assert addresses.account("u@a.org")
        db.rows = (row("a.org", "rooms"), row("b.org"))
        reader.refresh()
        await wait_all_tasks_blocked()
        assert seen == [["a.org"], ["a.org", "b.org"]]
        assert addresses.place("r@a.org").kind is Kind.MUC
        assert addresses.account("u@b.org")
        nursery.cancel_scope.cancel()


class Accounts:
    """Answers GetDomains, after as many refusals as a test wants."""

    kind = Kind.ACCOUNT

    def __init__(self, node: Any, answer: Domains) -> None:
        self.node = node
        self.answer = answer
        self.refusals = 2
        self.partitions: list[int] = []

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        assert isinstance(item, Call)
        self.partitions.append(partition)
        if self.refusals:
            self.refusals -= 1
            self.node.bus.reply(item, StanzaError("internal-server-error"))
        else:
            self.node.bus.reply(item, self.answer)


@pytest.mark.parametrize("kinds", [(), ("accounts", "rooms")])
async def test_account_workers_are_asked_until_one_answers(
    kinds: tuple[str, ...], autojump_clock: object
) -> None:
    cluster = FakeCluster()
    edge, account = cluster.node("edge1", Kind.EDGE), cluster.node("account1", Kind.ACCOUNT)
    answer = Domains((("a.org", True, (("abuse", ("mailto:x",)),)), ("rooms.a.org", False, ())), kinds)
    worker = Accounts(account, answer)
    account.serve(worker)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.network.run)
        found = await from_account_workers(edge)()
        nursery.cancel_scope.cancel()
    # A worker of the previous version does not tell kinds: then all have accounts.
    assert found == [
        DomainRow("a.org", "accounts", True, (("abuse", ("mailto:x",)),)),
        DomainRow("rooms.a.org", kinds[1] if kinds else "accounts"),
    ]
    assert worker.partitions == [0, 1, 2]


@pytest.mark.parametrize(
    ("policy", "contacts"),
    [
        ("{}", ()),
        ("[]", ()),
        ({"contacts": 3}, ()),
        ({"contacts": {"b": ["x", "y"], "a": ["z"], "c": "no list"}}, (("a", ("z",)), ("b", ("x", "y")))),
    ],
)
def test_contacts_of_a_policy(policy: object, contacts: object) -> None:
    assert contacts_of(policy) == contacts

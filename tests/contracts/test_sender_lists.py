"""Lists of senders on a real Postgres: what is asked of their service and when, what its answers change, who is held against them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import trio
import trio.testing

from rookery.shared.bus.messages import Kind, Route
from rookery.shared.cluster.addresses import Addresses
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.cluster.sender_lists import SenderLists, hashed
from rookery.shared.config import Config, S2s
from rookery.shared.db import sender_lists
from rookery.shared.db.api import Database
from rookery.shared.xeps.pubsub import NS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.account import store as accounts
from rookery.workers.account.credentials import Keys
from rookery.workers.s2s.lists.strangers import Strangers
from rookery.workers.s2s.lists.subscriber import AGAIN, Subscriber
from rookery.workers.s2s.lists.wire import NS_EVENT

SERVICE, NODE = "lists.example", "bans"
NAME = f"{SERVICE}/{NODE}"
CONFIG = Config(s2s=S2s(enabled="on", block_lists=(NAME,)))
MALLORY, BOB = "mallory@bad.example", "bob@good.example"


def items(namespace: str, *addresses: str, gone: tuple[str, ...] = ()) -> Element:
    children = [Element(namespace, "item", {"id": hashed(one).hex()}) for one in addresses]
    children += [Element(namespace, "retract", {"id": hashed(one).hex()}) for one in gone]
    return Element(namespace, "items", {"node": NODE}, *children)


def event(*addresses: str, gone: tuple[str, ...] = (), service: str = SERVICE) -> Stanza:
    told = Element(NS_EVENT, "event", None, items(NS_EVENT, *addresses, gone=gone))
    return Stanza.build("message", told, type="headline", from_=service, to="one.org")


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110  polls a row's reader
            await trio.sleep(0.02)


class Lab:
    """A worker's parts, beside a service that the test plays."""

    def __init__(self, database: Database) -> None:
        self.db = database
        self.node = FakeCluster().node("s2s1", Kind.EDGE, config=CONFIG, db=database)
        self.addresses = Addresses(self.node.partition, federated=True)
        self.addresses.learn({"one.org": "accounts"})
        self.held = True
        self.subscriber = Subscriber(self.node, self.addresses, lambda _: self.held)  # type: ignore[arg-type]
        self.subscriber.learn(["one.org", "two.org"])
        self.asked: list[Stanza] = []
        self.node.bus.post = self._post  # type: ignore[method-assign,assignment]

    def _post(self, kind: Kind, partition: int, item: Any) -> None:
        assert kind is Kind.S2S
        assert isinstance(item, Route)
        self.asked.append(item.stanza)

    async def listed(self) -> frozenset[bytes]:
        return await self.db.run(0, lambda conn: sender_lists.entries(conn, [NAME]))

    async def versions(self) -> Mapping[str, int]:
        return await self.db.run(0, lambda conn: sender_lists.versions(conn, [NAME]))


async def test_a_list_is_read_as_a_whole_then_followed(database: Database) -> None:
    lab = Lab(database)
    lists = SenderLists(lab.node)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lab.subscriber.run)
        await until(lambda: len(lab.asked) == 2)
        assert [(one.type, one.from_, one.to) for one in lab.asked] == [
            ("set", "one.org", SERVICE),
            ("get", "one.org", SERVICE),
        ]
        whole = lab.asked[1].result(Element(NS, "pubsub", None, items(NS, MALLORY, "worse.example")))
        assert lab.subscriber.took(whole.replace(from_=SERVICE, to="one.org"))
        assert lab.subscriber.took(event("spam@x.example"))
        assert lab.subscriber.took(event(gone=(MALLORY,)))
        with trio.fail_after(10):
            while sum((await lab.versions()).values()) < 3:  # noqa: ASYNC110  another task writes
                await trio.sleep(0.02)
        assert await lab.listed() == {hashed("worse.example"), hashed("spam@x.example")}
        await lists._look()
        assert [lists.has(one) for one in (MALLORY, "spam@x.example", "anybody@worse.example", BOB)] == [
            False, True, True, False
        ]  # fmt: skip
        # What others say of it, and what is none of its business, changes nothing.
        assert not lab.subscriber.took(event(BOB, service="evil.example"))
        assert not lab.subscriber.took(event(BOB).replace(to="alice@one.org"))
        assert not lab.subscriber.took(Stanza.build("presence", from_=SERVICE, to="one.org"))
        nursery.cancel_scope.cancel()
    age = await database.run(0, lambda conn: sender_lists.age(conn, NAME))
    assert age < 60 < AGAIN


async def test_who_does_not_hold_the_partition_asks_nothing(database: Database) -> None:
    lab = Lab(database)
    lab.held = False
    with trio.move_on_after(0.2):
        await lab.subscriber.run()
    assert lab.asked == []


async def test_a_listed_sender_reaches_who_knows_it(database: Database) -> None:
    lab = Lab(database)

    async def people(conn: Any) -> None:
        await accounts.put_domain(conn, "one.org")
        keys = [Keys("SCRAM-SHA-256", 4096, b"salt", b"stored", b"server")]
        alice = await accounts.create_account(conn, "alice", "one.org", keys)
        await accounts.create_account(conn, "carol", "one.org", keys)
        await conn.execute(
            "INSERT INTO roster_item (account_id, contact, sub_from) VALUES ($1, $2, true)", alice, MALLORY
        )

    await database.run(0, people)
    lists = SenderLists(lab.node)  # type: ignore[arg-type]
    lists.learn(frozenset({hashed(MALLORY)}))
    strangers = Strangers(lab.node, lab.addresses, lists)  # type: ignore[arg-type]
    verdicts: list[tuple[str, str]] = []

    def asked(from_: str, to: str, kind: str = "message", type: str = "chat") -> bool:
        def decided(error: StanzaError | None) -> None:
            verdicts.append((to, "" if error is None else error.condition))

        return strangers.judges(Stanza.build(kind, type=type, from_=from_, to=to), decided)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(strangers.run)
        assert not asked(BOB, "carol@one.org")
        assert not asked(MALLORY, "carol@one.org", type="error")
        assert not asked(MALLORY, "one.org")
        assert not asked(MALLORY, "room@conference.one.org/nick")
        assert asked(f"{MALLORY}/x", "alice@one.org/phone")
        assert asked(MALLORY, "carol@one.org")
        assert asked(MALLORY, "carol@one.org", "presence", "subscribe")
        await until(lambda: len(verdicts) == 3)
        nursery.cancel_scope.cancel()
    refused = "policy-violation"
    assert verdicts == [("alice@one.org/phone", ""), ("carol@one.org", refused), ("carol@one.org", refused)]

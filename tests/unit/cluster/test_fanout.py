"""One stanza for many: few items, each recipient once, and no partition overtakes itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.bus.batch import pack_item
from rookery.shared.bus.fanout import by_partition
from rookery.shared.bus.messages import NOBODY, DeliverMany, Fanout, Item, Kind, Origin, Route
from rookery.shared.bus.subjects import partition_of
from rookery.shared.cluster.fanout import MAX_CHARACTERS, MAX_RECIPIENTS, fan_out
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

STANZA = Stanza.build(
    "message",
    Element("jabber:client", "body", {}, "x" * 100),
    Element("urn:xmpp:sid:0", "origin-id", {"id": "0f9c1d1e-8a44-4a0b-9d3c-2a7a5a0f7a11"}),
    Element("urn:xmpp:sid:0", "stanza-id", {"by": "room@conference.example.org", "id": "3c9f0a7be2d14c55"}),
    type="groupchat",
    from_="room@conference.example.org/nick",
    id="0f9c1d1e-8a44-4a0b-9d3c-2a7a5a0f7a11",
)
UID = Origin(b"room", 7, "muc1")


class Bus:
    """Remembers what was posted: to processes, and to partitions."""

    def __init__(self, holders: dict[int, tuple[str, int]]) -> None:
        self.holders = holders
        self.sent: list[tuple[str, int, int, Fanout]] = []
        self.parked: list[tuple[int, Fanout]] = []

    def holder(self, kind: Kind, partition: int) -> tuple[str, int] | None:
        assert kind is Kind.ROUTER
        return self.holders.get(partition)

    def post(self, kind: Kind, partition: int, item: Item) -> None:
        assert kind is Kind.ROUTER
        assert isinstance(item, Fanout)
        self.parked.append((partition, item))

    def post_to(
        self, incarnation: str, item: Item, *, kind: Kind = Kind.EDGE, partition: int = 0, epoch: int = 0
    ) -> None:
        assert kind is Kind.ROUTER
        assert isinstance(item, Fanout)
        self.sent.append((incarnation, partition, epoch, item))


@given(st.lists(st.integers(0, 255), max_size=60), st.integers(1, 4))
def test_each_recipient_is_in_one_item_of_its_holder(partitions: list[int], routers: int) -> None:
    recipients = [(f"u{n}@one.org", partition) for n, partition in enumerate(partitions)]
    known = dict(recipients)
    bus = Bus({p: (f"router{p % routers}", p + 1) for p in range(256) if p % 5 != 4})
    assert fan_out(bus, STANZA, recipients, UID) == len(recipients)
    items = [item for *_, item in bus.sent] + [item for _, item in bus.parked]
    assert sorted(jid for item in items for jid in item.recipients) == sorted(known)
    assert {(item.stanza, item.origin) for item in items} <= {(STANZA, UID)}
    for name, partition, epoch, item in bus.sent:
        assert item.runs[0][:2] == (partition, epoch)
        for number, its_epoch, one in by_partition(item):
            assert bus.holders[number] == (name, its_epoch)
            assert {known[jid] for jid in one.recipients} == {number}
    assert len({name for name, *_ in bus.sent}) == len(bus.sent)
    # What nobody holds goes by its own partition, where it waits behind what waits there.
    assert all(not item.runs and {known[j] for j in item.recipients} == {p} for p, item in bus.parked)
    assert len({p for p, _ in bus.parked}) == len(bus.parked)


def test_a_long_audience_is_cut() -> None:
    recipients = [(f"u{n}@one.org", n % 2) for n in range(MAX_RECIPIENTS * 2 + 1)]
    bus = Bus({0: ("router", 1), 1: ("router", 1)})
    assert fan_out(bus, STANZA, recipients) == len(recipients)
    assert sum(len(item.recipients) for *_, item in bus.sent) == len(recipients)
    assert max(len(item.recipients) for *_, item in bus.sent) <= MAX_RECIPIENTS
    assert len(bus.sent) <= 4


def test_long_names_make_more_items() -> None:
    recipients = [(f"{n}@one.org/" + "r" * 1000, 7) for n in range(500)]
    bus = Bus({})
    fan_out(bus, STANZA, recipients)
    assert [jid for _, item in bus.parked for jid in item.recipients] == [jid for jid, _ in recipients]
    assert all(sum(map(len, item.recipients)) <= MAX_CHARACTERS for _, item in bus.parked)


def test_a_room_of_a_thousand_costs_eight_items_and_little_more_than_its_names() -> None:
    """1 000 occupants, 20 edges, 8 routers: what one groupchat message weighs on the bus, packed.

    One Route for each would be 1 000 items and half a megabyte, and as much again as Deliver.
    """
    occupants = [f"somebody{n:04}@example.org/desktop-{n:08x}" for n in range(1000)]
    at = {jid: partition_of(jid.partition("/")[0], 256) for jid in occupants}
    bus = Bus({p: (f"router{p % 8}", 1_000 + p) for p in range(256)})
    fan_out(bus, STANZA, at.items(), UID)
    assert len(bus.sent) == 8
    size = sum(len(pack_item((Kind.ROUTER, p, e, item, 0))) for _, p, e, item in bus.sent)
    alone = sum(
        len(pack_item((Kind.ROUTER, p, 1, Route(UID, STANZA.replace(to=j)), 0))) for j, p in at.items()
    )
    names = sum(map(len, occupants))
    assert size < names + 8 * 1024
    assert size * 5 < alone
    # Then one item for each edge from each router, however many partitions its recipients are in.
    items = 0
    delivered = 0
    for *_, item in bus.sent:
        by_edge: dict[int, list[tuple[int, int, int, str]]] = {}
        for n, jid in enumerate(item.recipients):
            by_edge.setdefault(n % 20, []).append((100_000 + n, 1_000 << 32 | n, 5_000, jid))
        items += len(by_edge)
        delivered += sum(
            len(pack_item((Kind.EDGE, 0, 0, DeliverMany(STANZA, targets, UID.stream, UID.n), 0)))
            for targets in by_edge.values()
        )
    assert items == 160
    assert delivered < 144 * 1024


def test_without_a_uid_nothing_is_said_of_one() -> None:
    bus = Bus({1: ("router", 1)})
    fan_out(bus, STANZA, [("a@x", 1)])
    assert bus.sent == [("router", 1, 1, Fanout(STANZA, ["a@x"], NOBODY, [(1, 1, 1)]))]

"""Which notifications clients want (XEP-0163), through a whole router: learned once for each hash, given once to each session."""

from __future__ import annotations

from tests.unit.router.rig import DOMAIN, Client, Rig, rig

from rookery.shared.bus.messages import NODE, Interest, Kind, LastItems, Origin
from rookery.shared.cluster.fanout import fan_out
from rookery.shared.xeps._disco import NS_INFO, info
from rookery.shared.xeps.entity_caps import NS, verification_string
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

OWNER = f"owner@{DOMAIN}"
MOOD = "http://jabber.org/protocol/mood"
STREAM = NODE + b"\0" * 7 + b"\1"


def query(*names: str) -> Element:
    return info("client", "pc", "T", [NS, *(f"{name}+notify" for name in names)])


def caps(ver: str, algo: str = "sha-1") -> Element:
    return Element(NS, "c", {"hash": algo, "node": "urn:client", "ver": ver})


def appear(client: Client, ver: str) -> None:
    client.submit(Stanza.build("presence", caps(ver)))


def asked(client: Client) -> list[Stanza]:
    return [one for one in client.news() if one.kind == "iq" and one.type == "get" and one.has(NS_INFO)]


def answer(client: Client, iq: Stanza, *names: str) -> None:
    client.submit(Stanza.build("iq", query(*names), type="result", id=iq.id, to=client.bare))


def told(n: int) -> Stanza:
    event = Element("http://jabber.org/protocol/pubsub#event", "event", None, str(n))
    return Stanza.build("message", event, type="headline", from_=OWNER)


async def notify(it: Rig, n: int, *bares: str, name: str = MOOD) -> None:
    node = it.workers[Kind.PUBSUB]
    fan_out(
        node.bus, told(n), [(jid, node.partition(jid)) for jid in bares], Origin(STREAM, n, ""), notify=name
    )
    await it.settle()


def heard(client: Client) -> list[str]:
    return [one.elements()[0].text for one in client.news() if one.kind == "message"]


def interests(it: Rig) -> list[Interest]:
    node = it.workers[Kind.PUBSUB]
    found = [item for *_, item in node.received if isinstance(item, Interest)]
    node.received.clear()
    return found


async def test_one_client_is_asked_and_all_with_its_hash_are_told() -> None:
    async with rig() as it:
        ver = verification_string(query(MOOD))
        clients = [await it.bind(f"u{n}") for n in range(3)]
        for client in clients:
            appear(client, ver)
        await it.settle()
        questions = {client.full: asked(client) for client in clients}
        ((full, (iq,)),) = [(full, found) for full, found in questions.items() if found]
        assert iq.elements()[0].get("node") == f"urn:client#{ver}"
        first = next(client for client in clients if client.full == full)
        answer(first, iq, MOOD)
        await it.settle()
        assert sorted(item.full for item in interests(it)) == sorted(c.full for c in clients)
        await notify(it, 1, *(client.bare for client in clients))
        await notify(it, 1, *(client.bare for client in clients))
        assert [heard(client) for client in clients] == [["1"]] * 3
        await notify(it, 2, *(client.bare for client in clients), name="urn:other")
        assert [heard(client) for client in clients] == [[]] * 3


async def learned(it: Rig, *names: str) -> Client:
    """A session whose client wants notifications."""
    client = await it.bind("alice")
    appear(client, verification_string(query(*names)))
    await it.settle()
    (iq,) = asked(client)
    answer(client, iq, *names)
    await it.settle()
    return client


async def test_an_answer_that_has_another_hash_counts_for_its_session_alone() -> None:
    """XEP-0115 section 5.4: the others are asked."""
    async with rig() as it:
        ver = verification_string(query(MOOD))
        first, second = await it.bind("u1"), await it.bind("u2")
        for client in (first, second):
            appear(client, ver)
            await it.settle()
        (iq,) = asked(first)
        answer(first, iq, MOOD, "urn:more")
        await it.settle()
        (iq,) = asked(second)
        answer(second, iq, MOOD)
        await it.settle()
        await notify(it, 1, first.bare, second.bare, name="urn:more")
        assert (heard(first), heard(second)) == (["1"], [])
        await notify(it, 2, first.bare, second.bare)
        assert (heard(first), heard(second)) == (["2"], ["2"])


async def test_a_presence_without_capabilities_asks_nothing() -> None:
    async with rig() as it:
        client = await it.online("alice")
        assert (asked(client), interests(it)) == ([], [])
        await notify(it, 1, client.bare)
        assert heard(client) == []


async def test_a_successor_knows_what_sessions_want_and_what_they_were_told() -> None:
    async with rig() as it:
        client = await learned(it, MOOD)
        await notify(it, 1, client.bare)
        assert heard(client) == ["1"]
        await it.start_router("router2")
        await it.settle()
        for n in (1, 2):
            await notify(it, n, client.bare)
        assert heard(client) == ["2"]
        assert asked(client) == []


async def test_last_items_come_once_and_never_behind_newer_ones() -> None:
    async with rig() as it:
        client = await learned(it, MOOD)
        (interest,) = interests(it)
        assert interest.names == (MOOD,)
        await notify(it, 5, client.bare)
        assert heard(client) == ["5"]
        node = it.workers[Kind.PUBSUB]
        other = NODE + b"\0" * 7 + b"\2"
        items = ((STREAM, 4, told(4)), (STREAM, 5, told(5)), (other, 1, told(1)))
        for stream in (client.stream, b"another", client.stream):
            node.bus.post(Kind.ROUTER, node.partition(client.bare), LastItems(client.full, stream, items))
        await it.settle()
        assert heard(client) == ["1"]


async def test_the_last_items_of_a_blocked_sender_are_left_out() -> None:
    """XEP-0191 section 3.3: the worker may have read them before the sender was blocked."""
    async with rig() as it:
        client = await learned(it, MOOD)
        node = it.workers[Kind.PUBSUB]
        other, own = NODE + b"\0" * 7 + b"\2", NODE + b"\0" * 7 + b"\3"
        senders = {STREAM: OWNER, other: f"friend@{DOMAIN}", own: client.bare}
        # A whole domain, too, but never what the account itself has.
        for n, blocked, expected in ((1, [OWNER], 2), (2, [DOMAIN], 1), (3, [], 3)):
            it.db.blocked[client.bare] = blocked
            await it.change(client.bare.partition("@")[0], "blocklist")
            items = [(stream, n, told(n).replace(from_=sender)) for stream, sender in senders.items()]
            node.bus.post(
                Kind.ROUTER, node.partition(client.bare), LastItems(client.full, client.stream, items)
            )
            await it.settle()
            from_ = [one.from_ for one in client.news() if one.kind == "message"]
            assert from_ == list(senders.values())[3 - expected :], blocked

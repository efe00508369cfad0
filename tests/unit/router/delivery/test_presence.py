"""Presence of the own resources (RFC 6121 section 4) and what goes out in their name."""

from __future__ import annotations

import pytest
from tests.unit.router.rig import DOMAIN, Client, Rig, condition, rig

from rookery.router.accounts.session import MAX_DIRECTED
from rookery.router.delivery.presence import priority_of
from rookery.shared.bus.messages import (
    Broadcast,
    Fanout,
    Handle,
    Kind,
    LastSeen,
    Probe,
    SendPresence,
    SessionUp,
    ToResources,
)
from rookery.shared.xeps.avatar_conversion import METADATA, UPDATE
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = f"bob@{DOMAIN}"


def told(client: Client) -> list[tuple[str, str, str]]:
    """(from, type, to) of the presence news."""
    return [(one.from_, one.type, one.to) for one in client.news() if one.kind == "presence"]


def with_priority(text: str) -> Stanza:
    return Stanza.build("presence", Element("jabber:client", "priority", {}, text))


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("127", 127), ("-128", -128), ("+5", 5), (" 7 ", 7), ("007", 7)]
)
def test_priorities(text: str, value: int) -> None:
    assert priority_of(with_priority(text)) == value


@pytest.mark.parametrize("text", ["128", "-129", "", "x", "1.0", "１", "1_0", "- 1", "--1", "9" * 300, "0x1"])
def test_wrong_priorities(text: str) -> None:
    with pytest.raises(StanzaError, match="bad-request"):
        priority_of(with_priority(text))


def test_no_priority_is_zero() -> None:
    assert priority_of(Stanza.build("presence")) == 0


async def test_initial_presence_is_told_to_all_own_resources_and_workers() -> None:
    async with rig() as it:
        one = await it.online("bob", "one", 1)
        it.seen(Kind.PRESENCE), it.seen(Kind.ROSTER)
        two = await it.bind("bob", "two")
        origin = two.presence(2)
        await it.settle()
        assert told(one) == [(two.full, "", one.full)]
        assert sorted(told(two)) == [(one.full, "", two.full), (two.full, "", two.full)]
        (broadcast,) = it.seen(Kind.PRESENCE, Broadcast)
        assert (broadcast.account, broadcast.full, broadcast.initial) == (BOB, two.full, True)
        (up,) = it.seen(Kind.ROSTER, SessionUp)
        assert (up.full, up.grant, up.priority) == (two.full, two.grant, 2)
        assert it.accepted(origin)
        assert two.note


async def test_an_update_is_no_initial_presence() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        it.seen(Kind.PRESENCE), it.seen(Kind.ROSTER)
        bob.presence(5)
        await it.settle()
        (broadcast,) = it.seen(Kind.PRESENCE, Broadcast)
        assert not broadcast.initial
        assert it.seen(Kind.ROSTER, SessionUp) == []
        assert told(bob) == [(bob.full, "", bob.full)]


async def test_the_written_default_type_counts_as_available() -> None:
    async with rig() as it:
        bob = await it.bind("bob")
        bob.presence(type="available")
        await it.settle()
        assert told(bob) == [(bob.full, "", bob.full)]
        (broadcast,) = it.seen(Kind.PRESENCE, Broadcast)
        assert broadcast.initial
        assert broadcast.stanza.type == ""


@pytest.mark.parametrize("how", ["presence", "unbind", "edge"])
async def test_unavailable_is_told_however_it_comes(how: str) -> None:
    async with rig() as it:
        one, two = await it.online("bob", "one"), await it.online("bob", "two", edge="edge2")
        carol = await it.online("carol")
        two.presence(to=carol.bare)
        await it.settle()
        assert told(carol) == [(two.full, "", carol.bare)]
        one.news(), it.seen(Kind.PRESENCE), it.seen(Kind.ACCOUNT)
        if how == "presence":
            two.presence(type="unavailable")
        elif how == "unbind":
            two.unbind()
        else:
            it.edges.pop("edge2")
            it.cluster.lose("edge2")
        await it.settle()
        assert told(one) == [(two.full, "unavailable", one.full)]
        assert told(carol) == [(two.full, "unavailable", carol.bare)]
        (broadcast,) = it.seen(Kind.PRESENCE, Broadcast)
        assert (broadcast.full, broadcast.stanza.type, broadcast.initial) == (two.full, "unavailable", False)
        assert it.seen(Kind.ACCOUNT, LastSeen) == []
        if how == "presence":
            assert told(two)[-1] == (two.full, "unavailable", two.full)


async def test_the_last_resource_leaves_when_and_why() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        bob.submit(
            Stanza.build("presence", Element("jabber:client", "status", {}, "bye"), type="unavailable")
        )
        await it.settle()
        assert it.seen(Kind.ACCOUNT, LastSeen) == [LastSeen(BOB, int(it.now * 1000), "bye")]
        bob.unbind()
        await it.settle()
        assert it.seen(Kind.ACCOUNT, LastSeen) == []


async def test_unavailable_without_having_been_available_tells_nobody() -> None:
    async with rig() as it:
        bob = await it.bind("bob")
        origin = bob.presence(type="unavailable")
        await it.settle()
        assert it.seen(Kind.PRESENCE, Broadcast) == []
        assert it.accepted(origin)


async def test_directed_presence_before_the_initial_one_ends_with_the_session() -> None:
    async with rig() as it:
        bob, carol = await it.bind("bob"), await it.online("carol")
        bob.presence(to=carol.full)
        await it.settle()
        bob.unbind()
        await it.settle()
        assert told(carol) == [(bob.full, "", carol.full), (bob.full, "unavailable", carol.full)]


async def test_directed_unavailable_is_not_repeated_at_the_end() -> None:
    async with rig() as it:
        bob, carol = await it.bind("bob"), await it.online("carol")
        bob.presence(to=carol.bare)
        bob.presence(type="unavailable", to=carol.bare)
        bob.unbind()
        await it.settle()
        assert [type for _, type, _ in told(carol)] == ["", "unavailable"]


async def test_directed_presence_is_bounded() -> None:
    async with rig() as it:
        bob = await it.bind("bob")
        for n in range(MAX_DIRECTED + 1):
            bob.presence(to=f"u{n}@{DOMAIN}")
        await it.settle()
        assert [condition(one) for one in bob.news()] == ["resource-constraint"]


@pytest.mark.parametrize(
    ("stanza", "expected"),
    [
        (with_priority("128"), "bad-request"),
        (Stanza.build("presence", type="surprise"), "bad-request"),
        (Stanza.build("presence", type="surprise", to=BOB), "bad-request"),
        (Stanza.build("presence", type="subscribe"), "bad-request"),
        (Stanza.build("presence", type="subscribe", to="x@elsewhere.example"), "remote-server-not-found"),
        (Stanza.build("presence", to="x@elsewhere.example"), "remote-server-not-found"),
    ],
)
async def test_wrong_presence_is_answered(stanza: Stanza, expected: str) -> None:
    async with rig() as it:
        alice = await it.bind("alice")
        origin = alice.submit(stanza)
        await it.settle()
        assert [condition(one) for one in alice.news()] == [expected]
        assert it.accepted(origin)
        assert it.seen(Kind.PRESENCE, Broadcast) == []


@pytest.mark.parametrize(
    "stanza",
    [
        Stanza.build("presence", to=DOMAIN),
        Stanza.build("presence", type="error"),
        Stanza.build("presence", type="probe"),
        Stanza.build("presence", to=f"nobody@{DOMAIN}"),
        Stanza.build("presence", type="unavailable", to=f"{BOB}/gone"),
    ],
)
async def test_presence_to_nobody_is_ignored(stanza: Stanza) -> None:
    async with rig() as it:
        it.account("bob")
        alice = await it.bind("alice")
        origin = alice.submit(stanza)
        await it.settle()
        assert alice.news() == []
        assert it.accepted(origin)


@pytest.mark.parametrize("type", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
async def test_subscriptions_pass_both_roster_workers(type: str) -> None:
    async with rig() as it:
        it.account("bob")
        alice = await it.online("alice")
        it.seen(Kind.ROSTER)
        origin = alice.submit(Stanza.build("presence", type=type, to=f"{BOB}/somewhere"))
        await it.settle()
        (out,) = it.seen(Kind.ROSTER, Handle)
        assert (out.account, out.full, out.outbound, out.stanza.to) == (alice.bare, alice.full, True, BOB)
        assert not it.accepted(origin)
        alice.route(out.stanza.replace(from_=alice.bare), origin.n)
        await it.settle()
        (inbound,) = it.seen(Kind.ROSTER, Handle)
        assert (inbound.account, inbound.outbound, inbound.stanza.to) == (BOB, False, BOB)
        assert not it.accepted(origin)


async def test_a_probe_is_for_the_presence_worker() -> None:
    async with rig() as it:
        it.account("bob")
        alice = await it.online("alice")
        it.seen(Kind.PRESENCE)
        alice.route(Stanza.build("presence", type="probe", to=BOB))
        await it.settle()
        assert it.seen(Kind.PRESENCE, Probe) == [Probe(alice.full, BOB)]


async def from_worker(it: Rig, bare: str, item: object) -> None:
    node = it.workers[Kind.PRESENCE]
    node.bus.post(Kind.ROUTER, node.partition(bare), item)  # type: ignore[arg-type]
    await it.settle()


async def test_presence_is_sent_for_each_available_resource_or_once_for_none() -> None:
    async with rig() as it:
        carol = await it.online("carol")
        one, _bound = await it.online("bob", "one"), await it.bind("bob", "bound")
        for available in (True, False):
            await from_worker(it, BOB, SendPresence(BOB, carol.bare, available, probe=True))
        assert told(carol) == [(one.full, "", carol.bare), (one.full, "unavailable", carol.bare)]
        one.unbind()
        await it.settle()
        carol.news()
        await from_worker(it, BOB, SendPresence(BOB, carol.bare, True, probe=True))
        await from_worker(it, BOB, SendPresence(BOB, carol.bare, True))
        assert told(carol) == [(BOB, "unavailable", carol.bare)]


async def test_available_presence_is_not_sent_to_a_blocked_contact() -> None:
    async with rig() as it:
        it.account("bob")
        it.db.blocked[BOB] = [f"carol@{DOMAIN}"]
        carol, bob = await it.online("carol"), await it.online("bob")
        await from_worker(it, BOB, SendPresence(BOB, carol.bare, True))
        assert told(carol) == []
        await from_worker(it, BOB, SendPresence(BOB, carol.bare, False))
        assert told(carol) == [(bob.full, "unavailable", carol.bare)]


async def test_a_fanout_reaches_available_resources_of_all_partitions_with_their_own_address() -> None:
    async with rig() as it:
        names = [f"u{n}" for n in range(8)]
        clients = [await it.online(name, edge=f"edge{n % 2 + 1}") for n, name in enumerate(names)]
        shy = await it.bind("u0", "bound-only")
        clients[0].news()
        it.db.blocked[clients[3].bare] = [f"alice@{DOMAIN}"]
        await it.change("u3", "blocklist")
        stanza = Stanza.build("presence", from_=f"alice@{DOMAIN}/r")
        recipients = [client.bare for client in clients] + [f"offline@{DOMAIN}"]
        await from_worker(it, clients[0].bare, Fanout(stanza, recipients))
        for client in clients:
            expected = [] if client is clients[3] else [(stanza.from_, "", client.bare)]
            assert told(client) == expected
        assert told(shy) == []


async def test_to_resources_names_its_targets_by_mark_availability_or_full_jid() -> None:
    async with rig() as it:
        one, two = await it.online("bob", "one"), await it.bind("bob", "two")
        one.submit(Stanza.build("iq", Element("jabber:iq:roster", "query"), type="get", id="r"))
        await it.settle()
        one.news()
        push = Stanza.build("iq", Element("jabber:iq:roster", "query"), type="set", id="x")
        for which, expected in {
            "interested": (1, 0),
            "blocklist": (0, 0),
            "available": (1, 0),
            "all": (1, 1),
            two.full: (0, 1),
        }.items():
            await from_worker(it, BOB, ToResources(BOB, which, push))
            got = one.news(), two.news()
            assert (len(got[0]), len(got[1])) == expected
            assert all(stanza.to == one.full for stanza in got[0])
        await from_worker(
            it, BOB, ToResources(BOB, "available", Stanza.build("presence", type="subscribe", to=BOB))
        )
        assert [stanza.to for stanza in one.news()] == [BOB]
        ids = [d.stanza.id for client in (one, two) for d in client.taken if d.stanza.kind == "iq"]
        assert len(ids) == len(set(ids)) == 5


async def test_a_new_avatar_is_in_presence_that_is_told_later() -> None:
    """XEP-0398 section 4: every available presence; what was sent before is not sent again."""
    async with rig() as it:
        bob, carol = await it.online("bob", "one"), await it.online("carol")
        for digest in ("a" * 40, "b" * 40):
            metadata = f"<metadata xmlns='{METADATA}'><info id='{digest}' type='image/png'/></metadata>"
            it.db.avatars[BOB] = metadata.encode()
            await it.change("bob", "avatar")
            assert carol.news() == []
            await from_worker(it, BOB, SendPresence(BOB, carol.full, True, probe=True))
            (told,) = carol.news()
            assert told.inner == f"<x xmlns='{UPDATE}'><photo>{digest}</photo></x>".encode()
        # Its other resources see it, too, and so does the next holder.
        another = await it.online("bob", "two")
        assert digest.encode() in bob.note
        assert another.bare == BOB


async def test_presence_carries_the_hash_of_an_avatar() -> None:
    """XEP-0398 section 4: broadcast and directed; what the client says of a picture stays."""
    digest = "a" * 40
    metadata = f"<metadata xmlns='{METADATA}'><info id='{digest}' type='image/png'/></metadata>".encode()
    x = f"<x xmlns='{UPDATE}'><photo>{digest}</photo></x>".encode()
    async with rig() as it:
        it.db.avatars[BOB] = metadata
        bob, carol = await it.online("bob", "one"), await it.online("carol")
        assert it.seen(Kind.PRESENCE, Broadcast)[0].stanza.inner == x
        bob.presence(to=carol.full)
        await it.settle()
        assert carol.news()[-1].inner == x
        empty = Element(UPDATE, "x", None, Element(UPDATE, "photo"))
        bob.submit(Stanza.build("presence", empty))
        await it.settle()
        assert it.seen(Kind.PRESENCE, Broadcast)[-1].stanza.inner == empty.encode()
        assert carol.news() == []

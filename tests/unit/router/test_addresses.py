"""The router's onward step: to whatever kind serves an address, or refused at once."""

from __future__ import annotations

import pytest
from tests.unit.router.rig import DOMAIN, Rig, chat, condition, rig

from rookery.shared.bus.kinds import KINDS
from rookery.shared.bus.messages import Kind, Route
from rookery.shared.config import Config
from rookery.shared.federation_settings import S2s
from rookery.shared.xmpp.stanza import Stanza

ROOMS = "rooms.example.org"
ROOM = f"room@{ROOMS}"


async def with_rooms(it: Rig, kind: str = "rooms") -> None:
    it.db.domains.append(ROOMS)
    it.db.kinds[ROOMS] = kind
    it.router.domains.reader.refresh()
    await it.settle()


SENT = {
    "message": chat(ROOM, id="m"),
    "iq": Stanza.build("iq", type="get", to=ROOM, id="q").replace(
        payloads=(("u", "q"),), inner=b"<q xmlns='u'/>"
    ),
    "iq to the service": Stanza.build("iq", type="get", to=ROOMS, id="q").replace(
        payloads=(("u", "q"),), inner=b"<q xmlns='u'/>"
    ),
    "join": Stanza.build("presence", to=f"{ROOM}/nick"),
    "probe": Stanza.build("presence", type="probe", to=ROOM),
}


@pytest.mark.parametrize("name", SENT)
async def test_a_kind_that_is_not_built_is_refused_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, Kind.COMPONENT, KINDS[Kind.COMPONENT]._replace(service=""))
    async with rig() as it:
        await with_rooms(it, "component")
        alice = await it.online("alice")
        origin = alice.submit(SENT[name])
        await it.settle()
        assert [condition(one) for one in alice.news()] == ["service-unavailable"]
        assert it.accepted(origin)


@pytest.mark.parametrize("name", SENT)
async def test_a_kind_that_is_built_gets_the_route(name: str) -> None:
    async with rig() as it:
        it.workers[Kind.MUC] = node = it.cluster.node("muc", Kind.MUC)
        await with_rooms(it)
        alice = await it.online("alice")
        origin = alice.submit(SENT[name])
        await it.settle()
        assert alice.news() == []
        assert not it.accepted(origin), "the room accepts it"
        ((_, kind, partition, _, item),) = node.received
        assert isinstance(item, Route)
        assert item.origin == origin._replace(custodian="router1"), "the router keeps it until it is accepted"
        assert item.stanza == SENT[name].replace(from_=alice.full)
        assert (kind, partition) == (Kind.MUC, node.partition(SENT[name].to.partition("/")[0]))


async def test_another_server_gets_what_is_for_it_once_there_is_s2s() -> None:
    async with rig(Config(s2s=S2s(enabled="on"))) as it:
        node = it.cluster.node("s2s", Kind.S2S)
        alice = await it.online("alice")
        alice.submit(chat("bob@far.example/r"))
        await it.settle()
        ((_, kind, partition, _, item),) = node.received
        assert isinstance(item, Route)
        assert (kind, partition) == (Kind.S2S, node.partition("far.example"))


async def test_what_an_edge_that_knows_no_kinds_sends_here_goes_on() -> None:
    async with rig() as it:
        node = it.cluster.node("muc", Kind.MUC)
        await with_rooms(it)
        alice = await it.online("alice")
        origin = alice.route(chat(ROOM))
        await it.settle()
        assert [one[4].origin for one in node.received if isinstance(one[4], Route)] == [origin]
        assert not it.accepted(origin)


async def test_a_domain_of_accounts_itself_is_answered_by_the_own_router() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        ping = Stanza.build("iq", type="get", to=DOMAIN, id="p").replace(
            payloads=(("urn:xmpp:ping", "ping"),), inner=b"<ping xmlns='urn:xmpp:ping'/>"
        )
        alice.submit(ping)
        alice.submit(chat(DOMAIN))
        await it.settle()
        assert sorted(one.type for one in alice.news()) == ["error", "result"]


async def test_a_domain_that_becomes_one_of_rooms_has_no_accounts_any_more() -> None:
    async with rig() as it:
        it.db.domains.append("other.example")
        it.router.domains.reader.refresh()
        await it.settle()
        alice = await it.online("alice")
        alice.submit(chat("bob@other.example"))
        await it.settle()
        assert [condition(one) for one in alice.news()] == ["service-unavailable"]
        it.db.kinds["other.example"] = "rooms"
        it.router.domains.reader.refresh()
        await it.settle()
        assert not it.router.core.addresses.account("bob@other.example")
        assert it.router.core.addresses.local("bob@other.example")

"""Requests that are delegated to components (XEP-0355), and presence of other servers that components hear of (XEP-0356), at the router."""

from __future__ import annotations

import json

from tests.unit.router.rig import DOMAIN, condition, rig

from rookery.shared.bus.messages import Handle, Kind, Origin, Route, Seen
from rookery.shared.config import Config
from rookery.shared.federation_settings import S2s
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

PEP, SPACE = f"pep.{DOMAIN}", "urn:pubsub"
BOB = f"bob@{DOMAIN}"
POLICY = json.dumps({"delegations": {SPACE: [], "jabber:iq:roster": ["x"]}})
ROMEO = "romeo@far.example/r"
AFAR = Config(s2s=S2s(enabled="on"))


def request(to: str, space: str = SPACE, id: str = "q1") -> Stanza:
    return Stanza.build("iq", Element(space, "query"), type="get", to=to, id=id)


async def test_requests_to_oneself_to_others_and_to_the_domain_are_handed_to_the_component() -> None:
    """Section 4.3: no `to`, the server, any bare JID; nothing else, and not what is not delegated (note 3)."""
    async with rig() as it:
        await it.host(PEP, "component", POLICY)
        alice, bob = await it.online("alice"), await it.online("bob")
        bob.news()
        for n, to in enumerate(("", alice.bare, DOMAIN)):
            alice.submit(request(to, id=f"own{n}"))
        alice.route(request(BOB, id="other"))
        await it.settle()
        handed = it.seen(Kind.COMPONENT, Handle)
        assert [(one.account, one.full, one.stanza.id) for one in handed] == [
            (PEP, alice.full, "own0"),
            (PEP, alice.full, "own1"),
            (PEP, alice.full, "own2"),
            (PEP, alice.full, "other"),
        ]
        alice.submit(request("", "jabber:iq:roster", id="roster"))
        alice.route(request(bob.full, id="full"))
        await it.settle()
        assert it.seen(Kind.COMPONENT, Handle) == []
        assert [one.stanza.id for one in it.seen(Kind.ROSTER, Handle)] == ["roster"]
        assert [one.id for one in bob.news()] == ["full"]


async def test_a_request_of_another_server_is_handed_on_and_what_the_component_asks_is_not() -> None:
    """Section 4.3.1: MUST NOT forward what the managing entity sends."""
    async with rig(AFAR) as it:
        await it.host(PEP, "component", POLICY)
        alice = await it.online("alice")
        for n, (sender, to) in enumerate(
            ((ROMEO, BOB), (ROMEO, DOMAIN), (PEP, BOB), (f"bot@{PEP}/x", DOMAIN))
        ):
            stanza = request(to, id=f"r{n}").replace(from_=sender)
            it.account("bob")
            it.workers[Kind.COMPONENT].bus.post(
                Kind.ROUTER, it.edge().node.partition(to if "@" in to else sender.partition("/")[0]),
                Route(Origin(b"t" * 16, n + 1, ""), stanza),
            )  # fmt: skip
        await it.settle()
        assert sorted(one.stanza.id for one in it.seen(Kind.COMPONENT, Handle)) == ["r0", "r1"]
        alice.submit(request("", "urn:other", id="mine"))
        await it.settle()
        assert [condition(one) for one in alice.news() if one.id == "mine"] == ["service-unavailable"]


async def test_presence_of_other_servers_is_shown_to_the_presence_worker_where_a_component_may_hear_it() -> (
    None
):
    """XEP-0356 section 7.4: also while the user is not there; no subscriptions, no own resources, nothing without the grant."""
    for granted in (True, False):
        async with rig(AFAR) as it:
            roster = {"roster": "get", "presence": "roster" if granted else "managed_entity"}
            await it.host(PEP, "component", json.dumps({"privileges": roster}))
            it.account("bob")
            for n, (sender, type) in enumerate(
                ((ROMEO, ""), (ROMEO, "unavailable"), (ROMEO, "subscribed"), (f"{BOB}/x", ""))
            ):
                stanza = Stanza.build("presence", type=type, from_=sender, to=BOB)
                it.workers[Kind.COMPONENT].bus.post(
                    Kind.ROUTER, it.edge().node.partition(BOB), Route(Origin(b"t" * 16, n + 1, ""), stanza)
                )
            await it.settle()
            seen = [(one.account, one.stanza.type) for one in it.seen(Kind.PRESENCE, Seen)]
            assert seen == ([(BOB, ""), (BOB, "unavailable")] if granted else [])

"""What presence of other servers' users says of their clients goes to the keeper of the account's nodes; nobody else's does."""

from __future__ import annotations

from tests.unit.router.delivery.test_interests import caps, query
from tests.unit.router.rig import DOMAIN, Rig, rig

from rookery.shared.bus.messages import Kind, Origin, Route, TheirAnswer, TheirPresence
from rookery.shared.xeps.client_caps import THEIRS
from rookery.shared.xmpp.stanza import Stanza

FULL = "romeo@other.net/orchard"


def told(it: Rig) -> list[TheirPresence | TheirAnswer]:
    return it.seen(Kind.PUBSUB, TheirPresence, TheirAnswer)


async def test_capabilities_of_other_servers_users_are_passed_on() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        for stanza in (
            Stanza.build("presence", caps("v1"), from_=FULL, to=alice.bare),
            Stanza.build("presence", from_=FULL, to=alice.bare),
            Stanza.build("presence", caps("v1"), from_=FULL.partition("/")[0], to=alice.bare),
            Stanza.build("presence", caps("v1", "md5"), from_=FULL, to=alice.bare),
            Stanza.build("presence", caps("v2"), from_=FULL, to=alice.full),
            Stanza.build("presence", type="unavailable", from_=FULL, to=alice.bare),
            Stanza.build("presence", caps("v1"), from_=FULL, to=f"nobody@{DOMAIN}"),
        ):
            it.edge().post(stanza.to, Route(Origin(b"", 0, ""), stanza))
        await it.settle()
        assert told(it) == [
            TheirPresence(alice.bare, FULL, "sha-1", "v1", "urn:client#v1"),
            TheirPresence(alice.bare, FULL, "sha-1", "v2", "urn:client#v2"),
            TheirPresence(alice.bare, FULL, "", "", ""),
        ]


async def test_answers_to_the_keepers_questions_are_passed_on() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        asked = query("urn:n")
        for stanza in (
            Stanza.build("iq", asked, type="result", id=f"{THEIRS}1", from_=FULL, to=alice.bare),
            Stanza.build("iq", type="error", id=f"{THEIRS}2", from_=FULL, to=alice.bare),
            Stanza.build("iq", asked, type="result", id="else", from_=FULL, to=alice.bare),
        ):
            it.edge().post(stanza.to, Route(Origin(b"", 0, ""), stanza))
        await it.settle()
        assert told(it) == [
            TheirAnswer(alice.bare, FULL, f"{THEIRS}1", asked.encode()),
            TheirAnswer(alice.bare, FULL, f"{THEIRS}2", b""),
        ]
        assert [one for one in alice.news() if one.kind == "iq"] == []

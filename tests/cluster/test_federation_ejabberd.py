"""A whole cluster and a real ejabberd: what users of the two do with each other, as with Prosody.

In the first part both sides are proved by certificates (EXTERNAL). In the second ejabberd shows certificates of an authority that nobody knows, and is
believed by dialback, because the cluster lists its domains. A short story runs always, the rest where `ROOKERY_TEST_PEERS=1` asks for its two minutes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import trio
from tests.cluster.federated import Lab, chat, heard
from tests.cluster.test_federation_prosody import (  # noqa: F401  the same stories, with the server of this file
    World,
    _name,
    bare,
    pair,
    test_a_subscription,
    test_messages_both_ways_in_order,
    test_requests_to_servers_and_users,
    test_rooms_of_either,
    test_the_archive_has_both_directions,
    test_who_is_away_gets_it_later,
    test_who_is_blocked_is_not_heard,
    world,
)
from tests.cluster.their_ejabberd import TheirEjabberd
from tests.cluster.theirs import OUR_ROOMS, OURS, THEIR_ROOMS, THEIRS, between
from tests.contracts.s2s_peers import need

from rookery.up.certificates import Authority

pytestmark = pytest.mark.slow
#: As ejabberd logs who proved what: direction as it sees it, mechanism, from, to.
_PROVED: Final = re.compile(r"Accepted (inbound|outbound) s2s (\w+) authentication (\S+) -> (\S+)")


def _everything() -> bool:
    return os.environ.get("ROOKERY_TEST_PEERS") == "1"


def unknown(home: Path, lab: Lab, dns: int) -> TheirEjabberd:
    """An ejabberd whose certificates lead nowhere."""
    stranger = Authority(lab.home / "stranger")
    for domain in (THEIRS, THEIR_ROOMS):
        stranger.ensure(domain)
        for name in ("fullchain.pem", "privkey.pem"):
            (lab.authority.directory / domain / name).write_bytes(
                (stranger.directory / domain / name).read_bytes()
            )
    return TheirEjabberd(home, lab, dns)


@pytest.fixture(scope="module", params=["external", "dialback"])
def running(request: pytest.FixtureRequest) -> Iterator[World]:
    weak = request.param == "dialback"
    if weak and not _everything():
        pytest.skip("ROOKERY_TEST_PEERS=1 runs a cluster with an ejabberd that is proved by dialback")
    need("ejabberdctl", "ejabberd")
    settings = {"ROOKERY_S2S__DIALBACK_DOMAINS": f"{THEIRS},{THEIR_ROOMS}"} if weak else {}
    with between(unknown if weak else TheirEjabberd, settings) as (lab, theirs):
        yield World(lab, theirs)


@pytest.fixture(autouse=True)
def _wanted(request: pytest.FixtureRequest) -> None:
    if not _everything() and not request.node.name.startswith("test_in_short"):
        pytest.skip("ROOKERY_TEST_PEERS=1 runs all stories with an ejabberd")


async def test_in_short(running: World, world: World, request: pytest.FixtureRequest) -> None:  # noqa: F811
    """Messages and requests both ways, a room of theirs; then what ejabberd says of the proofs."""
    await test_messages_both_ways_in_order(world, request)
    await test_requests_to_servers_and_users(world, request)
    await test_rooms_of_either(world, request, THEIR_ROOMS)
    theirs = running.theirs
    assert isinstance(theirs, TheirEjabberd)
    by = "dialback" if "dialback" in request.node.name else "EXTERNAL"
    # Our certificate is a good one in either case; ejabberd is the one that cannot show one.
    wanted = {("outbound", by, THEIRS, OURS), ("inbound", "EXTERNAL", OURS, THEIRS)}
    proved: set[tuple[str, ...]] = set()
    with trio.move_on_after(20):  # it writes its log some seconds late
        while not wanted <= proved:
            proved = set(_PROVED.findall(theirs.log()))
            await trio.sleep(0.2)
    assert wanted <= proved, theirs.log()[-4000:]
    assert not {one for one in proved if one[0] == "outbound" and one[1] != by}


async def test_what_waits_for_a_killed_server(
    world: World,  # noqa: F811
    request: pytest.FixtureRequest,
) -> None:
    """kill -9 of ejabberd between messages: those that were accepted meanwhile arrive when it is back, in order."""
    async with pair(world, request) as (alice, bob):
        await alice.send(chat(bare(bob), "before"))
        await heard(bob, 1)
        await trio.sleep(4)  # Mnesia writes the account with a delay
        world.theirs.kill()
        for n in range(20):
            await alice.send(chat(bare(bob), f"w{n}"))
        await alice.ping(OURS)
        world.theirs.start()
        await world.up()
        again = await world.other(_name(request.node.name))
        await again.send("<presence/>")
        # (what it had not acknowledged when it was killed may come again)
        got: list[str | None] = []
        while len(got) < 20:
            got += [m.get("id") for m in await heard(again, 1, seconds=90) if m.get("id") != "before"]
        assert got == [f"w{n}" for n in range(20)]
        await again.drop()


async def test_a_guest_of_theirs_in_our_room_after_a_kill(
    world: World,  # noqa: F811
    request: pytest.FixtureRequest,
) -> None:
    """No word of the guest comes from a server that was killed: its stream breaks, so the guest is asked after, and is not there."""
    async with pair(world, request) as (owner, guest):
        room = f"ghosts{request.node.name[-4:-1]}@{OUR_ROOMS}"
        for who, nick in ((owner, "owner"), (guest, "guest")):
            await who.send(
                f"<presence to='{room}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
            )
            while (await heard(who, 1, "presence", 20))[0].get("from") != f"{room}/{nick}":
                pass
            if who is owner:
                await owner.request(
                    f"<iq type='set' to='{room}' id='c'><query xmlns='http://jabber.org/protocol/muc#owner'>"
                    "<x xmlns='jabber:x:data' type='submit'/></query></iq>"
                )
        world.theirs.kill()
        world.theirs.start()
        await world.up()
        with trio.fail_after(90):
            while True:
                [one] = await heard(owner, 1, "presence", 90)
                if (one.get("from"), one.get("type")) == (f"{room}/guest", "unavailable"):
                    return

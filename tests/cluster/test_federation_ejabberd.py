"""A whole cluster and a real ejabberd: what users of the two do with each other, as with Prosody.

The first part proves both sides by certificates (EXTERNAL). In the second ejabberd shows a certificate of an authority that nobody knows, and is
believed by dialback, because the cluster lists its domain. Two clusters take a minute, so it runs only where `ROOKERY_TEST_PEERS=1` asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.federated import Lab
from tests.cluster.test_federation_prosody import (  # noqa: F401  the same stories, with the server of this file
    World,
    test_a_subscription,
    test_messages_both_ways_in_order,
    test_requests_to_servers_and_users,
    test_rooms_of_either,
    test_the_archive_has_both_directions,
    test_who_is_away_gets_it_later,
    test_who_is_blocked_is_not_heard,
    world,
)
from tests.cluster.theirs import THEIR_ROOMS, THEIRS, TheirEjabberd, between
from tests.contracts.s2s_peers import need

from rookery.up.certificates import Authority

pytestmark = pytest.mark.slow


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
    if os.environ.get("ROOKERY_TEST_PEERS") != "1":
        pytest.skip("ROOKERY_TEST_PEERS=1 runs a cluster with an ejabberd, twice")
    need("ejabberdctl", "ejabberd")
    weak = request.param == "dialback"
    settings = {"ROOKERY_S2S__DIALBACK_DOMAINS": f"{THEIRS},{THEIR_ROOMS}"} if weak else {}
    with between(unknown if weak else TheirEjabberd, settings) as (lab, theirs):
        yield World(lab, theirs)

"""End-to-end encryption of real clients (XEP-0384): keys come from nodes, also while their owner is away, or at another server."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clients import slixmpp_omemo_chat
from tests.clients.parties import parties
from tests.cluster.harness import Cluster
from tests.cluster.theirs import OURS, THEIRS, TheirProsody, between
from tests.contracts.s2s_peers import need_prosody

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def interpreter() -> str:
    found = slixmpp_omemo_chat.python()
    if found is None:
        pytest.skip(f"there is no slixmpp-omemo; {slixmpp_omemo_chat.HOW}")
    return found


def check(seen: dict[str, Any]) -> None:
    """Each message was read once, and none was in the clear."""
    assert seen["on the wire"] == [True] * 4
    assert (seen["away"], seen["answer"]) == ("first, while you are away", "second, an answer")
    assert (seen["back"], seen["last"]) == ("third, while you are away", "fourth, good night")
    assert (seen["left"], seen["plain"]) == (0, [])


def test_one_side_is_away(interpreter: str) -> None:
    with Cluster() as cluster:
        who = parties(cluster)
        people = [(one.jid, one.password, one.c2s) for one in (who.one, who.other)]
        check(slixmpp_omemo_chat.talk(interpreter, who.ca_file, people))


@pytest.mark.parametrize("begins", ["here", "there"])
def test_one_side_is_at_another_server(interpreter: str, begins: str) -> None:
    """A real Prosody: whoever begins fetches keys from there while their owner is away."""
    need_prosody()
    with between(TheirProsody) as (lab, theirs):
        cluster = lab.clusters[OURS]
        password = dict(cluster.import_users([("alice", OURS)]))["alice"]
        theirs.account("bob")
        (port,) = (edge["ports"]["c2s"] for edge in cluster.processes("edge"))
        people = [(f"alice@{OURS}", password, port), (f"bob@{THEIRS}", "bob", theirs.c2s)]
        if begins == "there":
            people.reverse()
        check(slixmpp_omemo_chat.talk(interpreter, lab.authority.ca_file, people))

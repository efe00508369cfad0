"""Clients that people use: each logs in on one edge and talks with somebody on another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.clients import profanity, slixmpp_chat, xmppjs
from tests.clients.parties import MissingError, parties
from tests.cluster.harness import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as running:
        yield running


def test_slixmpp(cluster: Cluster) -> None:
    seen = slixmpp_chat.chat(parties(cluster))
    assert seen["other got"] == [f"hello {number}" for number in range(20)]
    assert seen["one got"] == [f"answer {number}" for number in range(20)]
    assert seen["roster"] == "both"
    assert seen["ping"]
    assert seen["version"]
    assert "urn:xmpp:ping" in seen["features"]


@pytest.mark.timeout(240)
def test_xmppjs(cluster: Cluster) -> None:
    try:
        seen = xmppjs.chat(parties(cluster))
    except MissingError as exc:
        pytest.skip(str(exc))
    assert seen["got"] == [
        text for number in range(20) for text in (f"hello {number} 🐦", f"answer {number}")
    ]
    assert seen["roster"] == seen["ping"] == "result"


def test_profanity(cluster: Cluster) -> None:
    try:
        seen = profanity.chat(parties(cluster))
    except MissingError as exc:
        pytest.skip(str(exc))
    assert seen["got"] == "hello from profanity"

"""Clients that people use: each logs in on one edge and talks with somebody on another."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from tests.clients import profanity, slixmpp_chat, slixmpp_pep, slixmpp_room, xmppjs
from tests.clients.parties import MissingError, parties
from tests.cluster.harness import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as running:
        yield running


def handshakes(cluster: Cluster, tls: str) -> int:
    """How many handshakes have ended with this version of TLS."""
    url = f"http://127.0.0.1:{cluster.ready()['admin_port']}/metrics"
    with urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = [
        line for line in lines if line.startswith("rookery_tls_handshakes_total{") and f'"{tls}"' in line
    ]
    return sum(int(float(line.rpartition(" ")[2])) for line in found)


def test_slixmpp(cluster: Cluster) -> None:
    seen = slixmpp_chat.chat(parties(cluster))
    assert seen["other got"] == [f"hello {number}" for number in range(20)]
    assert seen["one got"] == [f"answer {number}" for number in range(20)]
    assert seen["roster"] == "both"
    assert seen["ping"]
    assert seen["version"]
    assert "urn:xmpp:ping" in seen["features"]


@pytest.mark.timeout(180)
def test_slixmpp_pep(cluster: Cluster) -> None:
    """Keys, bookmarks and an avatar between a phone, a desktop and a contact; nothing is told twice."""
    seen = slixmpp_pep.pep(parties(cluster))
    bookmarks, rooms = slixmpp_pep.BOOKMARKS, slixmpp_pep.ROOMS
    assert seen["devices"] == [[slixmpp_pep.DEVICES, "item", "current"]] * 3
    assert seen["bundle"] == ["current"]
    assert seen["told rooms"] == [f"room{number}@rooms.localhost" for number in range(rooms)]
    assert (seen["rooms"], seen["rooms then"], seen["stranger"]) == (rooms, rooms - 1, "not-allowed")
    assert seen["retracted"] == [[bookmarks, "retract", "room7@rooms.localhost"]] * 2
    assert seen["rooms of old clients"] == rooms - 1
    assert seen["added"] == [[bookmarks, "item", "added@rooms.localhost"]] * 2
    assert seen["avatar"] == [slixmpp_pep.AVATAR] * 3
    assert (seen["picture"], seen["picture of the card"], seen["hash in presence"]) == (True, True, True)
    assert seen["at login"] == [slixmpp_pep.DEVICES, slixmpp_pep.AVATAR]
    assert seen["devices while away"] == seen["bundle while away"] == ["current"]
    assert seen["devices then"] == [[slixmpp_pep.DEVICES, "item", "current"]] * 3
    assert seen["precondition"] == "conflict"
    assert seen["deleted"] == ["delete"] * 3
    assert seen["left"] == 0


def test_slixmpp_in_a_room(cluster: Cluster) -> None:
    seen = slixmpp_room.gather(parties(cluster))
    assert {110, 201} <= set(seen["created"])
    assert seen["first"] == seen["history"] == ["before"]
    assert seen["invited"] == slixmpp_room.ROOM
    assert seen["subject"] == "roses"
    assert seen["roster"] == ["ann", "ben"]
    assert seen["one"] == seen["other"]
    for nick in ("ann", "ben"):
        said = [f"{nick} {number}" for number in range(10)]
        assert [body for body in seen["one"] if body in said] == said
    assert seen["renamed"] == ["ann", "bob"]
    assert seen["in"]
    assert [body for body in seen["archive"] if body] == ["before", *seen["one"]]
    assert seen["kicked"] == [110, 307]
    assert seen["banned"] == [110, 301]
    assert seen["refused"] == "forbidden"
    assert seen["left"] == []


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
    assert seen["created"]
    assert seen["room"]["one"] == seen["room"]["other"], "one order for both"
    for name in ("one", "other"):
        mine = [said for said in seen["room"]["one"] if said.startswith(f"{name} ")]
        assert mine == [f"{name} {number}" for number in range(10)]
    assert seen["left"] == "unavailable"
    assert seen["mechanisms"] == [["SCRAM-SHA-1", "HT-SHA-256-NONE"]] * 2


@pytest.mark.parametrize("tls", ["TLSv1.2", "TLSv1.3"])
def test_profanity(cluster: Cluster, tls: str) -> None:
    """A client on libstrophe logs in with the default configuration, whatever its version of TLS."""
    before = handshakes(cluster, tls)
    try:
        seen = profanity.chat(parties(cluster), tls)
    except MissingError as exc:
        pytest.skip(str(exc))
    assert seen["got"] == "hello from profanity"
    assert seen["room"] == "a nice garden"
    assert handshakes(cluster, tls) > before

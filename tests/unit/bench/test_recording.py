"""Recordings: what is heard of a connection, what is written of it, and what is read again."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.bench.plan import PlanError, make
from rookery.bench.recording import tape
from rookery.bench.recording.listener import Listener
from rookery.bench.recording.tape import Event, Renamer, delivered_set, load

BOUND = b"<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>ann@x.example/r</jid></bind></iq>"
SAID = (
    b"<stream:stream to='x.example' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><presence/>"
    b"<message to='bob@x.example/r' type='chat'><body>a &lt; b</body></message>"
    b"<message to='bob@x.example' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
    b"<message to='room@conference.x.example' type='groupchat'><body>all</body></message>"
    b"<message to='bob@x.example'><body>again</body></message>"
)


def bound(renamer: Renamer) -> Listener:
    listener = Listener(renamer)
    listener.from_server(b"<stream:stream id='1' xmlns:stream='s'>" + BOUND)
    return listener


@given(st.lists(st.integers(0, len(SAID)), max_size=6))
def test_messages_with_a_body_are_heard_however_they_come(cuts: list[int]) -> None:
    renamer = Renamer("seed")
    listener = bound(renamer)
    places = [0, *sorted(cuts), len(SAID)]
    events = [
        event
        for one, other in itertools.pairwise(places)
        for event in listener.from_client(SAID[one:other], 7)
    ]
    ann, bob = renamer.person("ann@x.example"), renamer.person("bob@x.example")
    assert events == [
        Event(7, ann, bob, 5, renamer.body("a < b")),
        Event(7, ann, bob, 5, renamer.body("again")),
    ]
    assert listener.passed == 3


def test_nothing_is_heard_of_whom_nobody_knows_nor_behind_tls() -> None:
    listener = Listener(Renamer("seed"))
    assert list(listener.from_client(SAID, 0)) == []
    listener = Listener(Renamer("seed"))
    listener.from_server(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\x16\x03\x01")
    assert listener.sealed
    assert list(listener.from_client(b"\x16\x03\x01 not <xml", 0)) == []


def test_who_logs_in_in_one_round_trip_is_known() -> None:
    listener = Listener(Renamer("seed"))
    identity = b"<authorization-identifier>ann@x.example/r</authorization-identifier>"
    listener.from_server(b"<success xmlns='urn:xmpp:sasl:2'>" + identity + b"</success>")
    assert listener.account == "ann@x.example"


def test_names_follow_from_the_seed_and_tell_nothing() -> None:
    one, again, other = Renamer("a"), Renamer("a"), Renamer("b")
    assert one.person("ann@x.example") == again.person("ann@x.example")
    assert one.person("ann@x.example") != other.person("ann@x.example")
    assert one.person("x") != one.body("x")
    file = io.StringIO()
    tape.begin(file)
    tape.write(file, bound(one).from_client(SAID, 3))
    for secret in ("ann", "bob", "x.example", "again"):
        assert secret not in file.getvalue()


def written(folder: Path, more: str = "") -> Path:
    path = folder / "tape"
    with path.open("w") as file:
        tape.begin(file)
        tape.write(file, [Event(2_000_000, "b", "a", 3, "h"), Event(0, "a", "b", 100, "h")])
        file.write(more)
    return path


def test_a_tape_is_read_in_order(tmp_path: Path) -> None:
    found = load(written(tmp_path))
    assert (found.people, [event.at for event in found.events], found.seconds) == (
        ("a", "b"),
        [0, 2_000_000],
        2.0,
    )
    assert len(load(written(tmp_path, '[1,"a"')).events) == 2  # broken off in its last line


@pytest.mark.parametrize(
    ("more", "reason"),
    [('[1,"a"\n[2,"a","b",3,"h"]\n', "line 4: no event"), ('[-1,"a","b",3,"h"]\n', "line 4: no event")],
)
def test_what_is_no_tape_is_refused(tmp_path: Path, more: str, reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        load(written(tmp_path, more))
    (tmp_path / "other").write_text("{}\n")
    with pytest.raises(PlanError, match="no recording"):
        load(tmp_path / "other")


def test_the_digest_is_that_of_the_set() -> None:
    assert delivered_set([(1, 2, 0), (2, 1, 0)]) == delivered_set([(2, 1, 0), (1, 2, 0)])
    assert delivered_set([(1, 2, 0)]) != delivered_set([(1, 2, 1)])


@pytest.mark.parametrize("speed", [0.0, -1.0, 20_000.0])
def test_a_speed_has_bounds(speed: float) -> None:
    with pytest.raises(PlanError, match="speed"):
        make({"scenario": "replay", "speed": speed})

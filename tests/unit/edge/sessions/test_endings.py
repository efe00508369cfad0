from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from rookery.edge.sessions.endings import UNBIND_SECONDS, Endings
from rookery.edge.sessions.mirror import SessionMirror
from rookery.edge.sessions.session import Session
from rookery.shared.bus.messages import Unbind

BINDING = ("alice@x/r", 7)


def session(stream: bytes, partition: int = 1) -> Session:
    """The part of a session that endings look at."""
    fields = SimpleNamespace(
        stream=stream, partition=partition, sid=3, full="alice@x/r", mirror=SessionMirror(7)
    )
    return cast("Session", fields)


def unbind(full: str = "alice@x/r", grant: int = 7) -> Unbind:
    return Unbind(full, grant, "eof")


def test_a_closed_stream_is_described_until_its_router_has_dealt_with_it() -> None:
    endings = Endings()
    endings.closed(session(b"a"), 0.0)
    endings.closed(session(b"b", 2), 0.0)
    endings.closed(session(b"c"), 0.0)
    assert endings.unconfirmed == 3
    described = endings.described(1)
    assert [(one.stream, one.sid, one.full, one.grant) for one in described] == [
        (b"a", 3, "alice@x/r", 7),
        (b"c", 3, "alice@x/r", 7),
    ]
    endings.confirmed(b"a")
    endings.confirmed(b"a")
    endings.confirmed(b"unknown")
    assert [one.stream for one in endings.described(1)] == [b"c"]
    assert endings.unconfirmed == 2


def test_a_description_is_of_the_moment_of_the_end() -> None:
    endings = Endings()
    closing = session(b"a")
    closing.mirror.n = 4
    endings.closed(closing, 0.0)
    closing.mirror.n = 9
    assert [one.n for one in endings.described(1)] == [4]


def test_what_was_told_is_told_to_the_next_holder_of_its_partition() -> None:
    endings = Endings()
    first, second, other = unbind(), unbind("bob@x/r", 8), unbind("carol@x/r", 9)
    for partition, item in ((1, first), (1, second), (2, other)):
        endings.told(partition, item, 0.0)
    assert list(endings.again(frozenset({1}))) == [(1, first), (1, second)]
    assert list(endings.again(frozenset({1, 2}))) == [(1, first), (1, second), (2, other)]
    assert list(endings.again(frozenset({3}))) == []
    assert endings.knows(*BINDING)
    assert not endings.knows("alice@x/r", 6)


def test_everything_is_forgotten_in_time() -> None:
    endings = Endings()
    endings.closed(session(b"a"), 0.0)
    endings.closed(session(b"b"), 10.0)
    endings.told(1, unbind(), 0.0)
    endings.told(1, unbind(grant=8), 10.0)
    endings.tick(UNBIND_SECONDS)
    assert endings.unconfirmed == 2
    endings.tick(UNBIND_SECONDS + 1)
    assert [one.stream for one in endings.described(1)] == [b"b"]
    assert [item.grant for _, item in endings.again(frozenset({1}))] == [8]
    assert not endings.knows(*BINDING)
    endings.tick(UNBIND_SECONDS + 11)
    assert endings.unconfirmed == 0
    assert list(endings.again(frozenset({1}))) == []

"""When a domain that failed is tried again: by the kind of the failure, within the longest pause of the settings."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.bus.messages import Origin
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.outgoing.conditions import Condition
from rookery.workers.s2s.outgoing.gate import Gate
from rookery.workers.s2s.outgoing.pauses import AGAIN, KINDS, SOON, pause
from rookery.workers.s2s.outgoing.remote import Remote
from rookery.workers.s2s.queue.entries import Entry
from rookery.workers.s2s.queue.room import Room
from rookery.workers.s2s.streams import api
from rookery.workers.s2s.streams.api import Link, Owner, Trouble

#: Kinds after which no pause comes: what is opened for another pair, what nobody used.
WITHOUT = {"idle", "multiplex"}


@pytest.mark.parametrize(
    ("kind", "first"),
    [("refused", 1), ("timeout", 2), ("dns-servfail", 3), ("dns-timeout", 3), ("dns-nxdomain", 15), ("untrusted", 30), ("new", 1)],
)  # fmt: skip
def test_pauses_double_from_that_of_their_kind(kind: str, first: float) -> None:
    assert [pause(kind, n, 0.5, 3600.0) for n in (1, 2, 3, 4)] == [
        first,
        2 * first,
        4 * first,
        8 * first,
    ]
    assert pause(kind, 50, 0.5, 300.0) == 300.0
    assert pause(kind, 1, 0.0, 300.0) == first / 2


def test_what_ends_soon_is_not_waited_for_long() -> None:
    assert pause("shutdown", 50, 0.5, 300.0) == 60.0
    assert pause("refused", 0, 0.5, 300.0) == pause("auth", 0, 0.5, 300.0) == AGAIN


@given(st.sampled_from(sorted(KINDS)), st.integers(1, 10_000), st.floats(0, 0.999), st.floats(1, 3600))
def test_pauses_grow_within_their_bounds(kind: str, failures: int, chance: float, longest: float) -> None:
    found = pause(kind, failures, chance, longest)
    assert min(longest, KINDS[kind].first) / 2 <= found <= longest * 1.5
    assert pause(kind, failures + 1, chance, longest) >= found


def test_every_kind_of_trouble_has_a_pause() -> None:
    said = set()
    for path in Path(api.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Trouble":
                given = [each.value for each in node.keywords if each.arg == "kind"] + node.args[3:4]
                said |= {each.value for each in given if isinstance(each, ast.Constant)}
    assert {"refused", "dns-nxdomain", "tls", "untrusted"} <= said
    assert said - WITHOUT <= KINDS.keys() | {"stream"}


class Around:
    """What a remote domain uses of its process; every stream fails as told."""

    longest_pause = 300.0

    def __init__(self) -> None:
        self.now = 0.0
        self.gate = Gate()
        self.room = Room()
        self.opener = self
        self.links: list[object] = []

    def open(self, remote: str, local: str, owner: Owner) -> Link:
        self.links.append(object())
        return self.links[-1]  # type: ignore[return-value]

    def clock(self) -> float:
        return self.now

    def chance(self) -> float:
        return 0.5

    def ring(self, remote: Remote, at: float) -> None: ...

    def failed(self, remote: Remote, trouble: Trouble) -> None: ...


def test_a_domain_waits_as_long_as_its_failure_says() -> None:
    around = Around()
    remote = Remote("b.example", 0, around)  # type: ignore[arg-type]
    entry = Entry(
        Stanza.build("message", to="x@b.example", from_="y@a.example"), Origin(b"", 1, ""), 1, 0.0, 0.0
    )
    entry.ready = True
    assert remote.pair("a.example").push(entry)
    remote.pump()
    for kind, pauses in (("dns-nxdomain", 15.0), ("refused", 2.0), ("untrusted", 120.0)):
        remote.on_closed(around.links[-1], Trouble(kind=kind))  # type: ignore[arg-type]
        assert remote.condition is Condition.PAUSED
        assert remote.resume_at == around.now + pauses
        around.now = remote.resume_at
        remote.on_time(around.now)
        assert remote.condition is Condition.OPENING
    assert SOON.first == 1.0

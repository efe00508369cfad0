"""Occupants from other servers over all rooms of a process: who is asked when, and who leaves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.abroad import LOOK, Abroad
from rookery.workers.muc.absent import Absent, question
from rookery.workers.muc.far import ASK

CAROL, DAVE, EVE = "carol@far.example/r", "dave@far.example/r", "eve@other.example/r"


class World:
    """Two rooms with strangers, a clock, and what is asked."""

    def __init__(self, *, silence: int = 600, unreachable: int = 60) -> None:
        self.now = 1000.0
        self.asked: list[str] = []
        self.gone: list[tuple[str, str, str]] = []
        self.rooms = {name: self._room(name) for name in ("red", "blue")}
        shell: Any = SimpleNamespace(
            silence=silence,
            unreachable=unreachable,
            clock=lambda: self.now,
            ways=SimpleNamespace(route=lambda stanza: self.asked.append(stanza.to)),
        )
        self.abroad = Abroad(shell, self.rooms.values, self._gone)

    @staticmethod
    def _room(name: str) -> Any:
        speaker = SimpleNamespace(strangers={})
        speaker.abroad = lambda: [full for fulls in speaker.strangers.values() for full in fulls]
        return SimpleNamespace(jid=f"{name}@conference.example", speaker=speaker, absent=Absent())

    def enter(self, room: str, *fulls: str) -> None:
        for full in fulls:
            domain = full.partition("/")[0].partition("@")[2]
            self.rooms[room].speaker.strangers.setdefault(domain, {})[full] = None

    def _gone(self, live: Any, full: str, condition: str) -> None:
        self.gone.append((live.jid.partition("@")[0], full, condition))
        for fulls in live.speaker.strangers.values():
            fulls.pop(full, None)

    def pass_(self, seconds: float) -> list[str]:
        """Let time pass, a tick a second; returns who was asked."""
        self.asked.clear()
        for _ in range(int(seconds)):
            self.now += 1
            self.abroad.tick(self.now)
        return list(self.asked)

    def answer(self, room: str, full: str, condition: str = "") -> None:
        asked = question(self.rooms[room].jid, full)
        stanza = asked.error(StanzaError(condition)) if condition else asked.result()
        self.abroad.heard(self.rooms[room], stanza, self.now)


def test_one_occupant_stands_for_a_silent_domain() -> None:
    world = World()
    world.enter("red", CAROL, DAVE, EVE)
    world.enter("blue", CAROL)
    asked = world.pass_(ASK + 2 * LOOK)
    assert sorted(asked) == [CAROL, EVE]
    world.answer("red", CAROL)
    world.answer("red", EVE)
    assert world.pass_(ASK + 2 * LOOK) == [DAVE, EVE], "another one the next time"
    assert world.gone == []


def test_all_of_a_domain_are_asked_at_once_when_a_stream_to_it_breaks() -> None:
    world = World()
    world.enter("red", CAROL, DAVE, EVE)
    world.enter("blue", CAROL)
    world.pass_(1)
    world.abroad.shaken("far.example")
    assert sorted(world.pass_(1)) == [CAROL, CAROL, DAVE]
    world.answer("red", CAROL, "service-unavailable")
    world.answer("red", DAVE)
    assert world.gone == [("red", CAROL, "recipient-unavailable")]
    assert CAROL in world.rooms["blue"].speaker.strangers["far.example"], "each room hears for itself"


def test_one_that_is_gone_makes_the_others_of_its_domain_be_asked() -> None:
    world = World()
    world.enter("red", CAROL, DAVE)
    world.pass_(1)
    world.answer("red", CAROL, "gone")
    assert world.pass_(1) == [DAVE]


def test_a_server_that_cannot_be_reached_loses_its_occupants_within_a_minute() -> None:
    world = World()
    world.enter("red", CAROL, DAVE)
    world.enter("blue", CAROL, EVE)
    world.pass_(LOOK + 1)
    for _ in range(int(60 + LOOK)):
        for full in world.pass_(1):
            world.answer(
                "blue" if full == EVE else "red", full, "" if full == EVE else "remote-server-timeout"
            )
    assert sorted(world.gone) == [
        ("blue", CAROL, "remote-server-timeout"),
        ("red", CAROL, "remote-server-timeout"),
        ("red", DAVE, "remote-server-timeout"),
    ]


def test_a_server_that_comes_back_in_time_is_asked_whether_its_users_are_still_there() -> None:
    world = World()
    world.enter("red", CAROL, DAVE)
    world.pass_(ASK + 2 * LOOK)
    world.answer("red", CAROL, "remote-server-timeout")
    world.answer("red", CAROL)
    assert DAVE in world.pass_(1)
    assert world.gone == []


def test_nobody_is_asked_where_the_setting_says_so() -> None:
    world = World(silence=0)
    world.enter("red", CAROL)
    world.abroad.shaken("far.example")
    assert world.pass_(300) == []


def test_what_somebody_says_who_is_not_in_is_no_sign_of_life() -> None:
    world = World()
    world.enter("red", CAROL)
    stranger = Stanza.build(
        "message", type="groupchat", from_="frank@far.example/r", to="red@conference.example"
    )
    world.abroad.heard(world.rooms["red"], stranger, world.now)
    assert world.rooms["red"].absent.heard == {}

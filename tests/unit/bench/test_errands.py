"""What remote domains do besides messages: subscriptions, rooms, strangers' messages, messages to the dead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from tests.unit.bench.scenes import SECOND, Scene, comes_back

from rookery.bench.remotes.domains import Domain
from rookery.bench.scenarios._errands import Errands
from rookery.bench.scenarios._exchanges import Correspondent
from rookery.bench.scenarios._graves import Graves
from rookery.bench.scenarios._scenario import Window
from rookery.bench.scenarios._spam import Spam

DOMAIN = Domain(0, "r0.example", 0, dialback=False, manner="")
WINDOW = Window(0, 0, 60 * SECOND)


class Line:
    """A stream to the server."""

    open = True
    busy = False

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def said(self) -> bytes:
        """The one stanza since the last call."""
        (found,), self.written = self.written, []
        return found


class House:
    """Opens streams at once."""

    def __init__(self) -> None:
        self.line = Line()
        self.targets: list[str] = []

    def open(self, _domain: Domain, _done: object, target: str = "") -> Line:
        self.targets.append(target)
        return self.line


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene(rooms=1, timeout=5.0)
    made.driver.order = cast("Any", type("Order", (), {"number": 0, "of": 1}))
    yield made
    made.close()


def errands(scene: Scene, way: str) -> tuple[Errands, House, Line]:
    house, there = House(), Correspondent(DOMAIN)
    line = Line()
    there.stream = cast("Any", line)
    made = Errands(scene.driver, cast("Any", house), b"r1")
    made.add(way, cast("Any", scene.people[0]), there)
    made.begin(0, 60 * SECOND)
    return made, house, line


def test_a_stranger_asks_and_the_user_approves(scene: Scene) -> None:
    made, _, line = errands(scene, "subscribe")
    asked = line.said()
    assert asked == b"<presence type='subscribe' from='s0x1xr1@r0.example' to='user000000@localhost'/>"
    user = cast("Any", scene.people[0])
    assert made.at_user(user, asked)
    assert scene.people[0].said() == [b"<presence type='subscribed' to='s0x1xr1@r0.example'/>"]
    assert not made.at_user(user, b"<presence from='x@y'/>")
    scene.now = SECOND
    assert made.at_remote(b"<presence from='user000000@localhost/x' to='s0x1xr1@r0.example'/>")
    assert made.at_remote(
        b"<presence type='subscribed' from='user000000@localhost' to='s0x1xr1@r0.example'/>"
    )
    assert scene.recorder.latency("subscribe") == [SECOND]
    assert b"s0x2xr1@" in line.said()
    assert not made.at_remote(b"<presence type='subscribed' to='s0x1xr1@r0.example'/>")


def test_an_occupant_enters_speaks_and_leaves(scene: Scene) -> None:
    made, house, _ = errands(scene, "join")
    assert house.targets == ["conference.localhost"]
    to = b"to='j0@r0.example/bench'"
    entering = house.line.said()
    assert b"bench1-0-0@conference.localhost/n0" in entering
    assert made.at_remote(b"<presence from='bench1-0-0@conference.localhost/u0' %b/>" % to)
    made.at_remote(b"<presence %b from='a/n0'><x><status code='110'/></x></presence>" % to)
    spoken = house.line.said()
    made.at_remote(b"<message type='groupchat' %b><body>said-9-1-r1</body></message>" % to)
    assert scene.recorder.latency("groupchat") == []
    made.at_remote(spoken.replace(b" to=", b" was=", 1).replace(b"<message", b"<message " + to, 1))
    assert b"type='unavailable'" in house.line.said()
    made.at_remote(b"<presence type='unavailable' %b><x><status code='110'/></x></presence>" % to)
    assert house.line.said() == entering
    assert (len(scene.recorder.latency("join")), len(scene.recorder.latency("groupchat"))) == (1, 1)
    assert scene.recorder.delivered == 2


def test_errors_and_silence_are_told_and_the_next_begins(scene: Scene) -> None:
    made, house, _ = errands(scene, "join")
    error = comes_back(house.line.said(), "not-allowed", whole=False)
    assert made.at_remote(error.replace(b"<presence", b"<presence to='j0@r0.example/bench'", 1))
    assert scene.errors("join") == {"not-allowed": 1}
    house.line.said()
    scene.now = 6 * SECOND
    made.watch(scene.now)
    assert scene.errors("join") == {"timeout": 1}
    assert made.outstanding() == 1
    made.finish()
    made.watch(20 * SECOND)
    assert made.outstanding() == 0


def test_messages_to_the_dead_come_back_once(scene: Scene) -> None:
    graves = Graves(scene.driver, b"r1", [DOMAIN], b"</body></message>")
    graves.begin(cast("Any", scene.people[:1]), WINDOW)
    graves._next(0)
    (message,) = scene.people[0].said()
    back = comes_back(message, "remote-server-timeout", whole=False)
    scene.now = 3 * SECOND
    assert graves.back(back)
    assert graves.back(back)
    assert graves.back(back.replace(b"-r1-", b"-r0-"))
    assert not graves.back(back.replace(b"dead-", b"live-"))
    assert scene.recorder.latency("dead") == [3 * SECOND]
    assert scene.errors("dead") == {"doubled": 1}
    graves.tell()
    assert scene.notes == ["1 messages to dead domains: 1 came back, 0 still waited at the end"]


def test_what_strangers_send_is_told_apart(scene: Scene) -> None:
    spam, there, line = Spam(scene.driver, b"</body></message>"), Correspondent(DOMAIN), Line()
    there.stream = cast("Any", line)
    spam.begin(there, cast("Any", scene.people), 10.0, 0, SECOND)
    spam._send(0)
    message = line.said()
    assert b"from='x0@r0.example'" in message
    assert b"~ffffff.00000000." in message
    spam.came()
    assert spam.back(comes_back(message, "policy-violation", whole=True))
    assert not spam.back(b"<message id='other' type='error'/>")
    spam.finish()
    spam.tell()
    assert scene.notes == ["1 messages of strangers: 1 came to users, 1 were refused"]

"""Chat: what answers a message, what releases the next, who stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.unit.bench.scenes import SECOND, WINDOW, Scene, arrives, comes_back

from rookery.bench.result import Messages
from rookery.bench.scenarios._scenario import Window
from rookery.bench.scenarios.chat import Chat
from rookery.bench.scenarios.ping import Ping

Begin = Callable[..., tuple[Scene, Chat]]


@pytest.fixture
def begin() -> Iterator[Begin]:
    scenes = []

    def make(**plan: object) -> tuple[Scene, Chat]:
        scene = Scene(**plan)
        scenes.append(scene)
        chat = Chat(scene.driver)
        chat.begin(WINDOW)
        return scene, chat

    yield make
    for scene in scenes:
        scene.close()


def test_an_arrival_releases_the_next(begin: Begin) -> None:
    scene, chat = begin()
    sender, receiver = scene.people[:2]
    for _ in range(3):
        (message,) = sender.said()
        receiver.hear(arrives(message))
    assert len(sender.said()) == 1
    assert chat.messages() == Messages(5, 3, 2)


@pytest.mark.parametrize("whole", [False, True])
def test_an_error_counts_by_its_condition_and_releases_the_next(begin: Begin, whole: bool) -> None:
    scene, chat = begin()
    sender, receiver = scene.people[:2]
    (message,) = sender.said()
    sender.hear(comes_back(message, "resource-constraint", whole=whole))
    (message,) = sender.said()
    receiver.hear(arrives(message))
    assert len(sender.said()) == 1
    assert scene.errors("chat") == {"resource-constraint": 1}
    assert scene.recorder.delivered == 1
    assert chat.messages() == Messages(sent=4, delivered=1, lost=2, refused=1)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_errors_in_any_chunks_between_messages(begin: Begin, whole: bool, size: int) -> None:
    scene, chat = begin(rate=10.0)
    one, other = scene.people[:2]
    for talk in chat.talks.values():
        for _ in range(4):
            chat.send(talk, 0)
    mine, theirs = one.said(), other.said()
    back = [comes_back(message, "service-unavailable", whole=whole) for message in mine[1:3]]
    stream = b"".join([arrives(theirs[0]), back[0], arrives(theirs[1]), b"<presence/>", back[1]])
    for at in range(0, len(stream), size):
        one.hear(stream[at : at + size])
    assert scene.errors("chat") == {"service-unavailable": 2}
    assert scene.recorder.delivered == 2
    for message in (mine[0], mine[3]):
        other.hear(arrives(message))
    assert (chat.messages().refused, chat.messages().delivered, chat.messages().reordered) == (2, 4, 0)


def test_an_error_without_an_id_answers_the_one_that_is_outstanding(begin: Begin) -> None:
    scene, _ = begin()
    sender = scene.people[0]
    sender.said()
    sender.hear(b"<message type='error'><error type='cancel'/></message>")
    assert len(sender.said()) == 1
    assert scene.errors("chat") == {"undefined-condition": 1}


def test_an_error_of_one_that_was_given_up_releases_nothing(begin: Begin) -> None:
    scene, chat = begin(timeout=2.0)
    sender, receiver = scene.people[:2]
    (late,) = sender.said()
    for scene.now in range(0, 4 * SECOND, SECOND):
        chat.watch(scene.now)
    (retry,) = sender.said()
    assert scene.errors("chat") == {"timeout": 2}  # of both pairs
    sender.hear(comes_back(late, "remote-server-timeout", whole=False))
    assert sender.said() == []
    receiver.hear(arrives(retry))
    assert len(sender.said()) == 1
    receiver.hear(arrives(late))
    assert sender.said() == []


def test_what_is_for_somebody_else_is_misdelivered(begin: Begin) -> None:
    scene, _ = begin()
    (message,) = scene.people[0].said()
    scene.people[3].hear(arrives(message))
    assert scene.errors("chat") == {"misdelivered": 1}


def test_pairs_that_stand_still_are_counted(begin: Begin) -> None:
    scene, chat = begin(users=6)
    for scene.now in range(0, 20 * SECOND, SECOND // 2):
        chat.watch(scene.now)
        (message,) = scene.people[0].said()
        scene.people[1].hear(arrives(message))
    waited = chat.waited()
    assert waited is not None
    assert (waited.who, waited.waiting, waited.of) == ("pairs", 2, 3)
    assert scene.errors("chat") == {}


def test_a_refused_ping_is_no_answer() -> None:
    scene = Scene(users=2, scenario="ping")
    ping = Ping(scene.driver)
    ping.begin(WINDOW)
    person = scene.people[0]
    (first,) = person.said()
    id = first.split(b" id='")[1].split(b"'")[0]
    person.hear(comes_back(first, "resource-constraint", whole=False))
    (second,) = person.said()
    assert id not in second
    assert scene.errors("ping") == {"resource-constraint": 1}
    assert (scene.recorder.delivered, ping.messages().refused) == (0, 1)
    person.hear(b"<iq type='result' id='%b'/>" % second.split(b" id='")[1].split(b"'")[0])
    assert scene.recorder.delivered == 1
    scene.close()


def test_what_a_server_kept_since_an_earlier_run_is_no_delivery(begin: Begin) -> None:
    scene, chat = begin()
    scene.now = 5 * SECOND
    chat.begin(Window(scene.now, scene.now, 60 * SECOND))
    sender, receiver = scene.people[:2]
    old, new = sender.said()
    (late,) = [old.replace(b".00000000.", b".00000007.")]
    receiver.hear(arrives(late))
    receiver.hear(arrives(new))
    assert (scene.recorder.delivered, chat.messages().duplicated, chat.messages().reordered) == (1, 0, 0)


def test_pairs_of_two_servers_begin_on_either_side(begin: Begin) -> None:
    scene, _ = begin(second_target="127.0.0.1:1", second_domain="b.example")
    assert [len(person.said()) for person in scene.people] == [1, 0, 0, 1]
    assert scene.people[3].session.account.domain == "b.example"

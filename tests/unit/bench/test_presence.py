"""Presence: who knows whom, how they come to know each other, and what ends a broadcast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from tests.unit.bench.scenes import SECOND, WINDOW, Person, Scene, comes_back

from rookery.bench.driver.script import Send, parse
from rookery.bench.result import Messages
from rookery.bench.scenarios.presence import Presence


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene(users=5, contacts=2, scenario="presence")
    yield scene
    scene.close()


def test_a_broadcast_is_over_when_the_last_contact_has_it(scene: Scene) -> None:
    presence = Presence(scene.driver)
    presence.begin(WINDOW)
    one, left, right = scene.people[0], scene.people[1], scene.people[4]
    (first,) = one.said()
    one.hear(first)  # the reflection
    left.hear(first)
    left.hear(first)
    assert one.said() == []
    right.hear(first)
    assert len(one.said()) == 1
    made = presence.messages()
    assert (made.sent, made.delivered, made.duplicated) == (12, 2, 1)
    scene.people[2].hear(first)
    assert scene.errors("presence") == {"misdelivered": 1}


@pytest.mark.parametrize("whole", [False, True])
def test_a_refused_broadcast_is_over(scene: Scene, whole: bool) -> None:
    presence = Presence(scene.driver)
    presence.begin(WINDOW)
    one = scene.people[0]
    (first,) = one.said()
    one.hear(comes_back(first, "policy-violation", whole=whole))
    assert len(one.said()) == 1
    assert scene.errors("presence") == {"policy-violation": 1}
    assert presence.messages() == Messages(sent=12, delivered=0, lost=10, refused=2)
    assert scene.strange == []


def test_late_deliveries_do_not_end_the_next_broadcast(scene: Scene) -> None:
    presence = Presence(scene.driver)
    presence.begin(WINDOW)
    one, left, right = scene.people[0], scene.people[1], scene.people[4]
    (first,) = one.said()
    for scene.now in range(0, 31 * SECOND, SECOND):
        presence.watch(scene.now)
    assert scene.errors("presence") == {"timeout": 5}
    (second,) = one.said()
    left.hear(first)
    right.hear(first)
    assert one.said() == []
    left.hear(second)
    right.hear(second)
    assert len(one.said()) == 1


def test_who_stands_still_in_an_open_loop_is_told() -> None:
    scene = Scene(users=5, contacts=2, scenario="presence", rate=5.0)
    presence = Presence(scene.driver)
    presence.begin(WINDOW)
    one, other = (presence._talkers[index] for index in (0, 2))
    for scene.now in range(0, 7 * SECOND, SECOND):
        presence.send(one, scene.now)
        presence.send(other, scene.now)
        (stanza,) = scene.people[2].said()
        for index in (1, 3):
            scene.people[index].hear(stanza)  # what the first one says does not arrive
        presence.watch(scene.now)
    waited = presence.waited()
    assert waited is not None
    assert (waited.waiting, waited.of) == (1, 5)
    assert (one.outstanding, other.outstanding) == (14, 0)
    scene.close()


def test_contacts_of_earlier_runs_are_told_and_not_counted(scene: Scene) -> None:
    presence = Presence(scene.driver)
    script = presence.contacts._read(scene.driver.clients[2])
    next(script)
    script.send(None)
    items = "".join(f"<item jid='user00000{number}@localhost' subscription='both'/>" for number in (0, 1, 3))
    roster = f"<iq type='result' id='roster'><query xmlns='jabber:iq:roster'>{items}</query></iq>"
    with pytest.raises(StopIteration):
        script.send(parse(roster.encode()))
    presence.begin(WINDOW)
    (stanza,) = scene.people[0].said()
    scene.people[2].hear(stanza)
    assert (scene.errors("presence"), scene.recorder.delivered) == ({}, 0)
    scene.people[3].hear(stanza)
    assert scene.errors("presence") == {"misdelivered": 1}
    assert "rosters of 1 users hold more contacts than 2" in scene.notes[0]


class Rosters:
    """A server of rosters that may forget what it is told (`deaf`)."""

    def __init__(self, people: list[Person]) -> None:
        self.people = {person.session.account.bare.encode(): person for person in people}
        self.known: defaultdict[bytes, set[bytes]] = defaultdict(set)
        self.deaf = False
        self.requests = 0

    def serve(self) -> None:
        """Take what all wrote until nobody has more to say."""
        said = True
        while said:
            said = False
            for bare, person in self.people.items():
                for stanza in person.said():
                    said = True
                    if not self.deaf:
                        self.take(bare, stanza)

    def take(self, bare: bytes, stanza: bytes) -> None:
        """One stanza."""
        if stanza.startswith(b"<iq"):
            self.push(bare, b"result")
            return
        to = stanza.split(b" to='")[1].split(b"'")[0]
        if b"'subscribe'" in stanza:
            self.requests += 1
            self.people[to].hear(b"<presence from='%b' to='%b' type='subscribe'/>" % (bare, to))
        else:
            self.known[to].add(bare)  # `to` sees the presence of `bare` from now on
            for one in (bare, to):
                self.push(one, b"result")

    def push(self, bare: bytes, kind: bytes) -> None:
        """Tell the whole roster."""
        items = b""
        for other in self.people:
            sees, seen = other in self.known[bare], bare in self.known[other]
            state = b"both" if sees and seen else b"to" if sees else b"from" if seen else b"none"
            items += b"<item jid='%b' subscription='%b'/>" % (other, state)
        self.people[bare].hear(
            b"<iq type='%b' id='r'><query xmlns='jabber:iq:roster'>%b</query></iq>" % (kind, items)
        )


def asked(scene: Scene, presence: Presence) -> Rosters:
    """Take the preparation as far as all have read empty rosters and asked."""
    rosters = Rosters(scene.people)
    for person, client in zip(scene.people, scene.driver.clients, strict=True):
        person.sink = presence.listen
        wanted = {contact.session.account.bare.encode() for contact in presence.contacts.of(client)}
        presence.contacts._all[client] = wanted
        presence.contacts._wanted[client] = set(wanted)
    for client in scene.driver.clients:
        for step in presence.contacts._ask(client) or ():
            assert isinstance(step, Send)
            client.write(step.data)
    return rosters


def test_each_two_ask_once_each(scene: Scene) -> None:
    presence = Presence(scene.driver)
    rosters = asked(scene, presence)
    assert presence.unsettled() == 10
    rosters.serve()
    assert presence.unsettled() == 10  # all are there, and looked at once more
    rosters.serve()
    assert presence.unsettled() == 0
    assert rosters.requests == 10


def test_one_asks_a_few_at_a_time() -> None:
    scene = Scene(scenario="presence", users=40, contacts=36)
    presence = Presence(scene.driver)
    rosters = asked(scene, presence)
    assert len(scene.people[0].written) == 10
    rosters.serve()
    assert rosters.requests == 40 * 36
    assert all(len(known) == 36 for known in rosters.known.values())
    scene.close()


def test_a_server_that_is_slow_to_tell_is_waited_for(scene: Scene) -> None:
    presence = Presence(scene.driver)
    rosters = asked(scene, presence)
    rosters.serve()
    left = []
    for delay in (3, 2, 0):
        left.append(presence.unsettled())
        scene.now += delay * SECOND
        rosters.serve()
    assert left == [10, 10, 10]
    assert presence.unsettled() == 0


def test_what_the_server_forgot_is_asked_again(scene: Scene) -> None:
    presence = Presence(scene.driver)
    rosters = asked(scene, presence)
    rosters.deaf = True
    rosters.serve()
    rosters.deaf = False
    for scene.now in range(0, 12 * SECOND, SECOND // 4):
        if not presence.unsettled():
            break
        rosters.serve()
    assert 5 * SECOND < scene.now < 7 * SECOND
    assert all(len(known) == 2 for known in rosters.known.values())

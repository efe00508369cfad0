"""Logins of the load tool whose contacts have nodes: which items end one, what is lost and what is doubled."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.bench.scenes import SECOND, WINDOW, Person, Scene

from rookery.bench.driver.script import Send, parse
from rookery.bench.result import Messages
from rookery.bench.scenarios.pep import Pep

ASKED = b"<iq from='localhost' id='d1' type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>"


class Connecting(Scene):
    """Scripts are kept; `arrive` goes on to where the presence is sent."""

    def __init__(self) -> None:
        super().__init__(scenario="pep", users=4, contacts=2, nodes=2)
        self.begun: list[tuple[Any, Callable[[Any, str], None]]] = []
        for one in self.people:
            one.leave = lambda one=one: one.said()  # type: ignore[attr-defined]

    def start(self, client: Any, script: Any, done: Callable[[Any, str], None]) -> None:
        """Do not run it."""
        self.begun.append((client, done))


def item(owner: Person, node: int) -> bytes:
    return (
        b"<message from='%b' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'>"
        b"<items node='urn:rookery:bench:%d'><item id='current'/></items></event></message>"
        % (owner.session.account.bare.encode(), node)
    )


@pytest.fixture
def scene() -> Iterator[Connecting]:
    scene = Connecting()
    yield scene
    scene.close()


def begun(scene: Connecting) -> tuple[Pep, Person, list[Person]]:
    """One login, whose presence was sent, and whose nodes it is told of."""
    pep = Pep(scene.driver)
    pep._window = WINDOW
    client = scene.people[0]
    pep.one(client, 0)  # type: ignore[arg-type]
    pep._under_way += 1
    pep._arrivals[client].began = 1  # type: ignore[index]
    return pep, client, [scene.people[at] for at in (0, 2, 3)]


def test_a_login_ends_behind_the_last_item_and_one_that_comes_again_is_counted(scene: Connecting) -> None:
    pep, client, owners = begun(scene)
    for owner in owners:
        client.hear(item(owner, 0) + item(owner, 1)[:30])
        client.hear(item(owner, 1)[30:] + item(owner, 0) * (owner is owners[1]))
    (last,) = client.said()
    assert b"id='done'" in last
    assert pep.outstanding() == 1
    client.hear(item(owners[2], 1))
    client.hear(b"<iq type='result' id='done'/>")
    assert pep.outstanding() == 0
    assert pep.messages() == Messages(sent=6, delivered=6, duplicated=2)
    assert sum(count for _, count in scene.recorder.tick(0).parts["items"].counts) == 1


def test_what_does_not_come_is_lost_and_what_nobody_waits_for_is_an_error(scene: Connecting) -> None:
    pep, client, owners = begun(scene)
    client.hear(item(owners[1], 0) + item(scene.people[1], 0))
    assert scene.errors("items") == {"misdelivered": 1}
    pep.watch(3600 * SECOND)
    assert scene.errors("login") == {"timeout": 1}
    assert pep.messages() == Messages(sent=6, delivered=1, lost=5)


def test_the_answer_for_capabilities_has_their_hash(scene: Connecting) -> None:
    pep, client, _ = begun(scene)
    client.hear(ASKED)
    (answer,) = client.said()
    assert b"id='d1' to='localhost'" in answer
    features = [part.split(b"'")[0].decode() for part in answer.split(b"<feature var='")[1:]]
    text = "client/pc//bench<" + "".join(f"{one}<" for one in sorted(features))
    ver = base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest())
    assert b"ver='%b'" % ver in pep._capabilities.presence(b"")
    assert [one for one in features if one.endswith("+notify")] == [
        "urn:rookery:bench:0+notify",
        "urn:rookery:bench:1+notify",
    ]


def test_guests_log_in_and_know_others_both_ways() -> None:
    scene = Scene(scenario="pep", users=12, contacts=6, nodes=2, concurrency=2)
    pep = Pep(scene.driver)
    known = {client: pep.contacts.of(client) for client in scene.driver.clients}
    guests = [client for client in scene.driver.clients if pep.takes_part(client)]
    assert guests == scene.driver.clients[:4]
    assert pep.at_once() == 2
    for client, contacts in known.items():
        assert len(set(contacts)) == len(contacts)
        assert all(
            client in known[other] and pep.takes_part(other) != pep.takes_part(client) for other in contacts
        )
    assert {len(known[guest]) for guest in guests} == {6}
    scene.close()


def test_few_users_leave_fewer_guests_than_logins() -> None:
    scene = Scene(scenario="pep", users=9, contacts=7, nodes=1, concurrency=8)
    pep = Pep(scene.driver)
    assert (pep.guests(), pep.at_once()) == (2, 2)
    scene.close()


def test_nodes_are_made_by_one_at_a_time_all_at_once(scene: Connecting) -> None:
    """ejabberd 23.01 loses nodes that several clients make at the same time."""
    pep = Pep(scene.driver)
    first, *_ = pep.phases()
    assert (first.name, first.at_once) == ("publishing", 1)
    script = first.script(scene.driver.clients[0])
    assert script is not None
    sent = [next(script), script.send(None)]
    assert [
        b"node='urn:rookery:bench:%d'" % number in step.data
        for number, step in enumerate(sent)
        if isinstance(step, Send)
    ] == [True, True]
    assert script.send(None) is None
    assert script.send(parse(b"<iq type='result' id='publish1'/>")) is None
    with pytest.raises(StopIteration):
        script.send(parse(b"<iq type='result' id='publish0'/>"))

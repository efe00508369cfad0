"""What comes while a room is being read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rookery.shared.bus.messages import Origin, Route
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.part import Part
from rookery.workers.muc.queries import Requests
from rookery.workers.muc.rooms import Rooms

ROOM = "room@conference.example.org"
JOIN = Stanza.build("presence", from_="alice@example.org/r", to=f"{ROOM}/Alice")


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.accepted: list[Origin] = []
        self.handled: list[Stanza] = []
        self.work: list[Any] = []
        self.part = Part(3, 1, 0)
        lanes = SimpleNamespace(
            busy=lambda *_: False, submit=lambda partition, jid, work: self.work.append(work)
        )
        shell: Any = SimpleNamespace(
            accept=lambda part, origin: self.accepted.append(origin), clock=lambda: 0.0
        )
        worker: Any = SimpleNamespace(lanes=lanes)
        self.rooms = Rooms(worker, shell, SimpleNamespace())  # type: ignore[arg-type]
        monkeypatch.setattr(self.rooms, "_handle", lambda live, item: self.handled.append(item.stanza))

    async def read(self, item: Route, monkeypatch: pytest.MonkeyPatch, *, done: bool) -> None:
        """The stanza comes; then the room's rows are there, and say whether it is done."""
        self.rooms.take(self.part, item)

        async def there(part: Part, jid: str) -> object:
            if done:
                part.uids.done(item.origin._replace(custodian=""))
            return object()

        monkeypatch.setattr(self.rooms, "there", there)
        for work in self.work:
            await work()


@pytest.mark.parametrize("done", [True, False])
async def test_what_the_rows_say_is_done_is_not_done_again(
    done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A former holder let somebody in and died before the router knew: it sends the join to the next one, which reads the room first."""
    scene = Scene(monkeypatch)
    origin = Origin(b"s" * 16, 5, "router1")
    await scene.read(Route(origin, JOIN), monkeypatch, done=done)
    assert scene.handled == ([] if done else [JOIN])
    assert scene.accepted == ([origin] if done else [])


@pytest.mark.parametrize(
    ("kind", "type", "answer"),
    [
        ("presence", "", b"<error type='modify'><jid-malformed"),
        ("presence", "unavailable", b""),
        ("message", "groupchat", b"<error type='cancel'><item-not-found"),
    ],
)
async def test_a_room_that_does_not_exist_answers_what_has_no_nick(
    kind: str, type: str, answer: bytes
) -> None:
    """XEP-0045 section 7.2.1: a join needs a nick, whether the room is there or not."""
    sent: list[Stanza] = []
    accepted: list[Origin] = []
    shell: Any = SimpleNamespace(
        accept=lambda part, origin: accepted.append(origin), ways=SimpleNamespace(route=sent.append)
    )
    rooms = Rooms(SimpleNamespace(), shell, SimpleNamespace())  # type: ignore[arg-type]
    stanza = Stanza.build(kind, from_="alice@example.org/r", to=ROOM, type=type)
    origin = Origin(b"s" * 16, 5, "router1")
    assert await rooms._create(Part(3, 1, 0), ROOM, Route(origin, stanza)) is None
    assert [one.inner.startswith(answer) for one in sent] == ([True] if answer else [])
    assert accepted == [origin]


@pytest.mark.parametrize(
    ("id", "moderator", "answer"),
    [
        ("given", True, "decide"),
        ("other", True, "item-not-found"),
        ("other", False, "decide"),
        ("", True, "decide"),
    ],
)
def test_a_message_that_the_room_never_gave_out_is_not_taken_back(
    id: str, moderator: bool, answer: str
) -> None:
    """XEP-0425 section 4.2: an error when it cannot be done; who may not hears that from the room first."""
    seal = SimpleNamespace(open=lambda owner, text: 7 if (owner, text) == (3, "given") else None)
    requests = Requests(SimpleNamespace(), SimpleNamespace(seal=seal), SimpleNamespace())  # type: ignore[arg-type]
    live: Any = SimpleNamespace(id=3, room=SimpleNamespace(moderates=lambda stanza, facts: moderator))
    retract = Element("urn:xmpp:message-retract:1", "retract")
    asked = Element("urn:xmpp:message-moderate:1", "moderate", {"id": id} if id else None, retract)
    stanza = Stanza.build("iq", asked, type="set", id="q", from_="alice@example.org/r", to=ROOM)
    item = Route(Origin(b"s" * 16, 5, "router1"), stanza)
    facts: Any = None
    if answer == "decide":
        assert not requests.answers(live, item, facts)
        return
    with pytest.raises(StanzaError, match=answer):
        requests.answers(live, item, facts)

"""A room and those around it, without a shell: what everybody hears, in order, as the shell would give it to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest

from rookery.shared.xeps.data_forms import Field, form
from rookery.shared.xeps.multi_user_chat import ADMIN, CONFIG, NS, OWNER, USER, Options
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.outs import Deed, Note, Say, Tell
from rookery.workers.muc.room.facts import Facts
from rookery.workers.muc.room.room import Room

ROOM = "garden@rooms.example"
ALICE, BOB, CAROL, DAVE = (f"{name}@example.org/phone" for name in ("alice", "bob", "carol", "dave"))
FAST = Options(messages_per_second=1e6, presences_per_second=1e6, joins_per_second=1e6, messages_burst=10**6)


class Archived(NamedTuple):
    """A message of the archive."""

    n: int
    stamp: float
    stanza: Stanza
    author: str = ""


class Scene:
    """`heard[full]` is what somebody has got; `order` what all have got, under its number."""

    def __init__(self, options: Options = FAST) -> None:
        self.room = Room.new(ROOM)
        self.options = options
        self.now = 1_600_000_000.0
        self.heard: dict[str, list[Stanza]] = {}
        self.order: dict[str, list[int]] = {}
        self.inside: dict[str, None] = {}
        self.archive: list[Archived] = []
        self.notes: list[Note] = []
        self.admins: set[str] = set()
        self.banned: set[str] = set()
        self.senders: set[str] = set()
        self.may_create = True
        self.deed = Deed()
        self.n = 0
        #: The session that a user's presence comes from, its number there, and whether it comes because that is over.
        self.streams: dict[str, bytes] = {}
        self.number = 0
        self.ended = False

    def facts(self, full: str = "") -> Facts:
        return Facts(
            self.now,
            self.options,
            self.archive,
            full in self.admins,
            self.may_create,
            b"secret",
            f"token{self.n}",
            full in self.banned,
            full in self.senders,
            self.streams.get(full, b""),
            self.number,
            self.ended,
        )

    def reload(self) -> None:
        """Another process takes the room from its rows."""
        room = self.room
        lists = {
            jid: row[1] for jid in room.state.affiliates if (row := room.pack_affiliation(jid)) is not None
        }
        occupants = {full: room.pack_occupant(full) for full in room.occupants}
        self.room = Room.load(ROOM, room.pack(), lists, occupants)

    def send(self, stanza: Stanza) -> Deed:
        """One stanza; raises StanzaError as the room does."""
        self.n += 1
        deed = self.room.handle(stanza, self.facts(stanza.from_))
        self.take(deed)
        return deed

    def take(self, deed: Deed) -> None:
        self.deed = deed
        self.notes += deed.notes
        for full in deed.occupants:
            if full not in self.room.occupants:
                self.inside.pop(full, None)
        for out in deed.outs:
            self.n += 1
            if isinstance(out, Say):
                assert out.stanza.to == ""
                audience = list(self.inside) if out.audience is None else out.audience
                for full in audience:
                    if full not in out.but:
                        self._hear(full, out.stanza)
                if out.archived:
                    self.archive.append(Archived(self.n, self.now, out.stanza, out.author))
            elif isinstance(out, Tell):
                for stanza in out.stanzas:
                    assert stanza.to == out.full
                    self._hear(out.full, stanza)
                if out.entrance:
                    self.inside[out.full] = None
            else:
                self._hear(out.stanza.to, out.stanza)

    def _hear(self, full: str, stanza: Stanza) -> None:
        self.heard.setdefault(full, []).append(stanza)
        self.order.setdefault(full, []).append(self.n)

    def got(self, full: str) -> list[Stanza]:
        """What somebody has got since the last call."""
        return self.heard.pop(full, [])

    def quiet(self) -> None:
        """Forget what everybody has got."""
        self.heard.clear()

    # --- what people do ----------------------------------------------------------------------------------------------

    def join(self, full: str, nick: str, *children: Element, to: str = ROOM) -> list[Stanza]:
        self.send(presence(full, nick, Element(NS, "x", None, *children)))
        return self.got(full)

    def leave(self, full: str, nick: str = "x") -> None:
        self.send(Stanza.build("presence", type="unavailable", from_=full, to=f"{ROOM}/{nick}"))

    def say(self, full: str, text: str = "hi", *children: Element) -> Deed:
        body = Element(ns.CLIENT, "body", None, text)
        return self.send(
            Stanza.build("message", body, *children, type="groupchat", id="m", from_=full, to=ROOM)
        )

    def iq(self, full: str, type: str, payload: Element, to: str = ROOM) -> Stanza:
        """The answer to a request."""
        self.heard.pop(full, None)
        self.send(Stanza.build("iq", payload, type=type, id="q", from_=full, to=to))
        return next(stanza for stanza in self.heard.get(full, []) if stanza.kind == "iq")

    def admin(self, full: str, *items: dict[str, str], reason: str = "") -> Stanza:
        elements = [Element(ADMIN, "item", dict(item)) for item in items]
        if reason:
            elements[0].children.append(Element(ADMIN, "reason", None, reason))
        return self.iq(full, "set", Element(ADMIN, "query", None, *elements))

    def listed(self, full: str, **which: str) -> list[dict[str, str]]:
        answer = self.iq(full, "get", Element(ADMIN, "query", None, Element(ADMIN, "item", which)))
        query = answer.find(ADMIN, "query")
        assert query is not None
        return [item.attrs for item in query.elements(ADMIN, "item")]

    def configure(self, full: str, **fields: str | Sequence[str]) -> Stanza:
        """Submit some fields by the end of their names."""
        filled = []
        for name, value in fields.items():
            values = (value,) if isinstance(value, str) else tuple(value)
            prefix = "" if "#" in name or "{" in name else "muc#roomconfig_"
            filled.append(Field(prefix + name, values))
        x = form("submit", CONFIG, filled)
        return self.iq(full, "set", Element(OWNER, "query", None, x))

    def unlock(self, full: str) -> Stanza:
        x = Element("jabber:x:data", "x", {"type": "submit"})
        return self.iq(full, "set", Element(OWNER, "query", None, x))


def opened(options: Options = FAST, **fields: str | Sequence[str]) -> Scene:
    """A room that alice (nick Alice) made, and bob (nick Bob) came into."""
    scene = Scene(options)
    scene.join(ALICE, "Alice")
    scene.unlock(ALICE)
    if fields:
        scene.configure(ALICE, **fields)
    scene.join(BOB, "Bob")
    scene.quiet()
    return scene


def presence(full: str, nick: str, *children: Element, type: str = "") -> Stanza:
    to = f"{ROOM}/{nick}" if nick else ROOM
    return Stanza.build("presence", *children, type=type, from_=full, to=to)


def item_of(stanza: Stanza) -> dict[str, str]:
    """The attributes of the item in a presence."""
    x = stanza.find(USER, "x")
    assert x is not None
    item = x.find(USER, "item")
    assert item is not None
    return item.attrs


def codes_of(stanza: Stanza) -> set[int]:
    """All status codes of a stanza."""
    x = stanza.find(USER, "x")
    return set() if x is None else {int(status.attrs["code"]) for status in x.elements(USER, "status")}


class Refused(NamedTuple):
    """A standard error."""

    condition: str
    type: str


def refused(scene: Scene, stanza: Stanza) -> Refused:
    """The error that a stanza is answered with."""
    with pytest.raises(StanzaError) as caught:
        scene.send(stanza)
    return Refused(caught.value.condition, caught.value.type)

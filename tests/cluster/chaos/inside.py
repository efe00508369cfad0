"""What a client does in rooms: it enters them with each new session, speaks, hears, and tells the judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from tests.cluster.chaos.rooms import Fate, Spoken, Stay
from tests.cluster.chaos.wire import CLIENT, local
from tests.cluster.chaos.world import World

if TYPE_CHECKING:
    from tests.cluster.chaos.client import Client

SERVICE: Final = "conference.localhost"
_MUC: Final = "http://jabber.org/protocol/muc"
_USER: Final = _MUC + "#user"
_DELAY: Final = "{urn:xmpp:delay}delay"
_IDLE: Final = "not yet"


class Inside:
    """One client's places. `rooms`: the numbers of its rooms; the nick is the client's number."""

    def __init__(self, client: Client, world: World, rooms: tuple[int, ...]) -> None:
        self._client = client
        self._world = world
        self.rooms = rooms
        self._n = 0
        self._asked = 0
        #: What came of the last XEP-0410 ping of each room.
        self.pings: dict[str, str] = {}

    def jid(self, room: int) -> str:
        """The address of a room."""
        return f"room{room}@{SERVICE}"

    def enter(self) -> None:
        """A new session: into all rooms."""
        for room in self.rooms:
            self._enter(room)

    def _enter(self, room: int) -> None:
        x = f"<x xmlns='{_MUC}'><history maxstanzas='5'/></x>"
        self._client.send(f"<presence to='{self.jid(room)}/{self._client.index}'>{x}</presence>".encode())

    def _knock(self, room: int, chain: int) -> None:
        """Somebody makes the room right now: try again."""
        if self._client.chain is not None and self._client.chain.number == chain:
            self._enter(room)

    def unlock(self, room: int) -> None:
        """Configure a room as it is: it stays when nobody is in it."""
        field = "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>"
        stays = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>"
        form = f"<x xmlns='jabber:x:data' type='submit'>{field}{stays}</x>"
        self._client.send(
            f"<iq type='set' id='open{room}' to='{self.jid(room)}'>"
            f"<query xmlns='{_MUC}#owner'>{form}</query></iq>".encode()
        )

    def inside(self, room: int) -> Stay | None:
        """The stay of the session that it has now."""
        chain = self._client.chain
        return None if chain is None else self._world.rooms.stay(self._client.index, chain.number, room)

    @property
    def ready(self) -> bool:
        """Whether it is in all its rooms."""
        return all(self.inside(room) is not None for room in self.rooms)

    def next_message(self, room: int) -> tuple[bytes, Fate]:
        """A message to a room, and what will become of it."""
        client, world = self._client, self._world
        assert client.chain is not None
        self._n += 1
        spoken = Spoken(room, client.index, self._n)
        fate = world.rooms.said(spoken, client.chain.number, world.loop.now)
        data = f"<message to='{self.jid(room)}' type='groupchat' id='g{self._n}'><body>{spoken.name}</body></message>"
        return data.encode(), fate

    def ping(self) -> None:
        """Ask every room whether it believes that this session is in (XEP-0410)."""
        for room in self.rooms:
            self._asked += 1
            id_ = f"p{self._asked}"
            self.pings[id_] = _IDLE
            self._client.send(
                f"<iq type='get' id='{id_}' to='{self.jid(room)}/{self._client.index}'>"
                "<ping xmlns='urn:xmpp:ping'/></iq>".encode()
            )

    @property
    def answered(self) -> bool:
        """Whether all pings are answered."""
        return _IDLE not in self.pings.values()

    # --- what comes ---

    def presence(self, element: Element) -> None:
        """From an occupant, or about the own entry."""
        found = self._place(element)
        if found is None:
            return
        room, nick = found
        client, world = self._client, self._world
        book, now, chain = world.rooms, world.loop.now, client.chain
        assert chain is not None
        codes = {status.get("code") for status in element.iter(f"{{{_USER}}}status")}
        type_ = element.get("type", "")
        if type_ == "error":
            if (
                _condition(element) == "item-not-found"
                and book.stay(client.index, chain.number, room) is None
            ):
                world.loop.after(0.5, lambda: self._knock(room, chain.number))
                return
            book.tell(now, client.index, room, f"error {_condition(element)}", client.index, chain.number)
            return
        stay = book.stay(client.index, chain.number, room)
        if not type_:
            if "110" in codes:
                book.entered(client.index, chain.number, room, now)
                if "201" in codes:
                    self.unlock(room)
            stay = book.stay(client.index, chain.number, room)
            self._sees(room, chain.number).add(nick)
            if stay is not None:
                stay.nicks = self._sees(room, chain.number)
            return
        self._sees(room, chain.number).discard(nick)
        what = f"unavailable {' '.join(sorted(code for code in codes if code))}".strip()
        about = world.chain_of(nick)
        if nick == client.index and stay is None:
            return  # the leave of a session before this one, which is not in yet
        book.tell(now, client.index, room, what, nick, about)

    def _sees(self, room: int, chain: int) -> set[int]:
        client = self._client
        if client.seen_chain != chain:
            client.seen_chain, client.seen = chain, {}
        return client.seen.setdefault(room, set())

    def message(self, element: Element) -> bool:
        """Whether it was a room's business."""
        found = self._place(element)
        if found is None:
            return False
        room = found[0]
        client, world = self._client, self._world
        book, now, chain = world.rooms, world.loop.now, client.chain
        assert chain is not None
        if element.get("type") == "error":
            fate = book.fates.get(Spoken(room, client.index, int(element.get("id", "g0")[1:])))
            condition = _condition(element)
            if fate is not None:
                fate.bounced = condition
            book.tell(now, client.index, room, f"message refused: {condition}", client.index, chain.number)
            return True
        body = element.findtext(f"{{{CLIENT}}}body")
        if body is None:
            return True
        spoken = Spoken(*(int(part) for part in body.strip().split(":")))
        stay = book.stay(client.index, chain.number, room)
        if stay is None:
            book.tell(now, client.index, room, f"heard {spoken.name} outside", client.index, chain.number)
        else:
            book.heard(stay, spoken, now, client.up_since, element.find(_DELAY) is not None)
        return True

    def iq(self, element: Element) -> bool:
        """Whether it is the answer to a question to a room."""
        id_ = element.get("id", "")
        if id_ not in self.pings:
            return id_.startswith("open")
        if element.get("type") == "error":
            self.pings[id_] = _condition(element)
        else:
            self.pings[id_] = "result"
        return True

    def _place(self, element: Element) -> tuple[int, int] | None:
        """Room and nick of the sender; None when it comes from elsewhere. A room itself has the nick -1."""
        bare, _, nick = element.get("from", "").partition("/")
        name, _, domain = bare.partition("@")
        if domain != SERVICE:
            return None
        return int(name.removeprefix("room")), int(nick) if nick else -1


def _condition(element: Element) -> str:
    error = element.find(f"{{{CLIENT}}}error")
    return local(error[0]) if error is not None and len(error) else ""

"""A stand-in for the room machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from rookery.shared.xeps.delayed_delivery import stamped
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.outs import Deed, Say, Send, Tell

USER = "http://jabber.org/protocol/muc#user"


class Occupant(NamedTuple):
    nick: str
    full: str


class Listing(NamedTuple):
    public: bool = True
    persistent: bool = False
    name: str = ""
    description: str = ""
    lang: str = ""


class Room:
    def __init__(self, jid: str) -> None:
        self.jid = jid
        self.occupants: dict[str, Occupant] = {}
        self.history: Any = ()

    @staticmethod
    def new(jid: str) -> Room:
        return Room(jid)

    @staticmethod
    def load(jid: str, state: bytes, affiliations: dict[str, bytes], occupants: dict[str, bytes]) -> Room:
        room = Room(jid)
        for full, packed in occupants.items():
            room.occupants[full] = Occupant(msgpack.unpackb(packed), full)
        return room

    def pack(self) -> bytes:
        return b""

    def pack_occupant(self, full: str) -> bytes:
        return bytes(msgpack.packb(self.occupants[full].nick))

    def pack_affiliation(self, jid: str) -> tuple[str, bytes] | None:
        return None

    def listing(self) -> Listing:
        return Listing()

    def presence(self, nick: str, type: str = "", own: bool = False) -> Stanza:
        role = "none" if type else "participant"
        x = Element(USER, "x", None, Element(USER, "item", {"affiliation": "none", "role": role}))
        if own:
            x.children.append(Element(USER, "status", {"code": "110"}))
        return Stanza.build("presence", x, type=type, from_=f"{self.jid}/{nick}")

    def entrance(self, full: str, history: Sequence[Any]) -> list[Stanza]:
        me = self.occupants[full]
        out = [
            self.presence(other.nick).replace(to=full)
            for other in self.occupants.values()
            if other.full != full
        ]
        out.append(self.presence(me.nick, own=True).replace(to=full))
        out += [stamped(told.stanza, told.stamp, self.jid).replace(to=full) for told in list(history)[-20:]]
        subject = Stanza.build(
            "message", Element("jabber:client", "subject"), type="groupchat", from_=self.jid
        )
        out.append(subject.replace(to=full))
        return out

    def handle(self, stanza: Stanza, now: float, history: Sequence[Any] = ()) -> Deed:
        full = stanza.from_
        me = self.occupants.get(full)
        nick = stanza.to.partition("/")[2]
        if stanza.kind == "presence":
            if stanza.type == "":
                if me is not None:
                    return Deed((Say(self.presence(me.nick)),))
                if any(one.nick == nick for one in self.occupants.values()):
                    raise StanzaError("conflict")
                fresh = not self.occupants
                self.occupants[full] = Occupant(nick, full)
                return Deed(
                    (Say(self.presence(nick)), Tell(full, self.entrance(full, history), True)),
                    True,
                    fresh,
                    (),
                    (full,),
                )
            if me is None:
                return Deed()
            del self.occupants[full]
            gone = self.presence(me.nick, "unavailable")
            own = self.presence(me.nick, "unavailable", True).replace(to=full)
            return Deed((Tell(full, (own,)), Say(gone)), True, False, (), (full,))
        if stanza.kind == "message":
            if stanza.type == "error":
                return Deed()
            if me is None:
                raise StanzaError("not-acceptable")
            if nick:
                other = next((one for one in self.occupants.values() if one.nick == nick), None)
                if other is None:
                    raise StanzaError("item-not-found")
                return Deed((Send(stanza.replace(from_=f"{self.jid}/{me.nick}", to=other.full), True),))
            return Deed((Say(stanza.replace(from_=f"{self.jid}/{me.nick}", to=""), None, True),), True)
        raise StanzaError("feature-not-implemented")

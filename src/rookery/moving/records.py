"""What is moved, as values: people with all that they keep at a server, and rooms. Addresses are prepared, stamps are in Unix seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account.credentials import Keys
from rookery.workers.muc.room.config import Config as RoomConfig
from rookery.workers.muc.room.values import Affiliate, Subject
from rookery.workers.pubsub.config import Config as NodeConfig
from rookery.workers.pubsub.config import Limits

#: What a node may have at most when it comes in; the service cuts it further when it is used.
NODE_LIMITS: Final = Limits(items=10_000, payload_bytes=16 * 1024 * 1024)


class MovingError(Exception):
    """A source cannot be read: one line for the operator."""


class Left(NamedTuple):
    """Something that could not be carried: of whom, and what (a kind of thing, so that it can be counted)."""

    who: str
    what: str


class Contact(NamedTuple):
    """A contact (RFC 6121 section 2.1.2). `request` is the subscription request that waits for an answer; unless `listed` that is all."""

    jid: str
    name: str = ""
    groups: Sequence[str] = ()
    to: bool = False
    from_: bool = False
    asked: bool = False
    approved: bool = False
    listed: bool = True
    request: Stanza | None = None


class Message(NamedTuple):
    """A message of an archive, or one that waits (`owed`). The stanza has no archive id and no delay stamp."""

    stamp: float
    stanza: Stanza
    peer: str
    outgoing: bool = False
    archived: bool = True
    owed: bool = False


class Item(NamedTuple):
    """An item of a node; `payload` is canonical XML."""

    id: str
    publisher: str
    published: float
    payload: bytes


class Subscriber(NamedTuple):
    """Who is subscribed to a node by name."""

    jid: str
    state: str = "subscribed"
    subid: str = ""


class Node(NamedTuple):
    """A node of a person (XEP-0163), items oldest first."""

    name: str
    config: NodeConfig
    items: Sequence[Item] = ()
    affiliations: Sequence[tuple[str, str]] = ()
    subscribers: Sequence[Subscriber] = ()


class Preferences(NamedTuple):
    """What is archived (XEP-0441)."""

    fallback: str
    always: Sequence[str] = ()
    never: Sequence[str] = ()


class Person(NamedTuple):
    """An account with all that it has. A password is prepared; either that or keys. `created` 0.0: not known."""

    local: str
    domain: str
    password: str = ""
    keys: Sequence[Keys] = ()
    email: str = ""
    disabled: bool = False
    created: float = 0.0
    contacts: Sequence[Contact] = ()
    card: bytes = b""
    private: Sequence[tuple[str, str, bytes]] = ()
    blocked: Sequence[str] = ()
    messages: Sequence[Message] = ()
    nodes: Sequence[Node] = ()
    preferences: Preferences | None = None

    @property
    def jid(self) -> str:
        """The bare JID."""
        return f"{self.local}@{self.domain}"


class Room(NamedTuple):
    """A room with its settings, its lasting affiliations and its archive."""

    jid: str
    config: RoomConfig
    affiliates: Sequence[tuple[str, Affiliate]] = ()
    subject: Subject = Subject()
    messages: Sequence[Message] = ()


Record = Person | Room | Left

"""One node: its settings, who is affiliated, who is subscribed, and its last item. Values; nothing here does anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rookery.shared.xmpp.jid import bare_of
from rookery.workers.pubsub.config import Config, Limits

OWNER, PUBLISHER, PUBLISH_ONLY, MEMBER, NONE, OUTCAST = (
    "owner",
    "publisher",
    "publish-only",
    "member",
    "none",
    "outcast",
)
AFFILIATIONS: Final = (OWNER, PUBLISHER, PUBLISH_ONLY, MEMBER, NONE, OUTCAST)
#: Those who may read whatever the access model is (section 4.1).
INSIDE: Final = frozenset({OWNER, PUBLISHER, MEMBER})
SUBSCRIBED, PENDING = "subscribed", "pending"


class Subscription(NamedTuple):
    """Who is notified; `options` as in `options.read`, what differs from the defaults."""

    jid: str
    subid: str
    state: str = SUBSCRIBED
    options: Mapping[str, str] = {}

    @property
    def active(self) -> bool:
        """Whether it is notified now."""
        return self.state == SUBSCRIBED and self.options.get("deliver") != "0"


class Item(NamedTuple):
    """One item. `payload` is canonical XML in no namespace of ours, empty for none; `n` is the number of its publication."""

    id: str
    n: int
    publisher: str
    payload: bytes
    published: float = 0.0


class Node:
    """A node of `owner`, an account or a service. `id` is 0 until it is committed; `n` the number of its last event."""

    __slots__ = (
        "affiliations",
        "config",
        "count",
        "created",
        "creator",
        "id",
        "last",
        "n",
        "name",
        "owner",
        "subscriptions",
    )

    def __init__(self, owner: str, name: str, config: Config, creator: str) -> None:
        self.owner = owner
        self.name = name
        self.config = config
        self.creator = creator
        self.id = 0
        self.n = 0
        self.created = 0.0
        #: How many items there are, at least: what expired may be counted still.
        self.count = 0
        self.last: Item | None = None
        #: Bare JIDs; who is not here has none.
        self.affiliations: dict[str, str] = {}
        self.subscriptions: dict[tuple[str, str], Subscription] = {}

    @property
    def account(self) -> bool:
        """Whether it belongs to an account (PEP)."""
        return self.config.account

    def affiliation(self, bare: str) -> str:
        """How somebody is affiliated; an account owns its nodes."""
        if self.account and bare == self.owner:
            return OWNER
        return self.affiliations.get(bare, NONE)

    def owners(self) -> list[str]:
        """The bare JIDs of all owners."""
        found = [jid for jid, one in self.affiliations.items() if one == OWNER]
        return [self.owner, *found] if self.account and self.owner not in found else found

    def of(self, jid: str) -> list[Subscription]:
        """The subscriptions of exactly this JID."""
        return [one for one in self.subscriptions.values() if one.jid == jid]

    def of_bare(self, bare: str) -> list[Subscription]:
        """The subscriptions of an entity, whatever its resource."""
        return [one for one in self.subscriptions.values() if bare_of(one.jid) == bare]

    def has(self, item: Item, now: float) -> bool:
        """Whether an item is not too old yet."""
        seconds = self.config.expire()
        return not seconds or item.published >= now - seconds

    def newest(self, now: float) -> Item | None:
        """The last item, as long as it is there."""
        return self.last if self.last is not None and self.has(self.last, now) else None

    @property
    def weight(self) -> int:
        """What it costs to keep it in memory, roughly in octets."""
        last = 0 if self.last is None else len(self.last.payload)
        return 1000 + last + 150 * len(self.affiliations) + 400 * len(self.subscriptions)


class Contact(NamedTuple):
    """How the owning account stands to the sender: whether that sees its presence, and the groups that it is in."""

    sees: bool
    groups: Sequence[str] = ()


class Ask(NamedTuple):
    """Who asks, and what the shell knows of that: the machine has no other way to know.

    `jid` is the full JID. `contact` is for accounts only. `subid` names a new subscription, `now` is in Unix seconds. `admin`: the
    sender administers the service. `host`: what a service allows.
    """

    jid: str
    now: float
    limits: Limits
    contact: Contact = Contact(False)
    subid: str = ""
    admin: bool = False

    @property
    def bare(self) -> str:
        """The bare JID of the sender."""
        return bare_of(self.jid)

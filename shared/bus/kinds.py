"""The kinds of process, in one table. Whoever needs to know something of all kinds reads it here.

Wiring, `rookery up`, the command line, notices, the address book and the edges read this table. A new kind is a member of `Kind`
and a row of `KINDS` (the recipe is in docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, IntEnum
from typing import Final, NamedTuple

#: What a hosted domain is unless its row says otherwise: its addresses are accounts of users.
ACCOUNTS: Final = "accounts"
#: What a domain of rooms is, of files over HTTP, of nodes (XEP-0060).
ROOMS: Final = "rooms"
UPLOADS: Final = "upload"
PUBSUB: Final = "pubsub"
#: What a relay of byte streams is.
PROXIES: Final = "proxy"
#: What a domain is whose addresses an external component answers (XEP-0114).
COMPONENTS: Final = "component"
#: The services that each domain of accounts gets when it is added, and what stands before its name in theirs.
SERVICES: Final = {ROOMS: "conference.", UPLOADS: "upload.", PUBSUB: "pubsub.", PROXIES: "proxy."}


class Kind(IntEnum):
    """The kinds of process; the numbers are on the wire, without gaps, and never change."""

    EDGE = 0
    ROUTER = 1
    ROSTER = 2
    PRESENCE = 3
    OFFLINE = 4
    ACCOUNT = 5
    MUC = 6
    S2S = 7
    PUBSUB = 8
    COMPONENT = 9
    UPLOAD = 10
    PROXY = 11

    @property
    def label(self) -> str:
        """The name that operators, subjects and the database use."""
        return self.name.lower()


class Notice(Enum):
    """What kinds can be told of: the names are those of the items (`shared.bus.notices` makes them)."""

    ACCOUNT_CHANGED = "AccountChanged"
    CONTACT_REMOVED = "ContactRemoved"


class KindRow(NamedTuple):
    """One kind of process.

    `help` is one line for people. `service` is `module:class` of its service, "" while this version has none: the number is
    reserved. `worker`: `rookery worker` runs it, alone or with others; `by_default`: the workers of `rookery up` do. `needed`: an edge
    calls itself ready only when every partition of this kind has a holder. `accepts`: it says Accepted for stanzas of clients that a
    router handed to it, so edges send them again when its partition has another holder. `told` are the notices that it gets.
    `serves` is the kind of domain whose addresses it answers, "" for none; `by_domain`: all addresses of a domain are in
    one partition, that of the domain, else each bare JID is in its own.
    """

    kind: Kind
    help: str
    service: str = ""
    worker: bool = True
    by_default: bool = False
    needed: bool = False
    accepts: bool = False
    told: frozenset[Notice] = frozenset()
    serves: str = ""
    by_domain: bool = False

    @property
    def built(self) -> bool:
        """Whether this version has such a process."""
        return bool(self.service)


_ROWS: Final = (
    KindRow(
        Kind.EDGE,
        "sockets, TLS and streams of clients",
        "rookery.edge.service:EdgeService",
        worker=False,
    ),
    KindRow(
        Kind.ROUTER,
        "sessions and delivery of a share of the accounts",
        "rookery.router.service:RouterService",
        worker=False,
        needed=True,
        told=frozenset({Notice.ACCOUNT_CHANGED}),
        serves=ACCOUNTS,
    ),
    KindRow(
        Kind.ROSTER,
        "rosters and subscriptions",
        "rookery.workers.roster.service:RosterService",
        by_default=True,
        accepts=True,
        told=frozenset({Notice.ACCOUNT_CHANGED, Notice.CONTACT_REMOVED}),
    ),
    KindRow(
        Kind.PRESENCE,
        "presence for subscribers, probes, who may ask",
        "rookery.workers.presence.service:PresenceService",
        by_default=True,
        accepts=True,
        told=frozenset({Notice.ACCOUNT_CHANGED}),
    ),
    KindRow(
        Kind.OFFLINE,
        "offline messages and archives: reading and expiry",
        "rookery.workers.offline.service:OfflineService",
        by_default=True,
        accepts=True,
    ),
    KindRow(
        Kind.ACCOUNT,
        "credentials, registration, and what users keep at the server",
        "rookery.workers.account.service:AccountService",
        by_default=True,
        needed=True,
        accepts=True,
    ),
    KindRow(
        Kind.MUC,
        "chat rooms",
        "rookery.workers.muc.service:MucService",
        by_default=True,
        accepts=True,
        serves=ROOMS,
    ),
    KindRow(
        Kind.S2S,
        "streams with other servers, and what waits for them",
        "rookery.workers.s2s.service:S2sService",
        by_default=True,
        accepts=True,
        by_domain=True,
    ),
    KindRow(
        Kind.PUBSUB,
        "nodes to publish to and to subscribe to, of accounts and of services",
        "rookery.workers.pubsub.service:PubsubService",
        by_default=True,
        accepts=True,
        told=frozenset({Notice.ACCOUNT_CHANGED}),
        serves=PUBSUB,
    ),
    KindRow(
        Kind.COMPONENT,
        "services of others that connect as components, and what waits for them",
        "rookery.workers.component.service:ComponentService",
        by_default=True,
        accepts=True,
        serves=COMPONENTS,
        by_domain=True,
    ),
    KindRow(
        Kind.UPLOAD,
        "slots for files over HTTP, and the port where they are put and got",
        "rookery.workers.upload.service:UploadService",
        by_default=True,
        accepts=True,
        serves=UPLOADS,
        by_domain=True,
    ),
    KindRow(
        Kind.PROXY,
        "relays of byte streams between clients",
        "rookery.workers.proxy.service:ProxyService",
        by_default=True,
        accepts=True,
        serves=PROXIES,
        by_domain=True,
    ),
)
#: The table.
KINDS: Final[dict[Kind, KindRow]] = {row.kind: row for row in _ROWS}


def built() -> Iterator[KindRow]:
    """The kinds that this version has."""
    return (row for row in KINDS.values() if row.built)


def workers() -> list[str]:
    """Labels of the kinds that `rookery worker` can run."""
    return [row.kind.label for row in built() if row.worker]


def labelled(label: str) -> Kind:
    """The kind of this label. Raises ValueError."""
    try:
        return Kind[label.upper()]
    except KeyError:
        raise ValueError(f"there is no kind {label!r}") from None


def accepting() -> frozenset[Kind]:
    """The kinds of worker that clients' stanzas wait for."""
    return frozenset(row.kind for row in built() if row.accepts)


def told(notice: Notice) -> list[Kind]:
    """The kinds that are told of this, in the order of the table."""
    return [row.kind for row in built() if notice in row.told]


def domain_kinds() -> dict[str, KindRow]:
    """The kinds that a domain can have, with the kind of process that serves each."""
    return {row.serves: row for row in KINDS.values() if row.serves}

"""The hosted domains of a process: read at the start and whenever they may have changed, from the rows or from an account worker.

Processes with a database read the rows; an edge, which has none, asks any account worker. Both feed the same address book.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import trio

from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.kinds import ACCOUNTS
from rookery.shared.bus.messages import Domains, GetDomains, Kind
from rookery.shared.cluster.addresses import Addresses
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import Connection, DatabaseUnavailable
from rookery.shared.xmpp.errors import StanzaError

Contacts = tuple[tuple[str, tuple[str, ...]], ...]
#: Time for one question to an account worker.
CALL_SECONDS: Final = 3.0
#: The first and the longest wait between two questions while nobody answers, and that between two attempts to read rows.
FIRST_PAUSE: Final = 0.05
RETRY_SECONDS: Final = 2.0
ROWS_PAUSE: Final = 0.5
_SELECT: Final = "SELECT name, registration, policy, kind FROM domain"


class DomainRow(NamedTuple):
    """A hosted domain. `contacts` as in XEP-0157; `durability` is durable, relaxed or "" for what is configured.

    `parent` is the domain of accounts that lists this service, "" for the one that it is below. Of a service of rooms: `creation` says
    who may make rooms (anybody, local, admins; "" is local), `admins` are the bare JIDs that may do everything in all of them;
    of accounts: that may administrate the domain. `motd` is its message of the day.
    `auth` says where passwords are kept ({} for here), for account workers; `logins` are the SASL mechanisms that follow from it, for edges
    (() for those of passwords that are kept here). `federation` is whom it speaks with elsewhere: `mode`, `allow`, `block` (docs/federation.md), for s2s workers; `privileges` what a component may do for users (XEP-0356).
    `bans` are bare JIDs and domains that come into no room of a service, with the reason.
    """

    name: str
    kind: str = ACCOUNTS
    registration: bool = False
    contacts: Contacts = ()
    durability: str = ""
    parent: str = ""
    creation: str = ""
    admins: tuple[str, ...] = ()
    auth: Mapping[str, Any] = MappingProxyType({})
    logins: tuple[str, ...] = ()
    motd: str = ""
    federation: Mapping[str, Any] = MappingProxyType({})
    privileges: Mapping[str, Any] = MappingProxyType({})
    #: What is delegated to a component (XEP-0355), and what it says of it.
    delegations: Mapping[str, Any] = MappingProxyType({})
    nested: Mapping[str, Any] = MappingProxyType({})
    bans: Mapping[str, str] = MappingProxyType({})
    #: Whether people who make accounts are asked something (XEP-0158), for edges.
    puzzles: bool = False
    #: Whether requests to it, or its accounts, are delegated to components, for edges.
    delegating: bool = False


#: Reads the domains, however long it takes.
Read = Callable[[], Awaitable[Sequence[DomainRow]]]


class DomainReader:
    """Keeps an address book current. `changed` is called with all domains after each reading, before `known` returns."""

    def __init__(self, addresses: Addresses, read: Read) -> None:
        self._addresses = addresses
        self._read = read
        self.changed: Callable[[Sequence[DomainRow]], None] = _ignore
        self._stale = trio.Event()
        self._stale.set()
        self._known = trio.Event()

    def refresh(self) -> None:
        """The domains may have changed: read them again soon."""
        self._stale.set()

    @property
    def loaded(self) -> bool:
        """Whether the rows were read once."""
        return self._known.is_set()

    async def known(self) -> None:
        """Wait until the domains were read once."""
        await self._known.wait()

    async def run(self) -> None:
        """Read the domains whenever they may have changed, until cancelled."""
        while True:
            await self._stale.wait()
            self._stale = trio.Event()
            domains = await self._read()
            self._addresses.learn({one.name: one.kind for one in domains})
            self.changed(domains)
            self._known.set()


async def read_rows(conn: Connection) -> list[DomainRow]:
    """A unit of work: the rows of the table `domain`."""
    return [_of_row(row) for row in await conn.fetch(_SELECT)]


def from_rows(node: Node) -> Read:
    """Domains from the database; waits while it is away."""

    async def read() -> Sequence[DomainRow]:
        while True:
            try:
                return await node.db.run(0, read_rows)
            except DatabaseUnavailable:
                await trio.sleep(ROWS_PAUSE)

    return read


def from_account_workers(node: Node) -> Read:
    """Domains from any account worker: of the holders of one partition after the other, until one answers."""

    partition = 0

    async def read() -> Sequence[DomainRow]:
        nonlocal partition
        pause = FIRST_PAUSE
        while True:
            try:
                answer = await node.bus.call(Kind.ACCOUNT, partition, GetDomains(), timeout=CALL_SECONDS)
            except (BusTimeout, StanzaError):
                # Another partition may have another holder.
                partition = (partition + 1) % node.partitions
                await trio.sleep(pause)
                pause = min(pause * 2, RETRY_SECONDS)
                continue
            assert isinstance(answer, Domains)
            return _of_answer(answer)

    return read


def contacts_of(policy: object) -> Contacts:
    """The contact addresses (XEP-0157) in a domain's policy: {"contacts": {"abuse-addresses": ["mailto:..."]}}."""
    contacts = _decoded(policy).get("contacts")
    if not isinstance(contacts, dict):
        return ()
    return tuple(
        (str(field), tuple(str(uri) for uri in uris))
        for field, uris in sorted(contacts.items())
        if isinstance(uris, list)
    )


def _of_row(row: Any) -> DomainRow:
    policy = _decoded(row["policy"])
    said = policy.get("durability")
    durability = said if said in ("durable", "relaxed") else ""
    parent = policy.get("for")
    auth = _auth(policy)
    return DomainRow(
        row["name"],
        row["kind"],
        row["registration"] and not auth,
        contacts_of(policy),
        durability,
        parent if isinstance(parent, str) else "",
        str(policy.get("room_creation") or ""),
        tuple(str(jid) for jid in policy.get("admins") or ()),
        auth,
        motd=str(policy.get("motd") or ""),
        federation=_federation(policy),
        privileges=_mapping(policy, "privileges"),
        delegations=_mapping(policy, "delegations"),
        nested=_mapping(policy, "nested"),
        bans=bans_of(policy),
    )


def _mapping(policy: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    said = policy.get(name)
    return said if isinstance(said, dict) else {}


def bans_of(policy: Mapping[str, Any]) -> Mapping[str, str]:
    """Who comes into no room of a service with this policy: bare JIDs and domains, with the reason."""
    said = policy.get("bans")
    return {str(jid): str(reason) for jid, reason in said.items()} if isinstance(said, dict) else {}


def _auth(policy: Mapping[str, Any]) -> Mapping[str, Any]:
    """What cannot be read lets nobody in."""
    said = policy.get("auth")
    return {} if said is None else said if isinstance(said, dict) and said else {"type": ""}


def _federation(policy: Mapping[str, Any]) -> Mapping[str, Any]:
    """What cannot be read lets nobody in or out."""
    said = policy.get("federation")
    if said is None:
        # Nobody knows who a guest is (XEP-0175 section 2).
        return {"mode": "closed"} if _auth(policy).get("type") == "anonymous" else {}
    return said if isinstance(said, dict) else {"mode": "closed"}


def services(rows: Sequence[DomainRow]) -> dict[str, tuple[str, ...]]:
    """The services that each domain of accounts lists: those that say so, and those whose names are below its name."""
    accounts = {row.name for row in rows if row.kind == ACCOUNTS}
    listed: dict[str, list[str]] = {}
    for row in rows:
        if row.kind == ACCOUNTS:
            continue
        above = row.parent or row.name
        while above and above not in accounts:
            above = above.partition(".")[2]
        if above:
            listed.setdefault(above, []).append(row.name)
    return {name: tuple(sorted(names)) for name, names in listed.items()}


def _of_answer(answer: Domains) -> list[DomainRow]:
    found = []
    for i, (name, registration, contacts) in enumerate(answer.domains):
        kind = str(answer.kinds[i]) if i < len(answer.kinds) else ACCOUNTS
        told = tuple((str(field), tuple(map(str, uris))) for field, uris in contacts)
        logins = tuple(map(str, answer.logins[i])) if i < len(answer.logins) else ()
        row = DomainRow(str(name), kind, bool(registration), told, logins=logins)
        found.append(row._replace(puzzles=name in answer.puzzles, delegating=name in answer.delegating))
    return found


def _decoded(policy: object) -> dict[str, Any]:
    if isinstance(policy, str):
        policy = json.loads(policy)
    return policy if isinstance(policy, dict) else {}


def _ignore(domains: Sequence[DomainRow]) -> None:
    pass

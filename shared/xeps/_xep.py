"""How a XEP declares itself, and the tables that are built from the declarations.

A XEP is one file in this folder, named by its function. It makes one `Xep`, and either answers iqs itself (stateless: a pure
function of the stanza and a `Context`, run by the router that has the stanza) or names the kind of worker that does.
`registry.py` imports all files and builds dispatch, disco features, `docs/xeps.md` and the DOAP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from rookery.shared.options import Chosen, Section
from rookery.shared.xmpp.stanza import Stanza


class Target(Enum):
    """What an iq that the server answers is addressed to.

    * DOMAIN: a hosted domain of accounts, without a localpart (`example.org`).
    * ACCOUNT: the bare JID of an account (`alice@example.org`), or no address at all, which is the sender's own account.
    * SERVICE: a hosted domain that has other things than accounts, without a localpart (`conference.example.org`).
    * ROOM: the bare JID of a room (`garden@conference.example.org`).
    * NODE: a node of a service or an account; the request is addressed to that, and its payload's attribute `node` names the node.
    """

    DOMAIN = "domain"
    ACCOUNT = "account"
    SERVICE = "service"
    ROOM = "room"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Context:
    """What a stateless handler may know: no I/O, no clock of its own.

    `address` is what was addressed, without a resource: a domain or a bare JID; `node` is "" but for a NODE. `domain` is the domain of
    `address`. `own` is True when the sender is the account itself. `resources` are the available resources of the account addressed
    (empty for everything else), `services` the services of the domain. `admin`: the sender may administrate the domain. `now` is in Unix seconds. `options(Options)` gives the settings of a XEP.
    """

    now: float
    started: float
    version: str
    domain: str
    address: str
    own: bool
    registration_open: bool
    contacts: Sequence[tuple[str, Sequence[str]]]
    features: Mapping[Target, Sequence[str]]
    options: Chosen
    resources: Sequence[str] = ()
    node: str = ""
    services: Sequence[str] = ()
    admin: bool = False
    #: The domain is one of guests (XEP-0175).
    guests: bool = False
    #: What components say of namespaces that are delegated to them (XEP-0355), in place of what the server would.
    nested: Sequence[Any] = ()


Handler = Callable[[Stanza, Context], Stanza]


@dataclass(frozen=True, slots=True)
class Local:
    """The router answers with `handler`; `subscribers_only` goes through the presence worker's Gate first.

    Who is no subscriber, or asks an account that does not exist, gets what `stranger` makes of the request, or service-unavailable.
    When it answers a request of the account itself, that session is marked with `marks` and loses the mark `unmarks`. A worker of the kind
    `completed_by` gets the answer in place of the request (`Handle`), and completes it.
    """

    handler: Handler
    subscribers_only: bool = False
    marks: str = ""
    unmarks: str = ""
    stranger: Callable[[Stanza], Stanza] | None = None
    completed_by: str = ""


@dataclass(frozen=True, slots=True)
class Forward:
    """A worker of this kind answers (`Handle`).

    `online`, when given, answers instead while the account has an available resource. A request of the account itself
    makes the router remember `marks` for that session: `ToResources(which=marks)` then reaches it (roster and block list
    pushes go to the resources that asked for the list). `own_only` requests of others are forbidden, whether or not the account
    exists.
    """

    kind: str
    subscribers_only: bool = False
    online: Handler | None = None
    marks: str = ""
    own_only: bool = False


Entry = Local | Forward
#: (target, iq type, namespace, element name)
Key = tuple[Target, str, str, str]


@dataclass(slots=True)
class Xep:
    """One XEP: its declaration and its entries in the dispatch table.

    `features` are disco#info features by target; `implemented_in` names the module of a XEP whose work is elsewhere;
    `note` goes to `docs/xeps.md`. `options` describes the settings: a table of the configuration with the name of the file.
    """

    number: int
    version: str
    status: Literal["complete", "partial"]
    features: Mapping[Target, Sequence[str]] = field(default_factory=dict)
    implemented_in: str = ""
    note: str = ""
    since: str = "0.1.0"
    options: type[Section] | None = None
    entries: dict[Key, Entry] = field(default_factory=dict)

    def iq(
        self,
        type: str,
        ns: str,
        name: str,
        *targets: Target,
        subscribers_only: bool = False,
        marks: str = "",
        unmarks: str = "",
        stranger: Callable[[Stanza], Stanza] | None = None,
        completed_by: str = "",
    ) -> Callable[[Handler], Handler]:
        """Register a stateless handler for an iq payload; it returns the answer or raises StanzaError."""

        def register(handler: Handler) -> Handler:
            for target in targets:
                gate = subscribers_only and target is Target.ACCOUNT
                self._add(
                    (target, type, ns, name),
                    Local(handler, gate, marks, unmarks, stranger, completed_by),
                )
            return handler

        return register

    def forward(
        self,
        kind: str,
        ns: str,
        name: str,
        *targets: Target,
        types: Sequence[str] = ("get", "set"),
        subscribers_only: bool = False,
        online: Handler | None = None,
        marks: str = "",
        own_only: bool = False,
    ) -> None:
        """Let a worker of `kind` answer this iq payload."""
        for target in targets:
            for type in types:
                self._add((target, type, ns, name), Forward(kind, subscribers_only, online, marks, own_only))

    @property
    def targets(self) -> tuple[Target, ...]:
        """What it is announced or answered by, in the order of `Target`."""
        named = {*self.features, *(key[0] for key in self.entries)}
        return tuple(target for target in Target if target in named)

    def _add(self, key: Key, entry: Entry) -> None:
        if key in self.entries:
            raise ValueError(f"XEP-{self.number:04} registers {key} twice")
        self.entries[key] = entry

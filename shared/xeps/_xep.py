"""How a XEP declares itself, and the tables that are built from the declarations.

A XEP is one file in this folder, named by its function. It makes one `Xep`, and either answers iqs itself (stateless: a pure
function of the stanza and a `Context`, run by the router that has the stanza) or names the kind of worker that does.
`registry.py` imports all files and builds dispatch, disco features, `docs/xeps.md` and the DOAP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from rookery.shared.xmpp.stanza import Stanza


class Target(Enum):
    """What an iq that the server answers is addressed to."""

    DOMAIN = "domain"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Context:
    """What a stateless handler may know: no I/O, no clock of its own.

    `own` is True when the sender is the account itself. `resources` are the available resources of the account addressed
    (empty for a domain). `now` is in Unix seconds.
    """

    now: float
    started: float
    version: str
    domain: str
    own: bool
    registration_open: bool
    contacts: Sequence[tuple[str, Sequence[str]]]
    features: Mapping[Target, Sequence[str]]
    resources: Sequence[str] = ()


Handler = Callable[[Stanza, Context], Stanza]


@dataclass(frozen=True, slots=True)
class Local:
    """The router answers with `handler`; `subscribers_only` goes through the presence worker's Gate first.

    When it answers a request of the account itself, that session is marked with `marks` and loses the mark `unmarks`.
    """

    handler: Handler
    subscribers_only: bool = False
    marks: str = ""
    unmarks: str = ""


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
    `note` goes to `docs/xeps.md`.
    """

    number: int
    version: str
    status: Literal["complete", "partial"]
    features: Mapping[Target, Sequence[str]] = field(default_factory=dict)
    implemented_in: str = ""
    note: str = ""
    since: str = "0.1.0"
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
    ) -> Callable[[Handler], Handler]:
        """Register a stateless handler for an iq payload; it returns the answer or raises StanzaError."""

        def register(handler: Handler) -> Handler:
            for target in targets:
                gate = subscribers_only and target is Target.ACCOUNT
                self._add((target, type, ns, name), Local(handler, gate, marks, unmarks))
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

    def _add(self, key: Key, entry: Entry) -> None:
        if key in self.entries:
            raise ValueError(f"XEP-{self.number:04} registers {key} twice")
        self.entries[key] = entry

"""A verb: one thing that operators may do, described once. The HTTP API, its OpenAPI document and the checks of what is given follow from it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, NamedTuple

from msgspec import Meta, Struct

from rookery.admin.desk import Desk

#: What a token may be allowed. "read" is everything that changes nothing, "all" is everything.
SCOPES: Final = (
    "read",
    "users",
    "domains",
    "sessions",
    "rooms",
    "s2s",
    "announce",
    "cluster",
    "watch",
    "bodies",
    "all",
)
_IN_PATH: Final = re.compile(r"\{(\w+)\}")


class Taken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a verb is given; what its path does not name comes in the query (GET, DELETE) or in the body."""


class Given(Struct, frozen=True, kw_only=True):
    """What a verb answers."""


class Made(NamedTuple):
    """An answer that says: this is new (201)."""

    answer: Any


class Verb(NamedTuple):
    """One verb. `scope` allows it, beside "all" and, when it changes nothing, "read". `gives` None has no answer but that it is done.

    `does` may return `Made` when `makes`.
    """

    name: str
    scope: str
    method: str
    path: str
    takes: type[Taken]
    gives: Any
    does: Callable[[Desk, Any], Awaitable[Any]]
    summary: str
    makes: bool = False
    #: What it may answer besides: 404, 409, 503.
    errors: tuple[int, ...] = ()

    @property
    def in_path(self) -> tuple[str, ...]:
        """The fields that stand in the path."""
        return tuple(_IN_PATH.findall(self.path))

    @property
    def in_body(self) -> bool:
        """Whether the other fields stand in the body."""
        return self.method in ("PUT", "POST")

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method == "GET"

    def allowed(self, scopes: frozenset[str]) -> bool:
        """Whether a token of these scopes may do it. What tokens there are is for those who may do all."""
        return (
            "all" in scopes
            or self.scope in scopes
            or (self.reads and "read" in scopes and self.scope != "all")
        )


UserJid = Annotated[
    str, Meta(description="Bare JID of a user, as alice@example.org", min_length=3, max_length=2047)
]
AnyJid = Annotated[
    str, Meta(description="A JID, with a resource for one session", min_length=3, max_length=3071)
]
DomainName = Annotated[str, Meta(description="Name of a hosted domain", min_length=1, max_length=1023)]
Limit = Annotated[int, Meta(description="At most so many", ge=1, le=500)]
Password = Annotated[
    str, Meta(description="A password; what is stored of it are SCRAM keys", min_length=1, max_length=1024)
]


class Nothing(Taken, frozen=True, kw_only=True):
    """No fields."""


class OfUser(Taken, frozen=True, kw_only=True):
    """A user."""

    jid: UserJid


class OfDomain(Taken, frozen=True, kw_only=True):
    """A domain."""

    domain: DomainName

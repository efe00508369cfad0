"""Verbs about hosted domains."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from rookery.admin import domains, names, speaking
from rookery.admin.desk import Desk
from rookery.admin.errors import Invalid
from rookery.admin.verb import Given, Made, Nothing, OfDomain, Taken, UserJid, Verb
from rookery.workers.account import challenges
from rookery.workers.account.policies import Changes, Policy

Durability = Literal["durable", "relaxed", "default"]
Remotes = Annotated[list[str], Meta(max_length=speaking.MOST)]
Contacts = Annotated[
    dict[str, list[str]],
    Meta(
        description="Role of XEP-0157 (abuse, admin, support, ...) to mailto:, xmpp: or https: addresses; an empty list takes them back"
    ),
]


class Federation(Given, frozen=True, kw_only=True):
    """Whom a domain speaks with elsewhere, within what the server allows: `*.example.org` stands for all below example.org."""

    mode: str = "open"
    allow: tuple[str, ...] = ()
    block: tuple[str, ...] = ()


class PutFederation(Taken, frozen=True, kw_only=True):
    """What changes of it; what is not named stays, "default" takes all of it back."""

    mode: Literal["open", "listed", "closed", "default"] | None = None
    allow: Remotes | None = None
    block: Remotes | None = None


class Domain(Given, frozen=True, kw_only=True):
    """A hosted domain and what holds for it; `durability` null is what the configuration says.

    `motd` is what each user is told once, `welcome` what new users are told (XEP-0133). `room_creation` says who may make rooms in a service of rooms, null for what is usual.
    """

    name: str
    kind: str
    registration: bool
    durability: str | None
    archive_days: (
        Annotated[
            int, Meta(description="How long archives keep, in days; null is what the configuration says")
        ]
        | None
    )
    contacts: dict[str, list[str]]
    admins: list[str]
    room_creation: str | None = None
    auth: Annotated[dict[str, Any], Meta(description="Who keeps the passwords (docs/logins.md)")] | None = (
        None
    )
    motd: str = ""
    welcome: str = ""
    federation: Federation | None = None
    joining: str = ""
    captcha: dict[str, Any] | None = None


class DomainList(Given, frozen=True, kw_only=True):
    """All domains by name."""

    items: list[Domain]


RoomCreation = Literal["anybody", "local", "admins", "default"]


class PutCaptcha(Taken, frozen=True, kw_only=True):
    """What people who make accounts without an invitation are asked (XEP-0158)."""

    kind: Literal["off", "question", "work", "any"]
    questions: Annotated[
        tuple[Annotated[str, Meta(max_length=1000)], ...],
        Meta(description="As QUESTION=ANSWER|ANSWER", max_length=100),
    ] = ()
    bits: Annotated[int, Meta(description="How much work; each bit doubles it", ge=8, le=32)] = (
        challenges.BITS
    )


class PutDomain(OfDomain, frozen=True, kw_only=True):
    """A domain as it is to be; what is not named stays."""

    kind: (
        Annotated[str, Meta(description="What its addresses are: accounts unless said otherwise")] | None
    ) = None
    registration: bool | None = None
    durability: Durability | None = None
    archive_days: (
        Annotated[
            int,
            Meta(
                description="How long archives keep, in days; 0 is what the configuration says",
                ge=0,
                le=36_500,
            ),
        ]
        | None
    ) = None
    contacts: Contacts | None = None
    room_creation: (
        Annotated[RoomCreation, Meta(description="Who may make rooms, in a service of rooms")] | None
    ) = None
    admins: (
        Annotated[list[UserJid], Meta(description="Users who may administrate it (XEP-0133)", max_length=100)]
        | None
    ) = None
    auth: (
        Annotated[
            dict[str, Any],
            Meta(
                description='Who keeps the passwords: {"type": "oidc", ...} (docs/logins.md), {"type": "internal"} for this server'
            ),
        ]
        | None
    ) = None
    motd: (
        Annotated[
            str, Meta(description="What each user is told once; empty takes it back", max_length=10_000)
        ]
        | None
    ) = None
    welcome: (
        Annotated[str, Meta(description="What new users are told; empty takes it back", max_length=10_000)]
        | None
    ) = None
    federation: PutFederation | None = None
    joining: (
        Annotated[
            Literal["", "approval", "nobody"],
            Meta(
                description="More of registration: an operator lets each new user in (/v1/registrations), or invitations are no good, either"
            ),
        ]
        | None
    ) = None
    captcha: PutCaptcha | None = None


def _captcha(said: PutCaptcha) -> dict[str, Any]:
    """Raises Invalid."""
    try:
        return challenges.settings(said.kind, said.questions, said.bits)
    except ValueError as error:
        raise Invalid(str(error)) from None


def shown(policy: Policy) -> Domain:
    """A domain as it is answered."""
    document = policy.document()
    said = document.pop("federation", None)
    return Domain(**document, federation=None if said is None else Federation(**said))


async def _list(desk: Desk, taken: Nothing) -> DomainList:
    return DomainList(items=[shown(policy) for policy in await domains.listed(desk)])


async def _get(desk: Desk, taken: OfDomain) -> Domain:
    return shown(await domains.find(desk, names.domain(taken.domain)))


async def _put(desk: Desk, taken: PutDomain) -> Any:
    said = taken.federation
    changes = Changes(
        taken.registration,
        "" if taken.durability == "default" else taken.durability,
        domains.contacts(taken.contacts or {}),
        room_creation="" if taken.room_creation == "default" else taken.room_creation,
        motd=taken.motd,
        welcome=taken.welcome,
        admins=None if taken.admins is None else [str(names.account(jid)) for jid in taken.admins],
        auth=domains.auth(taken.auth),
        federation=None if said is None else speaking.federation(said.mode, said.allow, said.block),
        archive_days=taken.archive_days,
        joining=taken.joining,
        captcha=None if taken.captcha is None else _captcha(taken.captcha),
    )
    policy, fresh = await domains.put(desk, names.domain(taken.domain), taken.kind, changes)
    return Made(shown(policy)) if fresh else shown(policy)


async def _remove(desk: Desk, taken: OfDomain) -> None:
    await domains.remove(desk, names.domain(taken.domain))


_ONE: Final = "/v1/domains/{domain}"
VERBS: Final = (
    Verb(
        "domains.list", "domains", "GET", "/v1/domains", Nothing, DomainList, _list, "List the hosted domains"
    ),
    Verb("domains.get", "domains", "GET", _ONE, OfDomain, Domain, _get, "Show a domain", errors=(404,)),
    Verb(
        "domains.put",
        "domains",
        "PUT",
        _ONE,
        PutDomain,
        Domain,
        _put,
        "Host a domain, or change what is named",
        makes=True,
        errors=(409,),
    ),
    Verb(
        "domains.remove",
        "domains",
        "DELETE",
        _ONE,
        OfDomain,
        None,
        _remove,
        "Host a domain no longer; it has no users",
        errors=(404, 409),
    ),
)

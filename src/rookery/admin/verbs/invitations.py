"""Verbs about invitations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta

from rookery.admin import invitations
from rookery.admin.desk import Desk
from rookery.admin.verb import Given, Made, OfDomain, Taken, Verb


class Invitation(Given, frozen=True, kw_only=True):
    """An invitation without its token. `username` and `inviter` are "" for none."""

    id: str
    domain: str
    username: str
    inviter: str
    made_by: str
    created: datetime
    expires: datetime
    uses: int


class NewInvitation(Given, frozen=True, kw_only=True):
    """An invitation, and the two addresses with its token, which are shown this once."""

    invitation: Invitation
    uri: str
    page: str


class InvitationList(Given, frozen=True, kw_only=True):
    """Invitations by the time when they were made."""

    items: list[Invitation]


class OfInvitation(Taken, frozen=True, kw_only=True):
    """An invitation."""

    id: Annotated[
        str, Meta(description="Its id, 16 digits of a hexadecimal number", pattern="^[0-9a-f]{16}$")
    ]


class CreateInvitation(OfDomain, frozen=True, kw_only=True):
    """A new invitation."""

    username: Annotated[
        str, Meta(description="Kept for whoever comes; empty: free choice", max_length=1023)
    ] = ""
    inviter: Annotated[
        str, Meta(description="Bare JID that becomes a contact; empty: none", max_length=2047)
    ] = ""
    days: Annotated[
        int,
        Meta(description="How long it holds; 0: as the configuration says", ge=0, le=invitations.MAX_DAYS),
    ] = 0
    uses: Annotated[int, Meta(description="Accounts that it makes", ge=1, le=invitations.MAX_USES)] = 1


def shown(one: invitations.Invitation) -> Invitation:
    """An invitation as it is answered."""
    return Invitation(**one._asdict())


async def _list(desk: Desk, taken: OfDomain) -> InvitationList:
    return InvitationList(items=[shown(one) for one in await invitations.listed(desk, taken.domain)])


async def _create(desk: Desk, taken: CreateInvitation) -> Made:
    wanted = invitations.Wanted(taken.domain, taken.username, taken.inviter, taken.days, taken.uses)
    made = await invitations.create(desk, wanted)
    return Made(NewInvitation(invitation=shown(made.invitation), uri=made.uri, page=made.page))


async def _revoke(desk: Desk, taken: OfInvitation) -> None:
    await invitations.revoke(desk, taken.id)


VERBS: Final = (
    Verb(
        "invitations.list",
        "users",
        "GET",
        "/v1/domains/{domain}/invitations",
        OfDomain,
        InvitationList,
        _list,
        "List the invitations of a domain",
    ),
    Verb(
        "invitations.create",
        "users",
        "POST",
        "/v1/domains/{domain}/invitations",
        CreateInvitation,
        NewInvitation,
        _create,
        "Invite somebody to make an account",
        makes=True,
        errors=(404, 409),
    ),
    Verb(
        "invitations.revoke",
        "users",
        "DELETE",
        "/v1/invitations/{id}",
        OfInvitation,
        None,
        _revoke,
        "Take an invitation back",
        errors=(404,),
    ),
)

"""Verbs about rosters."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from rookery.admin import names, rosters
from rookery.admin.desk import Desk
from rookery.admin.verb import AnyJid, Given, OfUser, Verb


class Contact(Given, frozen=True, kw_only=True):
    """A contact of a user."""

    jid: str
    name: str
    groups: list[str]
    subscription: str
    ask: bool


class Roster(Given, frozen=True, kw_only=True):
    """The contacts of a user, by their addresses."""

    items: list[Contact]


class OfContact(OfUser, frozen=True, kw_only=True):
    """A contact in the roster of a user."""

    contact: AnyJid


class PutContact(OfContact, frozen=True, kw_only=True):
    """A contact as it is to be. The subscription is written on this side alone; without one it stays as it is."""

    name: Annotated[str, Meta(max_length=1023)] = ""
    groups: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    subscription: Literal["none", "to", "from", "both"] | None = None


async def _read(desk: Desk, taken: OfUser) -> Roster:
    return Roster(
        items=[
            Contact(
                jid=item.contact,
                name=item.name,
                groups=list(item.all_groups),
                subscription=item.subscription,
                ask=item.state.out and not item.shared,
            )
            for item in await rosters.read(desk, names.account(taken.jid))
        ]
    )


async def _put(desk: Desk, taken: PutContact) -> None:
    jid, contact = names.account(taken.jid), names.address(taken.contact)
    await rosters.put(desk, jid, contact, taken.name, taken.groups, taken.subscription or "")


async def _remove(desk: Desk, taken: OfContact) -> None:
    await rosters.put(desk, names.account(taken.jid), names.address(taken.contact), subscription="remove")


_ALL: Final = "/v1/users/{jid}/roster"
_ONE: Final = "/v1/users/{jid}/roster/{contact}"
VERBS: Final = (
    Verb(
        "rosters.get", "users", "GET", _ALL, OfUser, Roster, _read, "Read the roster of a user", errors=(404,)
    ),
    Verb(
        "rosters.put",
        "users",
        "PUT",
        _ONE,
        PutContact,
        None,
        _put,
        "Put a contact into a roster; clients see it at once",
        errors=(404, 409, 503),
    ),
    Verb(
        "rosters.remove",
        "users",
        "DELETE",
        _ONE,
        OfContact,
        None,
        _remove,
        "Take a contact out of a roster",
        errors=(404, 503),
    ),
)

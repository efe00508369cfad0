"""Verbs about people who wait for their accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta

from rookery.admin import names, registrations
from rookery.admin.desk import Desk
from rookery.admin.verb import Given, OfUser, Taken, Verb


class Waiting(Given, frozen=True, kw_only=True):
    """Somebody who waits for approval; `address` is where it was asked from."""

    jid: str
    email: str
    address: str
    at: datetime


class WaitingList(Given, frozen=True, kw_only=True):
    """Who waits, the first first."""

    items: list[Waiting]


class ListWaiting(Taken, frozen=True, kw_only=True):
    """Who waits, where."""

    domain: Annotated[str, Meta(description="Only of this domain; empty: of all", max_length=1023)] = ""


async def _list(desk: Desk, taken: ListWaiting) -> WaitingList:
    found = await registrations.pending(desk, taken.domain)
    return WaitingList(items=[Waiting(**one._asdict()) for one in found])


async def _approve(desk: Desk, taken: OfUser) -> None:
    await registrations.approve(desk, names.account(taken.jid))


async def _reject(desk: Desk, taken: OfUser) -> None:
    await registrations.reject(desk, names.account(taken.jid))


_ONE: Final = "/v1/registrations/{jid}"
VERBS: Final = (
    Verb(
        "registrations.list",
        "users",
        "GET",
        "/v1/registrations",
        ListWaiting,
        WaitingList,
        _list,
        "List who waits for approval",
    ),
    Verb(
        "registrations.approve",
        "users",
        "PUT",
        _ONE,
        OfUser,
        None,
        _approve,
        "Let somebody log in who waits for approval",
        errors=(404,),
    ),
    Verb(
        "registrations.reject",
        "users",
        "DELETE",
        _ONE,
        OfUser,
        None,
        _reject,
        "Remove the account of somebody who waits for approval",
        errors=(404,),
    ),
)

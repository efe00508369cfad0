"""Verbs about the clients that may come back to an account with a token (XEP-0484)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta

from rookery.admin import clients, names
from rookery.admin.clients import Row
from rookery.admin.desk import Desk
from rookery.admin.verb import Given, OfUser, Verb


class Client(Given, frozen=True, kw_only=True):
    """A client that holds a token; `by_password`: it has logged in with the password before, and may know it still."""

    id: str
    software: str
    device: str
    created: datetime
    last_seen: datetime
    expires: datetime
    by_password: bool


class ClientList(Given, frozen=True, kw_only=True):
    """The clients of a user, those that came last first."""

    items: list[Client]


class OfClient(OfUser, frozen=True, kw_only=True):
    """One client of a user."""

    client: Annotated[str, Meta(description="The id in the list", min_length=1, max_length=64)]


def shown(row: Row) -> Client:
    """A client as it is answered."""
    one = row.client
    return Client(
        id=row.id,
        software=one.software,
        device=one.device,
        created=one.created,
        last_seen=one.last_seen,
        expires=one.expires,
        by_password=one.by_password,
    )


def _shown(rows: list[Row]) -> ClientList:
    return ClientList(items=[shown(row) for row in rows])


async def _list(desk: Desk, taken: OfUser) -> ClientList:
    return _shown(await clients.listed(desk, names.account(taken.jid)))


async def _revoke(desk: Desk, taken: OfClient) -> ClientList:
    return _shown(await clients.revoke(desk, names.account(taken.jid), (taken.client,)))


async def _revoke_all(desk: Desk, taken: OfUser) -> ClientList:
    return _shown(await clients.revoke(desk, names.account(taken.jid), ()))


_ALL: Final = "/v1/users/{jid}/clients"
VERBS: Final = (
    Verb(
        "clients.list",
        "users",
        "GET",
        _ALL,
        OfUser,
        ClientList,
        _list,
        "List clients with tokens",
        errors=(404,),
    ),
    Verb(
        "clients.revoke",
        "users",
        "DELETE",
        f"{_ALL}/{{client}}",
        OfClient,
        ClientList,
        _revoke,
        "End the tokens and sessions of a client",
        errors=(404, 503),
    ),
    Verb(
        "clients.revoke_all",
        "users",
        "DELETE",
        _ALL,
        OfUser,
        ClientList,
        _revoke_all,
        "End the tokens of all clients, and their sessions",
        errors=(404, 503),
    ),
)

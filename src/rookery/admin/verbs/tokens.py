"""Verbs about tokens. Only a token that may do everything may make another."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta

from rookery.admin import tokens
from rookery.admin.desk import Desk
from rookery.admin.verb import SCOPES, Given, Made, Nothing, Taken, Verb

Name = Annotated[
    str,
    Meta(
        description="Letters, digits, dots, dashes and underscores",
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    ),
]


class Token(Given, frozen=True, kw_only=True):
    """A token without its secret."""

    name: str
    scopes: list[str]
    made_by: str
    created: datetime
    expires: datetime | None
    last_used: datetime | None


class NewToken(Given, frozen=True, kw_only=True):
    """A token with its secret, which is shown this once."""

    token: Token
    secret: str


class TokenList(Given, frozen=True, kw_only=True):
    """All tokens by name."""

    items: list[Token]


class OfToken(Taken, frozen=True, kw_only=True):
    """A token."""

    name: Name


class CreateToken(OfToken, frozen=True, kw_only=True):
    """A new token."""

    scopes: Annotated[
        list[str], Meta(description=f"Some of: {', '.join(SCOPES)}", min_length=1, max_length=20)
    ]
    expires: Annotated[
        str, Meta(description="A period (12h, 30d, 4w, 1y) or a date; never without", max_length=40)
    ] = ""


def shown(token: tokens.Token) -> Token:
    """A token as it is answered."""
    return Token(
        name=token.name,
        scopes=[scope for scope in SCOPES if scope in token.scopes],
        made_by=token.made_by,
        created=token.created,
        expires=token.expires,
        last_used=token.last_used,
    )


async def _list(desk: Desk, taken: Nothing) -> TokenList:
    return TokenList(items=[shown(token) for token in await tokens.listed(desk)])


async def _create(desk: Desk, taken: CreateToken) -> Made:
    token, secret = await tokens.create(desk, taken.name, taken.scopes, taken.expires)
    return Made(NewToken(token=shown(token), secret=secret))


async def _revoke(desk: Desk, taken: OfToken) -> None:
    await tokens.revoke(desk, taken.name)


VERBS: Final = (
    Verb("tokens.list", "all", "GET", "/v1/tokens", Nothing, TokenList, _list, "List the tokens"),
    Verb(
        "tokens.create",
        "all",
        "POST",
        "/v1/tokens",
        CreateToken,
        NewToken,
        _create,
        "Make a token",
        makes=True,
        errors=(409,),
    ),
    Verb(
        "tokens.revoke",
        "all",
        "DELETE",
        "/v1/tokens/{name}",
        OfToken,
        None,
        _revoke,
        "Take a token back",
        errors=(404,),
    ),
)

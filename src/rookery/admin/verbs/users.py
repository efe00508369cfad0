"""Verbs about users."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from msgspec import Meta

from rookery.admin import names, users
from rookery.admin.desk import Desk
from rookery.admin.errors import Conflict, Invalid, NotFound, VerbError
from rookery.admin.verb import DomainName, Given, Limit, Made, OfUser, Password, Taken, UserJid, Verb
from rookery.workers.account.store import Account

Email = Annotated[str, Meta(description="Kept with the account", max_length=320)]
#: What one call may change.
MAX_BULK: Final = 1000


class User(Given, frozen=True, kw_only=True):
    """A user."""

    jid: str
    email: str
    disabled: bool
    created: datetime
    last_seen: datetime | None


class UserPage(Given, frozen=True, kw_only=True):
    """A page of users; `next` is the `after` of the page that follows, null on the last."""

    items: list[User]
    next: str | None


class ListUsers(Taken, frozen=True, kw_only=True):
    """Which users."""

    domain: DomainName
    after: Annotated[str, Meta(description="Begin behind this localpart", max_length=1023)] = ""
    limit: Limit = 100


class CreateUser(OfUser, frozen=True, kw_only=True):
    """A new user."""

    password: Password
    email: Email = ""


class PutUser(OfUser, frozen=True, kw_only=True):
    """A user as it is to be."""

    password: Password | None = None
    email: Email | None = None


class SetPassword(OfUser, frozen=True, kw_only=True):
    """Another password."""

    password: Password


class SetDisabled(OfUser, frozen=True, kw_only=True):
    """Whether the user is kept from logging in."""

    disabled: bool


class NewUser(Taken, frozen=True, kw_only=True):
    """One user of many."""

    jid: UserJid
    password: Password
    email: Email = ""


class Bulk(Taken, frozen=True, kw_only=True):
    """Many changes in one call: users to create, and to erase."""

    create: Annotated[tuple[NewUser, ...], Meta(max_length=MAX_BULK)] = ()
    erase: Annotated[tuple[UserJid, ...], Meta(max_length=MAX_BULK)] = ()


class Refused(Given, frozen=True, kw_only=True):
    """Why one of many was not done."""

    jid: str
    code: str
    detail: str


class BulkDone(Given, frozen=True, kw_only=True):
    """What was done, and what was not."""

    created: list[str]
    erased: list[str]
    refused: list[Refused]


def shown(account: Account) -> User:
    """An account as it is answered."""
    return User(
        jid=f"{account.localpart}@{account.domain}",
        email=account.email,
        disabled=account.disabled,
        created=account.created,
        last_seen=account.last_seen,
    )


async def _list(desk: Desk, taken: ListUsers) -> UserPage:
    page = await users.listed(desk, names.domain(taken.domain), taken.after, taken.limit)
    return UserPage(items=[shown(row) for row in page.rows], next=page.next or None)


async def _get(desk: Desk, taken: OfUser) -> User:
    return shown(await users.find(desk, names.account(taken.jid)))


async def _create(desk: Desk, taken: CreateUser) -> Made:
    jid = names.account(taken.jid)
    await users.create(desk, jid, taken.password, taken.email)
    return Made(shown(await users.find(desk, jid)))


async def _put(desk: Desk, taken: PutUser) -> Any:
    jid = names.account(taken.jid)
    try:
        await users.find(desk, jid)
    except NotFound:
        if taken.password is None:
            raise Invalid("a new user needs a password") from None
        try:
            await users.create(desk, jid, taken.password, taken.email or "")
            return Made(shown(await users.find(desk, jid)))
        except Conflict:
            pass  # somebody else was quicker: it is changed
    if taken.password is not None:
        await users.set_password(desk, jid, taken.password)
    if taken.email is not None:
        await users.set_email(desk, jid, taken.email)
    return shown(await users.find(desk, jid))


async def _password(desk: Desk, taken: SetPassword) -> None:
    await users.set_password(desk, names.account(taken.jid), taken.password)


async def _disabled(desk: Desk, taken: SetDisabled) -> User:
    jid = names.account(taken.jid)
    await users.set_disabled(desk, jid, taken.disabled)
    return shown(await users.find(desk, jid))


async def _erase(desk: Desk, taken: OfUser) -> None:
    jid = names.account(taken.jid)
    if not await users.remove(desk, [jid]):
        raise NotFound(f"there is no user {jid}")


async def _bulk(desk: Desk, taken: Bulk) -> BulkDone:
    done = BulkDone(created=[], erased=[], refused=[])

    def refuse(jid: str, error: VerbError) -> None:
        done.refused.append(Refused(jid=jid, code=error.code, detail=str(error)))

    for new in taken.create:
        try:
            jid = names.account(new.jid)
            await users.create(desk, jid, new.password, new.email)
            done.created.append(str(jid))
        except VerbError as error:
            refuse(new.jid, error)
    wanted = {}
    for text in taken.erase:
        try:
            wanted[names.account(text)] = text
        except VerbError as error:
            refuse(text, error)
    done.erased.extend(await users.remove(desk, list(wanted)))
    for jid, text in wanted.items():
        if str(jid) not in done.erased:
            refuse(text, NotFound(f"there is no user {jid}"))
    return done


_ALL: Final = "/v1/users"
_ONE: Final = "/v1/users/{jid}"
VERBS: Final = (
    Verb(
        "users.list",
        "users",
        "GET",
        _ALL,
        ListUsers,
        UserPage,
        _list,
        "List users of a domain",
        errors=(404,),
    ),
    Verb(
        "users.create",
        "users",
        "POST",
        _ALL,
        CreateUser,
        User,
        _create,
        "Make a user",
        makes=True,
        errors=(404, 409),
    ),
    Verb("users.bulk", "users", "POST", "/v1/bulk/users", Bulk, BulkDone, _bulk, "Make and erase many users"),
    Verb("users.get", "users", "GET", _ONE, OfUser, User, _get, "Show a user", errors=(404,)),
    Verb(
        "users.put",
        "users",
        "PUT",
        _ONE,
        PutUser,
        User,
        _put,
        "Make a user, or change what is named",
        makes=True,
        errors=(404,),
    ),
    Verb(
        "users.erase",
        "users",
        "DELETE",
        _ONE,
        OfUser,
        None,
        _erase,
        "Remove a user with every trace",
        errors=(404,),
    ),
    Verb(
        "users.password",
        "users",
        "PUT",
        f"{_ONE}/password",
        SetPassword,
        None,
        _password,
        "Give another password and end the sessions",
        errors=(404,),
    ),
    Verb(
        "users.disabled",
        "users",
        "PUT",
        f"{_ONE}/disabled",
        SetDisabled,
        User,
        _disabled,
        "Keep a user from logging in and end the sessions, or let it again",
        errors=(404,),
    ),
)

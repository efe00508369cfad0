"""Accounts: make, change, disable, remove and list them."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import trio

from rookery.admin.desk import Desk
from rookery.admin.errors import Conflict, Invalid, NotFound
from rookery.shared.bus.notices import Post, account_changed
from rookery.shared.db.api import Connection
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.sasl.keys import derive_keys
from rookery.workers.account import store
from rookery.workers.account.bulk import delete_accounts
from rookery.workers.account.credentials import Keys, derive
from rookery.workers.account.greeting import welcome
from rookery.workers.account.mail import mail_address
from rookery.workers.account.store import Account

#: Accounts that one statement removes: each stays far below the statement timeout.
BATCH = 200


class Page(NamedTuple):
    """Users in the order of their names, and the localpart behind which more follow ("" for none)."""

    rows: Sequence[Account]
    next: str


async def keys(desk: Desk, password: str) -> list[Keys]:
    """What is stored of a password. Raises Invalid."""
    account = desk.config.account
    try:
        return await trio.to_thread.run_sync(
            partial(derive, password, account.mechanisms, account.iterations)
        )
    except ValueError as error:
        raise Invalid(f"this password cannot be used: {error}") from None


def mail(text: str) -> str:
    """A mail address to keep. Raises Invalid."""
    try:
        return mail_address(text)
    except ValueError as error:
        raise Invalid(f"{text!r}: {error}") from None


async def find(desk: Desk, jid: Jid) -> Account:
    """One account. Raises NotFound."""
    found = await desk.run(lambda conn: store.get_account(conn, jid.local or "", jid.domain))
    if found is None:
        raise NotFound(f"there is no user {jid}")
    return found


async def listed(desk: Desk, domain: str, after: str, limit: int) -> Page:
    """At most `limit` users of a hosted domain behind the localpart `after`. Raises NotFound."""

    async def work(conn: Connection) -> list[Account] | None:
        hosted = await conn.fetchval("SELECT true FROM domain WHERE name = $1", domain)
        return await store.list_accounts(conn, domain, after, limit + 1) if hosted else None

    rows = await desk.run(work)
    if rows is None:
        raise NotFound(f"{domain} is not hosted here")
    return Page(rows[:limit], rows[limit - 1].localpart if len(rows) > limit else "")


_STATE: Final = """
SELECT localpart FROM account WHERE domain = $1 AND (NOT $2 OR disabled) ORDER BY localpart LIMIT $3"""
_COUNT: Final = (
    "SELECT count(*) AS users, count(*) FILTER (WHERE disabled) AS disabled FROM account WHERE domain = $1"
)


_SEARCH: Final = """
SELECT id, localpart, domain, email, disabled, created, last_seen FROM account
WHERE domain = $1 AND starts_with(localpart, $2) AND localpart > $3 ORDER BY localpart LIMIT $4"""


async def searched(desk: Desk, domain: str, begin: str, after: str, limit: int) -> Page:
    """At most `limit` users of a domain whose localparts begin so, behind the localpart `after`."""
    rows = await desk.run(lambda conn: conn.fetch(_SEARCH, domain, begin.lower(), after, limit + 1))
    found = [Account(*row.values()) for row in rows]
    return Page(found[:limit], found[limit - 1].localpart if len(found) > limit else "")


async def named(desk: Desk, domain: str, limit: int, *, disabled: bool = False) -> list[str]:
    """At most `limit` users of a domain by their bare JIDs; with `disabled` those that may not log in."""
    rows = await desk.run(lambda conn: conn.fetch(_STATE, domain, disabled, limit))
    return [f"{row['localpart']}@{domain}" for row in rows]


async def counted(desk: Desk, domain: str) -> tuple[int, int]:
    """How many users a domain has, and how many of them may not log in."""
    row = await desk.run(lambda conn: conn.fetchrow(_COUNT, domain))
    return row["users"], row["disabled"]


async def create(desk: Desk, jid: Jid, password: str, email: str = "") -> None:
    """Make an account. Raises Conflict, Invalid, NotFound."""
    made, kept = await keys(desk, password), mail(email)
    try:
        fresh = await desk.run(
            lambda conn: store.create_account(conn, jid.local or "", jid.domain, made, kept)
        )
    except store.UnknownDomainError:
        raise NotFound(f"{jid.domain} is not hosted here") from None
    if fresh is None:
        raise Conflict(f"{jid} exists already")
    greeting = await desk.run(lambda conn: welcome(conn, str(jid)))
    await desk.tell([*account_changed(str(jid), "created"), desk.audit("user add", str(jid)), *greeting])


async def set_password(desk: Desk, jid: Jid, password: str) -> None:
    """Give another password and end the sessions that the old one opened. Raises NotFound, Invalid."""
    made = await keys(desk, password)
    await _changed(
        desk,
        jid,
        "password",
        "user passwd",
        lambda conn: store.set_password(conn, jid.local or "", jid.domain, made),
    )


async def set_email(desk: Desk, jid: Jid, email: str) -> None:
    """Change what is kept with the account. Raises NotFound, Invalid."""
    kept = mail(email)

    async def work(conn: Connection) -> bool:
        sql = "UPDATE account SET email = $3 WHERE domain = $1 AND localpart = $2"
        return await conn.execute(sql, jid.domain, jid.local or "", kept) == "UPDATE 1"

    if not await desk.run(work):
        raise NotFound(f"there is no user {jid}")
    await desk.tell([desk.audit("user email", str(jid))])


async def set_disabled(desk: Desk, jid: Jid, disabled: bool) -> None:
    """Keep a user from logging in and end the sessions, or let it log in again. Raises NotFound."""
    await _changed(
        desk,
        jid,
        "disabled" if disabled else "enabled",
        f"user {'disable' if disabled else 'enable'}",
        lambda conn: store.set_disabled(conn, jid.local or "", jid.domain, disabled),
    )


async def remove(desk: Desk, jids: Sequence[Jid], command: str = "user del") -> list[str]:
    """Remove users with every trace; returns those that there were. What was interrupted is only to be repeated."""
    gone: list[str] = []
    names = list(dict.fromkeys((jid.local or "", jid.domain) for jid in jids))
    for start in range(0, len(names), BATCH):
        removed = await desk.run(partial(delete_accounts, accounts=names[start : start + BATCH]))
        posts: list[Post] = [
            post
            for jid, (contacts, places) in removed.items()
            for post in (
                *account_changed(jid, "removed", contacts, places=places),
                desk.audit(command, jid),
            )
        ]
        await desk.tell(posts)
        gone += removed
    return gone


async def checked(desk: Desk, jid: Jid, password: str) -> bool:
    """Whether this is the password of a user that may log in."""
    for mechanism in desk.config.account.mechanisms:
        read = partial(
            store.get_credentials, localpart=jid.local or "", domain=jid.domain, mechanism=mechanism
        )
        kept = await desk.run(read)
        if kept is None:
            continue
        try:
            made = await trio.to_thread.run_sync(derive_keys, password, mechanism, kept.salt, kept.iterations)
        except ValueError:
            return False
        return hmac.compare_digest(made[0], kept.stored_key)
    return False


async def _changed(
    desk: Desk, jid: Jid, what: str, command: str, work: Callable[[Connection], Awaitable[bool]]
) -> None:
    if not await desk.run(work):
        raise NotFound(f"there is no user {jid}")
    await _told(desk, jid, what, command)


async def _told(desk: Desk, jid: Jid, what: str, command: str) -> None:
    await desk.tell([*account_changed(str(jid), what), desk.audit(command, str(jid))])

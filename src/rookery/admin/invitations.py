"""Invitations to make an account, as operators make them (XEP-0401)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from rookery.admin import names
from rookery.admin.desk import Desk
from rookery.admin.errors import Conflict, Invalid, NotFound
from rookery.shared.bus.kinds import ACCOUNTS
from rookery.shared.db.api import Connection
from rookery.shared.xeps import invitations as xep
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import prepare_local
from rookery.workers.account import invitations
from rookery.workers.account.invitations import Invitation as Invitation

#: The most accounts that one invitation makes, and how long one may hold.
MAX_USES: Final = 1000
MAX_DAYS: Final = 365
_ID: Final = re.compile(r"[0-9a-f]{16}")
_HOSTED: Final = "SELECT EXISTS (SELECT FROM domain WHERE name = $1 AND kind = $2)"
_OPEN: Final = "SELECT count(*) FROM invitation WHERE made_by = $1 AND uses > 0 AND expires > now()"
_TAKEN: Final = "SELECT EXISTS (SELECT FROM account WHERE domain = $1 AND localpart = $2)"


class Wanted(NamedTuple):
    """What an invitation shall allow: `username` is kept for whoever comes, `inviter` becomes a contact; "" for none. 0 days: the setting's."""

    domain: str
    username: str = ""
    inviter: str = ""
    days: int = 0
    uses: int = 1
    #: How many open ones whoever makes it may have; 0 for any number.
    most: int = 0


class Made(NamedTuple):
    """A new invitation, with its token in two addresses that nobody can read again."""

    invitation: Invitation
    uri: str
    page: str


async def create(desk: Desk, wanted: Wanted) -> Made:
    """Make an invitation. Raises Invalid, NotFound, Conflict."""
    options = desk.config.options(xep.Options)
    days = wanted.days or options.days
    if not 1 <= wanted.uses <= MAX_USES or not 1 <= days <= MAX_DAYS:
        raise Invalid(f"an invitation makes 1 to {MAX_USES} accounts, and holds 1 to {MAX_DAYS} days")
    domain = names.domain(wanted.domain)
    inviter = str(names.account(wanted.inviter)) if wanted.inviter else ""
    try:
        username = prepare_local(wanted.username) if wanted.username else ""
    except JidError as error:
        raise Invalid(f"{wanted.username!r} cannot be a username: {error}") from None
    if username and wanted.uses > 1:
        raise Invalid("an invitation for one username makes one account")
    token = secrets.token_urlsafe(xep.TOKEN_BYTES)
    expires = datetime.now(UTC) + timedelta(days=days)
    new = Invitation("", domain, username, inviter, desk.operator, datetime.now(UTC), expires, wanted.uses)

    async def work(conn: Connection) -> tuple[Invitation, bool]:
        if not await conn.fetchval(_HOSTED, domain, ACCOUNTS):
            raise NotFound(f"{domain} is no domain with accounts here")
        if username and await conn.fetchval(_TAKEN, domain, username):
            raise Conflict(f"there is a user {username}@{domain} already")
        if username and await invitations.kept(conn, domain, username, ""):
            raise Conflict(f"there is an invitation for {username}@{domain} already: revoke it, or wait")
        if inviter and not await conn.fetchval(_TAKEN, *reversed(inviter.split("@"))):
            raise NotFound(f"there is no user {inviter}")
        if wanted.most and await conn.fetchval(_OPEN, desk.operator) >= wanted.most:
            raise Conflict(f"you have {wanted.most} open invitations already")
        joins = await invitations.joins(conn, domain)
        return await invitations.make(conn, new, token), joins

    made, joins = await desk.run(work)
    told = {"username": username or None, "inviter": inviter or None, "uses": wanted.uses, "expires": expires}
    await desk.tell([desk.audit("invite create", domain, id=made.id, **told)])
    uri = xep.address(domain, username, inviter, token, joins=joins)
    return Made(made, uri, xep.page(options, domain, desk.config.edge.http_port, token))


async def listed(desk: Desk, domain: str = "") -> Sequence[Invitation]:
    """All invitations, without their tokens, or those of a domain. Raises Invalid."""
    name = names.domain(domain) if domain else ""
    return await desk.run(lambda conn: invitations.listed(conn, name))


async def revoke(desk: Desk, id: str) -> Invitation:
    """Take an invitation back: its token is no good any more. Raises NotFound."""
    found = await desk.run(lambda conn: invitations.revoke(conn, id)) if _ID.fullmatch(id) else None
    if found is None:
        raise NotFound(f"there is no invitation {id}")
    await desk.tell([desk.audit("invite revoke", found.domain, id=id)])
    return found

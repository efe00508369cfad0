"""What new users are told (XEP-0133 section 4.27): an ordinary message of their domain, which waits for their first login."""

from __future__ import annotations

import secrets
from typing import Final

from rookery.shared.bus.messages import NOBODY, Kind, Route
from rookery.shared.bus.notices import Post
from rookery.shared.db.api import Connection
from rookery.shared.xeps.service_administration import message
from rookery.shared.xmpp.jid import Jid

_WELCOME: Final = "SELECT policy->>'welcome' FROM domain WHERE name = $1"


async def welcome(conn: Connection, account: str) -> list[Post]:
    """A unit of work: what is to be posted for an account that was made; nothing where the domain has no welcome."""
    domain = Jid.trusted(account).domain
    text = await conn.fetchval(_WELCOME, domain)
    if not text:
        return []
    return [(Kind.ROUTER, account, Route(NOBODY, message(domain, account, text, secrets.token_hex(8))))]

"""Announcements to everybody who is online, and messages in the name of a domain."""

from __future__ import annotations

import secrets
from typing import Final

from rookery.admin import domains, sessions
from rookery.admin.desk import Desk
from rookery.admin.errors import Invalid, NotFound
from rookery.shared.bus.kinds import ACCOUNTS, Kind
from rookery.shared.bus.messages import NOBODY, Route
from rookery.shared.bus.subjects import partition_of
from rookery.shared.cluster.fanout import fan_out
from rookery.shared.xeps.service_administration import digest
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.jid import Jid, bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.account.policies import Changes

#: Characters of a text.
MAX_TEXT = 10_000


async def announce(desk: Desk, domain: str, body: str, subject: str = "") -> int:
    """Send a headline of a hosted domain to each session of it that is online; returns how many. Nothing is kept for those who are not.

    Raises Invalid, NotFound, Unreachable.
    """
    check(body, subject)
    kind = await desk.run(lambda conn: conn.fetchval("SELECT kind FROM domain WHERE name = $1", domain))
    if kind != ACCOUNTS:
        raise NotFound(f"{domain} is not hosted here")
    stanza = message(domain, "", "headline", body, subject)
    online = [
        (row.jid, partition_of(bare_of(row.jid)))
        async for row in sessions.every(desk.cluster, domain)
        if row.edge and row.show != "unavailable"
    ]
    count = fan_out(desk.cluster.bus, stanza, online)
    await desk.tell([desk.audit("announce", domain, sessions=count)])
    return count


_ONLINE: Final = "UPDATE account SET motd = $3 WHERE domain = $1 AND localpart = ANY ($2)"


async def set_motd(desk: Desk, domain: str, text: str, *, at_once: bool) -> None:
    """Set the message of the day of a domain; "" for none. Each user is told it once, at the next login.

    With `at_once` those who are online are told it now (XEP-0133 section 4.24). Raises Invalid, NotFound, Unreachable.
    """
    if text:
        check(text)
    await domains.find(desk, domain)
    if text and at_once:
        await announce(desk, domain, text)
        online = {
            row.jid.partition("@")[0]
            async for row in sessions.every(desk.cluster, domain)
            if row.edge and row.show != "unavailable"
        }
        await desk.run(lambda conn: conn.execute(_ONLINE, domain, list(online), digest(text)))
    await domains.put(desk, domain, None, Changes(motd=text))


async def set_welcome(desk: Desk, domain: str, text: str) -> None:
    """Set what new users of a domain are told; "" for nothing. Raises Invalid, NotFound."""
    if text:
        check(text)
    await domains.find(desk, domain)
    await domains.put(desk, domain, None, Changes(welcome=text))


async def send(desk: Desk, from_: Jid, to: Jid, type: str, body: str, subject: str = "") -> None:
    """Send one message in the name of a hosted domain or of a user here. Raises Invalid, NotFound."""
    check(body, subject)
    if type not in ("chat", "headline", "normal"):
        raise Invalid(f"a message of the type {type!r} cannot be sent: choose from chat, headline, normal")
    hosted = "SELECT array_agg(name) FROM domain WHERE kind = 'accounts' AND name = ANY ($1)"
    names = await desk.run(lambda conn: conn.fetchval(hosted, [from_.domain, to.domain])) or []
    for jid in (from_, to):
        if jid.domain not in names:
            raise NotFound(f"{jid.domain} is not hosted here")
    if to.local is None:
        raise Invalid(f"{to} is not a user")
    desk.cluster.bus.post(
        Kind.ROUTER, partition_of(to.bare), Route(NOBODY, message(str(from_), str(to), type, body, subject))
    )
    await desk.tell([desk.audit("message send", to.bare, as_from=from_)])


def message(from_: str, to: str, type: str, body: str, subject: str) -> Stanza:
    """A message of the server."""
    parts = [Element(ns.CLIENT, "subject", None, subject)] if subject else []
    parts.append(Element(ns.CLIENT, "body", None, body))
    return Stanza.build("message", *parts, type=type, from_=from_, to=to, id=secrets.token_hex(8))


def check(body: str, subject: str = "") -> None:
    """Whether this can be sent. Raises Invalid."""
    if not body or len(body) > MAX_TEXT or len(subject) > MAX_TEXT:
        raise Invalid(f"a text has 1 to {MAX_TEXT} characters")
    if not _fits(body) or not _fits(subject):
        raise Invalid("a text may not have control characters (XML 1.0 section 2.2)")


def _fits(text: str) -> bool:
    return all(
        char in "\t\n\r" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff"
        for char in text
    )

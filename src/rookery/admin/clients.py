"""The clients that may come back to an account with a token (XEP-0484), and taking that away."""

from __future__ import annotations

from typing import NamedTuple

from rookery.admin import sessions, users
from rookery.admin.desk import Desk
from rookery.admin.errors import NotFound
from rookery.shared.xeps import bind2
from rookery.shared.xmpp.jid import Jid
from rookery.workers.account import token_store
from rookery.workers.account.token_store import Client


class Row(NamedTuple):
    """A client; `id` is what users and operators call it by."""

    id: str
    client: Client


async def listed(desk: Desk, jid: Jid) -> list[Row]:
    """The clients of a user, those that came last first. Raises NotFound."""
    await users.find(desk, jid)
    found = await desk.run(lambda conn: token_store.clients(conn, jid.local or "", jid.domain))
    return [Row(bind2.stable(str(jid), one.agent), one) for one in found]


async def revoke(desk: Desk, jid: Jid, ids: tuple[str, ...]) -> list[Row]:
    """End the tokens and the sessions of these clients, of all with (); returns them. Raises NotFound, Unreachable."""
    rows = [row for row in await listed(desk, jid) if not ids or row.id in ids]
    if missing := sorted(set(ids) - {row.id for row in rows}):
        raise NotFound(f"{jid} has no client {', '.join(missing)}")
    agents = [row.client.agent for row in rows] if ids else None
    await desk.run(lambda conn: token_store.revoke(conn, jid.local or "", jid.domain, agents))
    if rows:
        await desk.tell([desk.audit("user revoke", str(jid), clients=" ".join(row.id for row in rows))])
        for session in (await sessions.of_account(desk.cluster, str(jid))).rows:
            full = Jid.trusted(session.jid)
            if any(bind2.is_of(full.resource or "", row.id) for row in rows):
                await sessions.ended(desk.cluster, full, "the access of this client was revoked")
    return rows

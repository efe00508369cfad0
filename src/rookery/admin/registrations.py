"""People who wait until somebody approves of their accounts (domains with `registration approval`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rookery.admin import names
from rookery.admin.desk import Desk
from rookery.admin.errors import NotFound
from rookery.shared.bus.notices import account_changed
from rookery.shared.xmpp.jid import Jid
from rookery.workers.account import approvals
from rookery.workers.account.approvals import Waiting as Waiting
from rookery.workers.account.greeting import welcome


async def pending(desk: Desk, domain: str = "") -> Sequence[Waiting]:
    """Who waits, the first first; of a domain or of all. Raises Invalid."""
    name = names.domain(domain) if domain else ""
    return await desk.run(partial(approvals.pending, domain=name))


async def approve(desk: Desk, jid: Jid) -> None:
    """Let somebody in. Raises NotFound."""
    if not await desk.run(partial(approvals.approve, localpart=jid.local or "", domain=jid.domain)):
        raise NotFound(f"{jid} does not wait for anybody")
    greeting = await desk.run(lambda conn: welcome(conn, str(jid)))
    await desk.tell([*account_changed(str(jid), "enabled"), desk.audit("user approve", str(jid)), *greeting])


async def reject(desk: Desk, jid: Jid) -> None:
    """Remove the account of somebody who waits; its name is free again. Raises NotFound."""
    if not await desk.run(partial(approvals.reject, localpart=jid.local or "", domain=jid.domain)):
        raise NotFound(f"{jid} does not wait for anybody")
    await desk.tell([*account_changed(str(jid), "removed"), desk.audit("user reject", str(jid))])

"""Another password, or the end of an account, for whoever shows its password on the page of an edge."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

import trio

from rookery.shared.bus.messages import ChangeAccount, Credentials, Done
from rookery.shared.bus.notices import account_changed
from rookery.shared.db.api import Connection
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.sasl.keys import verify_plain
from rookery.workers.account import registration
from rookery.workers.hosted import HostedWorker

_CALL_MS: Final = 8000
_ELSEWHERE: Final = "SELECT policy -> 'auth' IS NOT NULL FROM domain WHERE name = $1"
_BY: Final = "a browser"


async def change(
    worker: HostedWorker, partition: int, request: ChangeAccount, credentials: Credentials
) -> Done:
    """Do it. `credentials` are the account's, or invented ones that take as long. Raises StanzaError: not-authorized, not-allowed, not-acceptable."""
    account, deadline = Jid.trusted(request.account), int(time.time() * 1000) + _CALL_MS

    async def elsewhere(conn: Connection) -> bool:
        return bool(await conn.fetchval(_ELSEWHERE, account.domain))

    if await worker.database(partition, elsewhere, deadline):
        raise StanzaError("not-allowed", "the passwords of this domain are kept elsewhere")
    if not await trio.to_thread.run_sync(partial(verify_plain, request.password, credentials)):
        worker.client_log("page_refused", account=account.bare, address=request.address)
        raise StanzaError("not-authorized")
    if request.new:
        await registration.put_password(worker, partition, account, request.new, deadline)
        worker.client_log("password_changed", account=account.bare, by=_BY, address=request.address)
        worker.tell(account_changed(account.bare, "password"))
    else:
        gone = await registration.take_out(worker, partition, account)
        worker.client_log("account_removed", account=account.bare, by=_BY, address=request.address)
        registration.removed(worker, account.bare, gone)
    return Done()

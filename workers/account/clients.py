"""Who has access to an account, and taking it away (XEP-0494): the clients that hold a token."""

from __future__ import annotations

from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import EndSessions, Handle, Kind, ListSessions, SessionList
from rookery.shared.xeps import bind2, client_access
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account import token_store
from rookery.workers.account.stored import own, payload
from rookery.workers.account.token_store import Client
from rookery.workers.hosted import HostedWorker

#: Sessions of one account that are looked at.
_SESSIONS = 1000
#: How long the account's router may take to answer.
CALL_SECONDS = 5.0
#: What a client is told whose access was taken away.
GONE = "not-authorized", "the access of this client was revoked"


async def listed(worker: HostedWorker, partition: int, item: Handle) -> Stanza | None:
    """Answer `<list/>` (section 3.1)."""
    own(item)
    payload(item.stanza)
    found = await _clients(worker, partition, item)
    resources = await _resources(worker, item.account)
    shown = [_shown(item.account, one, resources) for one in found]
    return item.stanza.result(client_access.clients(shown))


def _shown(account: str, one: Client, resources: list[str]) -> client_access.Client:
    id = bind2.stable(account, one.agent)
    connected = any(bind2.is_of(resource, id) for resource in resources)
    return client_access.Client(
        id, one.software, one.device, one.created, one.last_seen, connected, one.by_password
    )


async def revoke(worker: HostedWorker, partition: int, item: Handle) -> Stanza | None:
    """Do what `<revoke/>` says (section 3.2): the client's tokens and its sessions end."""
    own(item)
    payload(item.stanza)
    id, account = client_access.revoked(item.stanza), Jid.trusted(item.account)
    found = await _clients(worker, partition, item)
    one = next((one for one in found if bind2.stable(item.account, one.agent) == id), None)
    if one is None:
        raise StanzaError("item-not-found", "there is no such client")
    await worker.database(
        partition,
        lambda conn: token_store.revoke(
            conn, account.local or "", account.domain, [one.agent], worker.node.incarnation
        ),
        item.origin.deadline,
    )
    worker.client_log("client_revoked", account=item.account, client=id, software=one.software, by=item.full)
    for resource in await _resources(worker, item.account):
        if bind2.is_of(resource, id) and f"{item.account}/{resource}" != item.full:
            await _ask(worker, item.account, EndSessions(item.account, resource, *GONE))
    if one.by_password:
        raise client_access.password_known()
    return item.stanza.result()


async def _clients(worker: HostedWorker, partition: int, item: Handle) -> list[Client]:
    account = Jid.trusted(item.account)
    return await worker.database(
        partition,
        lambda conn: token_store.clients(conn, account.local or "", account.domain),
        item.origin.deadline,
    )


async def _resources(worker: HostedWorker, account: str) -> list[str]:
    """The resources that are bound; none are known while the account's router does not answer."""
    answer = await _ask(worker, account, ListSessions(account, "", "", _SESSIONS))
    return [row[0].partition("/")[2] for row in answer.rows] if isinstance(answer, SessionList) else []


async def _ask(worker: HostedWorker, account: str, request: ListSessions | EndSessions) -> object:
    try:
        return await worker.node.bus.call(
            Kind.ROUTER, worker.node.partition(account), request, timeout=CALL_SECONDS
        )
    except (BusTimeout, StanzaError):
        return None

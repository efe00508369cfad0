"""Messages of administrators to `DOMAIN/announce/...`, as servers took them before there were commands (XEP-0133 has these since).

`online`: a headline to everybody who is online. `all`: a message to each account, kept for those who are not there. `motd`: what each user is told
once, now or at the next login; `motd/update` tells nobody now, `motd/delete` takes it back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from hashlib import blake2b
from typing import Final

import structlog

from rookery.admin import announcing
from rookery.admin.adhoc.commands import allowed
from rookery.admin.adhoc.on_service import OPERATOR
from rookery.admin.desk import Desk, NodeDesk
from rookery.admin.errors import Invalid, VerbError
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.orders import Give
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza

_log = structlog.get_logger()
#: Accounts that are read at once.
PAGE: Final = 500
_ACCOUNTS: Final = (
    "SELECT id, localpart FROM account WHERE domain = $1 AND id > $2 AND NOT disabled ORDER BY id LIMIT $3"
)
_PREFIX: Final = "announce/"


class Announcements:
    """The addresses of one process; it keeps nothing."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def __call__(self, message: Stanza, give: Give) -> None:
        """Carry a message out. Raises StanzaError: what the sender may not, or what this is no address for."""
        sender, to = Jid.trusted(message.from_), Jid.trusted(message.to)
        desk = NodeDesk(self._node, f"{OPERATOR}{sender.bare}")
        work = WORK.get((to.resource or "").removeprefix(_PREFIX))
        try:
            await allowed(desk, sender, to.domain)
            if work is None:
                raise StanzaError("item-not-found")
            await work(desk, to.domain, message, give)
        except VerbError as error:
            condition = "not-acceptable" if isinstance(error, Invalid) else "internal-server-error"
            raise StanzaError(condition, str(error)) from None
        except DatabaseUnavailable:
            raise StanzaError("internal-server-error", "try again soon", type="wait") from None
        _log.info("admin_announced", operator=desk.operator, address=message.to)


def _said(message: Stanza) -> tuple[str, str]:
    """The body and the subject."""
    found: dict[str, str] = {}
    for element in message.elements():
        if element.ns == ns.CLIENT and element.name in ("body", "subject"):
            found.setdefault(element.name, element.text.strip())
    return found.get("body", ""), found.get("subject", "")


async def _online(desk: Desk, domain: str, message: Stanza, give: Give) -> None:
    await announcing.announce(desk, domain, *_said(message))


async def _all(desk: Desk, domain: str, message: Stanza, give: Give) -> None:
    """Each account by its number: done again after a failure, those who have it already do not get it twice."""
    body, subject = _said(message)
    announcing.check(body, subject)
    seed = f"{message.from_} {message.id} {body}".encode()
    id = blake2b(seed, digest_size=8).hexdigest()
    count = 0
    async for number, localpart in _accounts(desk, domain):
        stanza = announcing.message(domain, f"{localpart}@{domain}", "normal", body, subject)
        await give(stanza.replace(id=id), number)
        count += 1
    await desk.tell([desk.audit("announce all", domain, accounts=count)])


async def _accounts(desk: Desk, domain: str) -> AsyncIterator[tuple[int, str]]:
    after = 0
    while True:
        page = await desk.run(lambda conn, after=after: conn.fetch(_ACCOUNTS, domain, after, PAGE))  # type: ignore[misc]
        for row in page:
            yield row["id"], row["localpart"]
        if len(page) < PAGE:
            return
        after = page[-1]["id"]


async def _motd(desk: Desk, domain: str, message: Stanza, give: Give) -> None:
    body = _said(message)[0]
    announcing.check(body)
    await announcing.set_motd(desk, domain, body, at_once=True)


async def _motd_update(desk: Desk, domain: str, message: Stanza, give: Give) -> None:
    body = _said(message)[0]
    announcing.check(body)
    await announcing.set_motd(desk, domain, body, at_once=False)


async def _motd_delete(desk: Desk, domain: str, message: Stanza, give: Give) -> None:
    await announcing.set_motd(desk, domain, "", at_once=False)


Work = Callable[[Desk, str, Stanza, Give], Awaitable[None]]
WORK: Final[Mapping[str, Work]] = {
    "online": _online,
    "all": _all,
    "motd": _motd,
    "motd/update": _motd_update,
    "motd/delete": _motd_delete,
}

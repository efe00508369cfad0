"""Commands of administrators (XEP-0050): what they are and do is known to whoever put the process together (`Orders.command`)."""

from __future__ import annotations

from rookery.shared.bus.messages import Handle
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account.stored import own
from rookery.workers.hosted import HostedWorker


async def command(worker: HostedWorker, partition: int, item: Handle) -> Stanza | None:
    """Answer a command for a domain or for the own address. Who may use it is asked anew each time. Raises StanzaError."""
    own(item)
    return await worker.node.orders.command(item.stanza)

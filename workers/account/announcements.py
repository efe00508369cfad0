"""Messages of administrators to `DOMAIN/announce/...`: what they mean is known to whoever put the process together (`Orders.announce`).

The message is accepted when all that follows from it is. Until then its sender's router sends it again, to the next holder too, and each
recipient's copy has a uid that follows from the message: it counts once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
import trio

from rookery.shared.bus.messages import Handle
from rookery.shared.db.api import Fenced
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import DeadlineError, HostedWorker

#: Copies of one message on their way.
AT_ONCE: Final = 256
_WAIT_SECONDS: Final = 0.02
_log = structlog.get_logger()


async def carry_out(worker: HostedWorker, partition: int, item: Handle, ended: Callable[[], bool]) -> None:
    """Do what the message says, then accept it; its sender gets an error when that cannot be. `ended`: leave it to the next holder."""
    under_way = 0

    def arrived() -> None:
        nonlocal under_way
        under_way -= 1

    async def room(most: int) -> None:
        while under_way > most:
            if ended():
                raise DeadlineError
            await trio.sleep(_WAIT_SECONDS)

    async def give(stanza: Stanza, number: int) -> None:
        nonlocal under_way
        await room(AT_ONCE)
        under_way += 1
        worker.pass_on(partition, stanza, worker.derived(item.origin, f"announce {number}"), arrived)

    error: StanzaError | None = None
    try:
        await worker.node.orders.announce(item.stanza, give)
        await room(0)
    except StanzaError as exc:
        error = exc
    except (DeadlineError, Fenced):
        return
    except Exception:
        _log.exception("announcement_failed")
        error = StanzaError("internal-server-error")
    if error is not None:
        worker.reply(item.stanza.error(error), item.origin)
    worker.accept(item.origin)

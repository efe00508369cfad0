"""What operators ask of one process: to drain and end, which lines to log, commands. Wiring says what is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from rookery.shared.bus.messages import DrainProcess, Item, SetLogLevel
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza


class Orders:
    """The orders that a process takes; until wiring has said what is done, nothing is."""

    def __init__(self) -> None:
        #: Drain and end, as on SIGTERM.
        self.drain: Callable[[], None] = lambda: None
        #: Write lines of this level and above.
        self.log_level: Callable[[str], None] = lambda level: None
        #: Answer a command of an administrator, a request with one (XEP-0050). It raises StanzaError.
        self.command: Callable[[Stanza], Awaitable[Stanza]] = _unknown
        #: By item, as the control subject and the process's own subject bring them.
        self.handlers: dict[type, Callable[[Item], None]] = {
            DrainProcess: lambda item: self.drain(),
            SetLogLevel: lambda item: self.log_level(cast("SetLogLevel", item).level),
        }


async def _unknown(iq: Stanza) -> Stanza:
    raise StanzaError("service-unavailable")

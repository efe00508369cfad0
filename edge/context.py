"""What all connections of an edge share."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from rookery.edge.admission import Admission
from rookery.edge.policy import Policy
from rookery.edge.sessions.table import Sessions
from rookery.edge.sessions.watching import Watches
from rookery.shared.bus.api import Bus
from rookery.shared.config import Limits
from rookery.shared.net.addresses import Nets
from rookery.shared.net.certificates import CertificateStore
from rookery.shared.net.handshakes import HandshakePool
from rookery.shared.net.limits import Failures
from rookery.shared.net.reactor import Reactor
from rookery.shared.observe.clients import ClientLog
from rookery.shared.xmpp.stream import StreamLimits


class Congested(Protocol):
    """A connection that is not read while the bus has more waiting than its peers take."""

    def uncongested(self) -> None:
        """Read again."""


@dataclass(slots=True)
class Context:
    """The parts of an edge. `spawn` starts a task that must not raise; `left` is told when a counted connection ends."""

    reactor: Reactor
    bus: Bus
    sessions: Sessions
    policy: Policy
    limits: Limits
    certificates: CertificateStore
    pool: HandshakePool
    failures: Failures
    exempt: Nets
    spawn: Callable[[Callable[[], Awaitable[None]]], None]
    token: Callable[[], str]
    before: StreamLimits
    after: StreamLimits
    admission: Admission
    #: Connections that wait until the bus has room again, and whether it had none at the end of the last turn.
    congested: list[Congested]
    is_congested: bool = False
    #: Lines about clients.
    log: ClientLog = field(default_factory=ClientLog)
    #: Accounts that operators look at.
    watches: Watches = field(default_factory=lambda: Watches(time.monotonic, time.time))

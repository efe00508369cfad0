"""What a session and its stream management use of their edge: the lower half of `edge.sessions.table`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from rookery.edge.counters import EdgeCounters
from rookery.edge.sessions.open_iqs import OpenIqs
from rookery.edge.sessions.recent_messages import RecentMessages
from rookery.shared.bus.api import Bus
from rookery.shared.bus.messages import Item, Kind
from rookery.shared.custody.inflight import Inflight
from rookery.shared.xeps import stream_management

#: RFC 6121 section 4.7.1; "" is availability.
PRESENCE_TYPES: Final = frozenset(
    (
        "",
        "available",
        "unavailable",
        "error",
        "probe",
        "subscribe",
        "subscribed",
        "unsubscribe",
        "unsubscribed",
    )
)


class Surroundings:
    """The edge around a session. A class and no Protocol: compiled code then needs no look-up for its attributes."""

    bus: Bus
    #: `bus.post`, and the router partition of a bare JID.
    post: Callable[[Kind, int, Item], None]
    partition: Callable[[str], int]
    incarnation: str
    #: The prepared names of the hosted domains that have accounts.
    account_domains: Collection[str]
    counters: EdgeCounters
    iqs: OpenIqs
    late: RecentMessages
    #: How stream management asks clients for acknowledgements.
    management: stream_management.Options

    @property
    def now(self) -> float:
        """The reactor's clock at the begin of this turn."""
        raise NotImplementedError

    def clock(self) -> float:
        """The same clock, read now: outside of turns `now` is that of the last one."""
        raise NotImplementedError

    @property
    def iq_deadline(self) -> int:
        """When a request that comes now has to be answered, in Unix milliseconds."""
        raise NotImplementedError

    def watch_iqs(self, due: float = 0.0) -> None:
        """An iq is open: its deadline is a timer, at `due` when it began before."""
        raise NotImplementedError

    def new_inflight(self) -> Inflight:
        """Room for the un-accepted stanzas of one stream."""
        raise NotImplementedError

"""Running totals of the router; plain integers on the hot path, read when metrics are scraped."""

from __future__ import annotations


class Counters:
    """Totals since start."""

    __slots__ = (
        "bounced",
        "copied",
        "dropped",
        "failed",
        "flushed",
        "local",
        "offline",
        "presence",
        "refused",
        "repeated",
        "rerouted",
        "restored",
        "resumed",
        "sessions",
    )

    def __init__(self) -> None:
        #: Stanzas given to a session.
        self.local = 0
        #: Messages put into the store because no resource took them.
        self.offline = 0
        self.bounced = 0
        #: Copies of messages for other resources (XEP-0280).
        self.copied = 0
        #: Stanzas that the rules drop without an answer.
        self.dropped = 0
        #: Stanzas whose handler failed.
        self.failed = 0
        #: Messages that found the offline storage of their account full.
        self.refused = 0
        self.repeated = 0
        #: Presence broadcasts.
        self.presence = 0
        #: Stored messages given to a session.
        self.flushed = 0
        #: Messages of a dead session that were given another way.
        self.rerouted = 0
        #: Sessions rebuilt from an edge's mirror.
        self.restored = 0
        #: Streams that went on after a resumption (XEP-0198).
        self.resumed = 0
        #: Sessions now.
        self.sessions = 0

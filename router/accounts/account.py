"""One local account, as far as delivery needs it: its row, its sessions, and what it is owed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rookery.router.accounts.answerable import Answerable
from rookery.router.accounts.flush import Flush
from rookery.router.accounts.resources import Resources
from rookery.router.tallies import tally_of
from rookery.shared.store.rows import Row
from rookery.shared.xeps.archive_preferences import Preferences
from rookery.shared.xeps.stanza_ids import prefix

#: Items that wait while an account is loading; more are refused (resource-constraint, wait).
MAX_WAITING: Final = 1000
#: How long "there is no such account" is believed, in seconds.
NEGATIVE_SECONDS: Final = 5.0

#: An item that waits: (handler, item). The handler is called with the partition (which is not known here) and the item.
Waiting = tuple[Callable[[Any, Any], None], Any]


class Account:
    """One local account, as far as delivery needs it.

    `waiting` is None once the account is loaded; until then it holds what waits, in order. An account without a row has
    the id 0, and `until` says how long that is believed.
    """

    __slots__ = (
        "answerable",
        "archiving",
        "avatar",
        "bare",
        "binds",
        "blocked",
        "copied",
        "disabled",
        "doubtful",
        "flush",
        "id",
        "id_prefix",
        "owed",
        "owed_bytes",
        "pushes",
        "puts",
        "relaxed",
        "repeats",
        "resources",
        "settled",
        "stale",
        "stored",
        "tally",
        "unclear",
        "until",
        "used",
        "waiting",
    )

    def __init__(self, bare: str, resources: Resources) -> None:
        self.bare = bare
        #: Where what it gets is counted.
        self.tally = tally_of(bare)
        self.id = 0
        self.disabled = False
        #: Which messages are archived; None: all.
        self.archiving: Preferences | None = None
        #: The hash of its avatar, which its presence carries (XEP-0398); empty for none.
        self.avatar = ""
        #: Messages are accepted on receipt, and stored only when no resource takes them.
        self.relaxed = False
        #: What our stanza ids begin with (XEP-0359).
        self.id_prefix = prefix(bare)
        #: Resources whose clients are notified while they are away (XEP-0357); None when there are none.
        self.pushes: frozenset[str] | None = None
        #: XEP-0191 block list; None when empty.
        self.blocked: frozenset[str] | None = None
        self.resources = resources
        #: Copied messages that errors may answer (XEP-0280), None while there is none.
        self.answerable: Answerable | None = None
        self.waiting: list[Waiting] | None = []
        #: Changed in the database while it was being loaded: load again.
        self.stale = False
        self.until = 0.0
        #: From when on (Unix seconds) it may have been given messages that died with their session; 0.0: nothing is in doubt
        #: (`router.unclear`).
        self.unclear = 0.0
        #: A client begins anew: what is in doubt is owed before it does.
        self.binds = False
        #: Until when (Unix seconds) a message that comes may be one that a former holder has stored, and that is owed, or was given to a session
        #: of which only a copy is left; 0.0: none is. And when that copy was made (Unix seconds), by the holder of which epoch.
        self.doubtful = 0.0
        self.copied = (0.0, 0)
        #: Messages that offline delivery owes, uncommitted ones included, and their bytes.
        self.owed = 0
        self.owed_bytes = 0
        #: Archive ids that were settled lately: a reader may still find them owed.
        self.settled: set[int] | None = None
        #: Rows that were not stored since they repeat others: sessions have been given these ids. None for none.
        self.repeats: dict[int, Row] | None = None
        #: The archive id of the newest row that this holder has committed.
        self.stored = 0
        #: Owed rows on their way into the store.
        self.puts = 0
        #: The resource that is being given what is owed.
        self.flush: Flush | None = None
        #: Touched since the last sweep of the cache.
        self.used = True

    @property
    def idle(self) -> bool:
        """Whether the cache may forget it."""
        return not self.resources.by_resource and self.waiting is None and not self.puts

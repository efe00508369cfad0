"""What a router keeps for one partition: its accounts with their sessions, the uids it has taken, the counter of grants."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rookery.router.recent import Recent
from rookery.router.sessions import Resources
from rookery.router.tallies import tally_of
from rookery.shared.store.ids import ArchiveIds
from rookery.shared.xeps.archive_preferences import Preferences
from rookery.shared.xeps.stanza_ids import prefix

if TYPE_CHECKING:
    from rookery.router.carbons import Answerable

#: Items that wait while an account is loading; more are refused (resource-constraint, wait).
MAX_WAITING: Final = 1000
#: How long "there is no such account" is believed, in seconds.
NEGATIVE_SECONDS: Final = 5.0

#: What stands before the stream in the uid of a carbon: it is not the message itself that was delivered.
CARBON: Final = b"carbon:"

#: An item that waits: (handler, item).
Waiting = tuple[Callable[["Part", Any], None], Any]


class Account:
    """One local account, as far as delivery needs it.

    `waiting` is None once the account is loaded; until then it holds what waits, in order. An account without a row has
    the id 0, and `until` says how long that is believed.
    """

    __slots__ = (
        "answerable",
        "archiving",
        "bare",
        "blocked",
        "disabled",
        "flush",
        "id",
        "id_prefix",
        "owed",
        "owed_bytes",
        "puts",
        "relaxed",
        "resources",
        "settled",
        "stale",
        "tally",
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
        #: Messages are accepted on receipt, and stored only when no resource takes them.
        self.relaxed = False
        #: What our stanza ids begin with (XEP-0359).
        self.id_prefix = prefix(bare)
        #: XEP-0191 block list; None when empty.
        self.blocked: frozenset[str] | None = None
        self.resources = resources
        #: Copied messages that errors may answer (XEP-0280), None while there is none.
        self.answerable: Answerable | None = None
        self.waiting: list[Waiting] | None = []
        #: Changed in the database while it was being loaded: load again.
        self.stale = False
        self.until = 0.0
        #: Messages that offline delivery owes, uncommitted ones included, and their bytes.
        self.owed = 0
        self.owed_bytes = 0
        #: Archive ids that were settled lately: a reader may still find them owed.
        self.settled: set[int] | None = None
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


class Flush:
    """Stored messages on their way to one session, page by page; live messages for it wait behind."""

    __slots__ = (
        "after",
        "again",
        "asked",
        "backlog",
        "backlog_bytes",
        "barrier",
        "grant",
        "held",
        "read",
        "resource",
        "rewind",
        "since",
    )

    def __init__(self, resource: str, grant: int, now: float) -> None:
        self.resource = resource
        self.grant = grant
        #: The newest archive id that was given to it.
        self.after = 0
        #: When the page that is under way was asked for; 0 when none is.
        self.asked = 0.0
        #: When it last made progress.
        self.since = now
        #: Live messages behind it: (origin, stanza, at, first, fate, row, owed); `first` when it decides the message's fate.
        self.backlog: deque[Any] = deque()
        self.backlog_bytes = 0
        #: False once live messages no longer wait (it took too long).
        self.held = True
        #: All pages were read.
        self.read = False
        #: More was stored meanwhile: read once more after the last page.
        self.again = False
        #: The first archive id of that; 0 for none.
        self.barrier = 0
        #: Then from the beginning: another session died with older ones.
        self.rewind = False


class Part:
    """One held partition."""

    __slots__ = ("accounts", "copied", "counter", "epoch", "ids", "live", "number", "recent", "wrapped")

    def __init__(self, number: int, epoch: int) -> None:
        self.number = number
        self.epoch = epoch
        self.ids = ArchiveIds(epoch)
        #: False once it was released or dropped: late results are ignored.
        self.live = True
        self.counter = 0
        self.accounts: dict[str, Account] = {}
        self.recent = Recent()
        #: The same for the other leg: copies of what accounts of this partition have sent.
        self.copied = Recent()
        #: Of these, what a former holder made carbons of: it may still have to be archived.
        self.wrapped = Recent()

    def delivered(self, stream: bytes, n: int) -> None:
        """A former holder gave a session what has this uid: it is not given again."""
        if stream.startswith(CARBON):
            self.wrapped.mark(stream[len(CARBON) :], n, True)
        else:
            self.recent.mark(stream, n, True)

    def next_grant(self) -> int:
        """Grants grow over all epochs: `epoch << 32 | counter`."""
        self.counter += 1
        return self.epoch << 32 | self.counter

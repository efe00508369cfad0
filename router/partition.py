"""What a router keeps for one partition: its accounts with their sessions, the uids it has taken, the counter of grants."""

from __future__ import annotations

from typing import Final

from rookery.router.accounts.account import Account
from rookery.router.accounts.session import Session
from rookery.router.heard_uids import Heard
from rookery.router.recent_uids import Recent
from rookery.shared.bus.messages import NODE, Origin
from rookery.shared.custody.told_nodes import ToldNodes
from rookery.shared.store.ids import ArchiveIds

#: What stands before the stream in the uid of a carbon: it is not the message itself that was delivered.
CARBON: Final = b"carbon:"


class Part:
    """One held partition."""

    __slots__ = (
        "accounts",
        "askers",
        "copied",
        "counter",
        "epoch",
        "given",
        "heard",
        "ids",
        "live",
        "number",
        "recent",
        "since",
        "told",
        "wrapped",
    )

    def __init__(self, number: int, epoch: int) -> None:
        self.number = number
        self.epoch = epoch
        self.ids = ArchiveIds(epoch)
        #: When this process took it over (Unix seconds); 0.0: not known.
        self.since = 0.0
        #: False once it was released or dropped: late results are ignored.
        self.live = True
        self.counter = 0
        self.accounts: dict[str, Account] = {}
        #: Custodians who asked again for what is being committed, by uid.
        self.askers: dict[tuple[bytes, int], set[str]] = {}
        self.recent = Recent()
        #: The same for the other leg: copies of what accounts of this partition have sent.
        self.copied = Recent()
        #: Of these, what a former holder made carbons of: it may still have to be archived.
        self.wrapped = Recent()
        #: What of a stream that goes to many each of them has heard.
        self.heard = Heard()
        #: Uids of messages that sessions of a former holder have acknowledged: what is stored of these is not given again.
        self.given: set[tuple[bytes, int]] = set()
        #: What sessions that want notifications of nodes were told.
        self.told = ToldNodes()

    def known(self, full: str) -> tuple[Account | None, Session | None]:
        """The account of a full JID, and its session there; None for what this holder does not know."""
        bare, _, resource = full.partition("/")
        account = self.accounts.get(bare)
        return account, None if account is None else account.resources.by_resource.get(resource)

    def delivered(self, uid: Origin, to: str) -> None:
        """A former holder gave what has this uid to the session, or account, `to`: it is not given again."""
        if uid.stream.startswith(CARBON):
            self.wrapped.mark(uid.stream[len(CARBON) :], uid.n, True)
        else:
            self.recent.mark(uid.stream, uid.n, True)
            if uid.stream.startswith(NODE):
                # (a node tells more again than edges remember)
                self.heard.reached(uid.stream, uid.n, to)
            else:
                self.heard.new(uid.stream, uid.n, to)

    def next_grant(self) -> int:
        """Grants grow over all epochs: `epoch << 32 | counter`."""
        self.counter += 1
        return self.epoch << 32 | self.counter

"""The judge over two servers of which the second is not ours. No I/O and no clock of its own.

What the other server did to its own messages is told apart, with the reason that its kind of server has for it. Clients with an odd number are
its users. Nothing is excused without a fault that explains it, and nothing of what our server has acknowledged.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from tests.cluster.chaos.ledger import Ledger, Message, Verdict

#: Seconds after a fault during which streams between the servers may still end of it.
AFTER = 25.0


class Excused(NamedTuple):
    """What is told apart: names of messages."""

    #: The other server had acknowledged them to its user, and not yet given them to us, when it was killed.
    lost_with_it: list[str]
    #: Sent once more on a new stream: the other side had taken them, and a fault ended the stream before it could say so.
    sent_again: list[str]
    #: It told its user that they failed when the stream ended, though they had arrived: it does not send again what was not acknowledged.
    returned_by_it: list[str]
    #: Prosody sends what comes between the success of SASL and the features that follow it at once, past what waits for the stream.
    overtaken_by_it: list[str]


NOTHING = Excused([], [], [], [])


class AbroadLedger(Ledger):
    """A ledger whose odd clients are users of a server of others (`foreign`), or of a second cluster of ours."""

    def __init__(self, *, foreign: bool) -> None:
        super().__init__()
        self._foreign = foreign
        #: When the other server was killed; when a fault began that may end streams between the servers, and when it was over.
        self.kills: list[float] = []
        self.breaks: list[tuple[float, float]] = []
        self.excused = NOTHING

    def verdict(self) -> Verdict:
        """Judge, then set apart."""
        found = super().verdict()
        if not self._foreign:
            return found
        lost = [m for m in found.lost if self._lost_with_it(m)]
        again = [m for m in found.duplicates if self._again(m)]
        returned = [m for m in found.bounced_and_delivered if self._returned(m)]
        late = [one for one in found.inversions if self._overtaken(self.messages[one[0], one[1]])]
        groups = (lost, again, returned, [self.messages[sender, n] for sender, n, _ in late])
        self.excused = Excused(*([m.name for m in group] for group in groups))
        return found._replace(
            lost=[m for m in found.lost if m not in lost],
            duplicates=[m for m in found.duplicates if m not in again],
            inversions=[one for one in found.inversions if one not in late],
            bounced_and_delivered=[m for m in found.bounced_and_delivered if m not in returned],
        )

    def _open(self, message: Message) -> bool:
        return super()._open(message) and not self._lost_with_it(message)

    def _lost_with_it(self, message: Message) -> bool:
        """Its own user had sent it when it was killed."""
        return self._foreign and message.sender % 2 == 1 and any(message.sent <= at for at in self.kills)

    def _again(self, message: Message) -> bool:
        """Between one arrival at the other server and the next a fault may have ended the stream."""
        times = [got.at for got in message.got]
        return message.sender % 2 == 0 and all(
            self._broken(first, second) for first, second in pairwise(times)
        )

    def _overtaken(self, message: Message) -> bool:
        return message.sender % 2 == 1 and self._broken(message.sent, message.got[0].at)

    def _returned(self, message: Message) -> bool:
        return message.sender % 2 == 1 and all(self._broken(message.sent, at) for at, _ in message.bounced)

    def _broken(self, first: float, second: float) -> bool:
        return any(began <= second and first <= ended + AFTER for began, ended in self.breaks)

"""What the accounts of each hosted domain get: totals for the metrics, at the price of one addition a message."""

from __future__ import annotations

from typing import Final

from rookery.shared.observe.bounded import Bounded
from rookery.shared.observe.metrics import DOMAIN_MESSAGES


class Tally:
    """The accounts of one domain, or of all that have no label of their own."""

    __slots__ = ("label", "messages")

    def __init__(self, label: str) -> None:
        self.label = label
        self.messages = 0


_BOUNDED: Final = Bounded()
_TALLIES: Final[dict[str, Tally]] = {}


def tally_of(bare: str) -> Tally:
    """Where an account is counted."""
    label = _BOUNDED.label(bare.rpartition("@")[2])
    tally = _TALLIES.get(label)
    if tally is None:
        tally = _TALLIES[label] = Tally(label)
        DOMAIN_MESSAGES.sample(lambda: tally.messages, label)
    return tally

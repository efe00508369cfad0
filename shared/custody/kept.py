"""What a process in the middle has handed on and the next one has not accepted. A pure machine.

A stanza is known by its uid and by the side on which it passed: the router of its sender (`sent`) or that of its addressee may be one
process. Its path is a line, so whoever accepts a uid further on has ended the path for all before: one acceptance settles both sides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from rookery.shared.bus.messages import Gate, Handle, Origin, Route
from rookery.shared.custody.inflight import Place

#: (stream, n, sent): a uid on one side of its path.
Key = tuple[bytes, int, bool]
#: What a kept stanza weighs besides its inner XML.
OVERHEAD: Final = 500
_SIDES: Final = (True, False)
#: `Handed.came` of what came to a partition that is another process's by now.
LEFT: Final = -2


class Handed(NamedTuple):
    """One kept item: where it went, when (seconds of any clock), and for whom it is kept.

    `former` is the origin that it came with: its custodian is told once the next one has accepted. `came` is the partition
    that it came to. `once` as in `inflight.Entry`.
    """

    place: Place
    item: Route | Handle | Gate
    once: bool
    at: float
    former: Origin
    came: int


class Kept:
    """All that one process has handed on, by place and in order, with their count and weight."""

    __slots__ = ("_entries", "_places", "bytes", "given_up", "max_bytes", "max_items")

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.bytes = 0
        self._entries: dict[Key, Handed] = {}
        self._places: dict[Place, dict[Key, Handed]] = {}
        #: At-most-once items whose holder was lost with them, for the shell to take: nobody will ever accept them.
        self.given_up: list[Handed] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def full(self) -> bool:
        """Whether no more should be handed on before something was accepted."""
        return len(self._entries) >= self.max_items or self.bytes >= self.max_bytes

    def add(self, key: Key, handed: Handed) -> bool:
        """Keep it. False when it is kept already: see `reclaim`."""
        if self.reclaim(key, handed.former, handed.came):
            return False
        left = self._entries.get(key)
        if left is not None and left.place == handed.place:
            self.bytes -= _weight(left)  # (it stays where it is: before what came later)
        elif left is not None:
            self.take(key)
        self._entries[key] = handed
        place = self._places.get(handed.place)
        if place is None:
            place = self._places[handed.place] = {}
        place[key] = handed
        self.bytes += _weight(handed)
        return True

    def reclaim(self, key: Key, former: Origin, came: int) -> bool:
        """It comes again, perhaps from another custodian, who is told in the end. False when it is not kept, or was left behind: then it is sent again."""
        known = self._entries.get(key)
        if known is None or known.came == LEFT:
            return False
        if known.former != former or known.came != came:
            self._entries[key] = self._places[known.place][key] = known._replace(former=former, came=came)
        return True

    def accepted(self, stream: bytes, n: int) -> list[Handed]:
        """The path of this uid has ended: what was kept of it."""
        return [one for sent in _SIDES if (one := self.take((stream, n, sent))) is not None]

    def take(self, key: Key) -> Handed | None:
        """Keep it no longer; None when it was not kept."""
        handed = self._entries.pop(key, None)
        if handed is not None:
            self.bytes -= _weight(handed)
            place = self._places[handed.place]
            del place[key]
            if not place:
                del self._places[handed.place]
        return handed

    def leave(self, came: int, at: float) -> None:
        """The partition is another process's now, which is sent again what came to it.

        What was on its way to a place that has no holder, or a dead one, may still arrive in part: what came before it goes first there, so all of it is kept a while.
        """
        for key, handed in self._entries.items():
            if handed.came == came:
                self._entries[key] = self._places[handed.place][key] = handed._replace(came=LEFT, at=at)

    def expire(self, before: float) -> None:
        """Forget what was left before then."""
        for key in [key for key, one in self._entries.items() if one.came == LEFT and one.at < before]:
            self.take(key)

    def places(self) -> Collection[Place]:
        """Where something was sent that is not accepted."""
        return self._places.keys()

    def again(
        self, places: Collection[Place], before: float = float("inf"), same: bool = False
    ) -> Iterable[Handed]:
        """What to send again, in order, when these places lost something or have not accepted their oldest since `before`.

        All of a place or nothing keeps the order. `same`: its holder has what it had. If not, at-most-once items move to `given_up`.
        """
        found: list[Handed] = []
        for place in places:
            kept = self._places.get(place)
            if not kept or next(iter(kept.values())).at >= before:
                continue
            for key, handed in list(kept.items()):
                if same or not handed.once:
                    found.append(handed)
                elif handed.at < before:
                    self.take(key)
                    self.given_up.append(handed)
        return found


def _weight(handed: Handed) -> int:
    return len(handed.item.stanza.inner) + OVERHEAD

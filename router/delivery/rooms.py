"""What a router does for rooms: it says what it has given to edges, and which occupants are gone.

A room keeps what it has sent until each router has confirmed it, and sends it again to whoever holds the partition next. So a router
confirms only what has a second copy: edges have taken it, the rows of sessions without a socket have it, and no partition is being
acquired here whose items wait. While a session may still come back with an edge that was silent (`router.absences`), nothing is confirmed after it has missed something.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from rookery.router.accounts.account import Account
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.shared.bus.api import Mark
from rookery.shared.bus.messages import CheckOccupants, FannedOut, Kind, Origin
from rookery.shared.xmpp.stanza import Stanza


class Rows(Protocol):
    """Sessions without a socket (`router.sessions.hibernation`)."""

    moved: int

    def unwritten(self) -> float:
        """Since when (ticks) some row has lacked something; infinity when none lacks anything."""


class Rooms:
    """Handles CheckOccupants, and confirms what rooms have sent."""

    def __init__(self, core: Core, rows: Rows, note: Callable[[Part, Account, Session], None]) -> None:
        self._core = core
        self._rows = rows
        #: Leaves at its edge what is known of a session.
        self._note_session = note
        #: Stream of a room -> (its JID, the highest number that was handled): since the last look, and before it.
        self._young: dict[bytes, tuple[str, int]] = {}
        self._old: dict[bytes, tuple[str, int]] = {}
        #: When the last look was (ticks), what had been posted then, and `Rows.moved`.
        self._looked = 0.0
        self._mark: Mark = core.bus.mark()
        self._moved = 0

    def took(self, room: str, origin: Origin) -> None:
        """Everything that this process holds of one item of a room was given to sessions."""
        self._young[origin.stream] = (room, origin.n)

    def tick(self) -> None:
        """Confirm what was given before the last look and has a second copy. Call about twice a second."""
        if self._old and not self._safe():
            return
        old, self._old, self._young = self._old, self._young, {}
        self._looked = self._core.ticks()
        self._note()
        by_partition: dict[int, list[tuple[bytes, int]]] = {}
        for stream, (room, n) in old.items():
            by_partition.setdefault(self._core.node.partition(room), []).append((stream, n))
        for partition, heard in by_partition.items():
            self._core.bus.post(Kind.MUC, partition, FannedOut(self._core.node.incarnation, heard))

    def _note(self) -> None:
        self._mark, self._moved = self._core.bus.mark(), self._rows.moved

    def _safe(self) -> bool:
        if self._moved != self._rows.moved:
            # What a row lacked has gone to an edge meanwhile.
            self._note()
        return (
            self._mark.passed()
            and self._rows.unwritten() > self._looked
            and not self._core.acquiring()
            and not self._core.absences.waiting
        )

    def on_check(self, part: Part, item: CheckOccupants) -> None:
        """Tell a room of those that it holds for occupants and that are none any more (XEP-0045 section 7.14)."""
        unknown = []
        for full, stream in zip(item.occupants, item.streams, strict=True):
            account, session = part.known(full)
            if account is None or session is None:
                unknown.append((full, stream))
            elif session.enters(item.room):
                continue
            elif session.stream == stream and session.direct(item.room, True):
                # The former holder died before the edge had noted that it is in; had it left, the room would know or be told.
                self._note_session(part, account, session)
            else:
                self._say_gone(item.room, full, stream)
        if unknown:
            self._core.absences.judge(part, partial(self._say_unknown, part, item.room, unknown))

    def _say_unknown(self, part: Part, room: str, asked: Sequence[tuple[str, bytes]]) -> None:
        for full, stream in asked:
            if part.known(full)[1] is None:
                self._say_gone(room, full, stream)

    def _say_gone(self, room: str, full: str, stream: bytes) -> None:
        self._core.route_end(Stanza.build("presence", type="unavailable", from_=full, to=room), stream)

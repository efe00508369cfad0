"""A recording: who sent a message of which size to whom, and when. Neither addresses nor bodies are in it. Pure.

The first line is a header, each other one an event: microseconds since the beginning, sender, receiver, bytes of the body, its hash.
Addresses and bodies are HMACs under the seed: two recordings of one seed name the same people alike, and whoever has not the seed
cannot try whether somebody is in it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TextIO

import msgspec

from rookery.bench.plan import PlanError

FORMAT: Final = "rookery-tape-1"
_HEX: Final = 16


class Event(NamedTuple):
    """One message: `at` microseconds since the beginning, from `sender` to `receiver` (renamed), `size` bytes of body with that hash."""

    at: int
    sender: str
    receiver: str
    size: int
    body: str


class Tape(NamedTuple):
    """A whole recording; `people` is who sends or receives, in the order of their new names."""

    people: tuple[str, ...]
    events: tuple[Event, ...]

    @property
    def seconds(self) -> float:
        """From the first message to the last."""
        return self.events[-1].at / 1e6 if self.events else 0.0


class Renamer:
    """Gives addresses and bodies their names under a seed."""

    def __init__(self, seed: str) -> None:
        self._key = seed.encode()

    def person(self, bare: str) -> str:
        """The name of a bare JID."""
        return self._hash(b"jid", bare)

    def body(self, text: str) -> str:
        """The name of what a body says: equal bodies have equal ones."""
        return self._hash(b"body", text)

    def _hash(self, what: bytes, text: str) -> str:
        return hmac.digest(self._key, what + b"\0" + text.encode(), "sha256").hex()[:_HEX]


def begin(file: TextIO) -> None:
    """Write the header."""
    file.write(msgspec.json.encode({"format": FORMAT}).decode() + "\n")


def write(file: TextIO, events: Iterable[Event]) -> None:
    """Append events."""
    file.writelines(msgspec.json.encode(event).decode() + "\n" for event in events)


def load(path: Path) -> Tape:
    """Read a recording; the last line of one that was broken off may be cut. Raises PlanError."""
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"tape {path}: {error}") from None
    if not lines[0].startswith('{"format":"' + FORMAT):
        raise PlanError(f"tape {path} is no recording of this version: `rookery bench record` makes one")
    events = sorted(_events(path, lines[1:]), key=lambda event: event.at)
    people = sorted({name for event in events for name in (event.sender, event.receiver)})
    if len(people) < 2:
        raise PlanError(f"tape {path} holds no message from one person to another")
    first = events[0].at  # nothing is waited for before the first message
    return Tape(tuple(people), tuple(event._replace(at=event.at - first) for event in events))


def _events(path: Path, lines: list[str]) -> Iterator[Event]:
    for number, line in enumerate(lines, 2):
        if not line:
            continue
        try:
            event = msgspec.json.decode(line, type=Event)
        except msgspec.DecodeError:
            if number == len(lines) + 1:
                return  # the end of one that was broken off
            raise PlanError(f"tape {path}, line {number}: no event") from None
        if event.at < 0 or event.size < 0:
            raise PlanError(f"tape {path}, line {number}: no event")
        yield event


def delivered_set(pairs: Iterable[tuple[int, int, int]]) -> str:
    """A digest of what was delivered, as (sender, receiver, number): two runs that delivered the same have the same."""
    text = "\n".join(f"{sender} {receiver} {number}" for sender, receiver, number in sorted(pairs))
    return hmac.digest(b"", text.encode(), "sha256").hex()[:32]

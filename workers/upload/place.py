"""Where the bytes of files are: what the folder and the bucket have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

#: Bytes that are passed on at once, and so what each client that puts or gets a file costs in memory, two or three times.
BLOCK = 65_536


class AwayError(OSError):
    """The place cannot be reached, or will not do it now."""


class Whole(NamedTuple):
    """A file that is being put: its blocks, which end at its size or raise, and what is done before it can be seen."""

    id: str
    size: int
    blocks: AsyncIterator[bytes]
    noted: Callable[[], Awaitable[None]]


class Terms(NamedTuple):
    """What a signed URL holds its client to: for how long, with which headers; and which headers the answer has."""

    seconds: int
    headers: Mapping[str, str] = {}
    answers: Mapping[str, str] = {}


class Place(Protocol):
    """A place for files. Everything raises OSError for what does not work, AwayError where that may pass."""

    async def prepare(self) -> None:
        """Make ready."""

    def url(self, method: str, id: str, terms: Terms) -> str:
        """A signed URL where a client does this itself, "" where files pass through us."""

    async def put(self, file: Whole) -> None:
        """Keep a file, which is seen when it is whole. Raises FileExistsError, and what `blocks` and `noted` raise."""

    def read(self, id: str, start: int, stop: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Some bytes of a file, in blocks. Raises FileNotFoundError."""

    async def remove(self, ids: Sequence[str]) -> None:
        """Remove files; those that are gone already are no trouble."""

    async def tidy(self, before: float) -> None:
        """Remove some of what was begun before a Unix time and never finished."""

    async def aclose(self) -> None:
        """Let connections go."""

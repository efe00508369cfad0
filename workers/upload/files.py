"""What the HTTP port does with a request: puts a file under a slot, or finds one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import structlog

from rookery.shared.db.api import Database, DatabaseUnavailable
from rookery.shared.observe.metrics import UPLOAD_BYTES, UPLOADS
from rookery.shared.xeps.upload import Options
from rookery.workers.upload import store
from rookery.workers.upload.answers import GUARDS, Headers, cached, shown
from rookery.workers.upload.names import OCTETS, located, media_type
from rookery.workers.upload.place import BLOCK, AwayError, Place, Terms, Whole
from rookery.workers.upload.slots import Slot, verify

_RECEIVED: Final = UPLOAD_BYTES.labels("in")
_log = structlog.get_logger()


class RefuseError(Exception):
    """The answer to a request is this status."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


class Files:
    """The files of a place. `secrets` are the keys of slots, none until they were read."""

    def __init__(
        self, db: Database, options: Options, place: Place, clock: Callable[[], float] = time.time
    ) -> None:
        self.options = options
        self.place = place
        self.secrets: Sequence[bytes] = ()
        self.clock = clock
        self._db = db

    async def find(self, target: str) -> store.File:
        """The file of a URL. Raises RefuseError."""
        place = located(target)
        if place is None:
            raise RefuseError(404)
        id, name = place
        try:
            found = await self._db.run(0, lambda conn: store.get(conn, id, self.clock()), op="upload")
        except DatabaseUnavailable:
            raise RefuseError(503) from None
        if found is None or found.name != name:
            raise RefuseError(404)
        return found

    def slot(self, target: str, headers: Mapping[str, str]) -> Slot:
        """The slot that a PUT has, for its name, size and type. Raises RefuseError."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        slot = verify(token.strip(), self.secrets) if scheme.lower() == "bearer" else None
        if slot is None or located(target) != (slot.id, slot.name):
            raise RefuseError(403, "this is no slot")
        now = self.clock()
        if now >= slot.until or (slot.expires and now >= slot.expires):
            raise RefuseError(403, "the slot is over")
        length = headers.get("content-length")
        if length is None:
            raise RefuseError(411)
        if length != str(slot.size):
            raise RefuseError(413 if len(length) >= len(str(slot.size)) else 400, "not the size of the slot")
        said = headers.get("content-type")
        if said is not None and slot.media_type != OCTETS and media_type(said) != slot.media_type:
            raise RefuseError(415, "not the type of the slot")
        return slot

    def redirected(self, method: str, file: store.File) -> Headers:
        """Where a client gets a file at the store, and what it must know; nothing where files pass through us. Raises RefuseError."""
        seconds, now = self.options.s3_get_seconds, self.clock()
        if file.expires:
            seconds = max(1, min(seconds, int(file.expires - now)))
        answers = shown(file, self.options.inline_types)
        answers["cache-control"] = cached(file, now)
        try:
            url = self.place.url(method, file.id, Terms(seconds, {}, answers))
        except AwayError:
            raise RefuseError(503) from None
        # The redirect is asked for again before its signature is over.
        kept = ("Cache-Control", f"private, max-age={seconds // 2}")
        return [*GUARDS, ("Location", url), kept] if url else []

    async def put(self, slot: Slot, body: AsyncIterator[bytes]) -> None:
        """Keep a file, which is seen when it is whole. Raises RefuseError, or what `body` raises."""

        async def noted() -> None:
            if not await self._db.run(0, lambda conn: store.put(conn, slot), op="upload"):
                raise RefuseError(403, "the account is gone")

        try:
            await self.place.put(Whole(slot.id, slot.size, _blocks(slot.size, body), noted))
        except FileExistsError:
            raise RefuseError(409, "there is a file already") from None
        except AwayError as error:
            _log.error("upload_store_away", error=str(error))
            raise RefuseError(503) from None
        except OSError as error:
            _log.error("upload_not_written", error=error.strerror or str(error))
            raise RefuseError(507) from error
        except DatabaseUnavailable:
            raise RefuseError(503) from None
        UPLOADS.labels("stored").inc()


async def _blocks(whole: int, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What comes, in larger pieces. Raises RefuseError for more or less than the size of the slot."""
    parts: list[bytes] = []
    held = size = 0
    async for data in body:
        parts.append(data)
        held += len(data)
        size += len(data)
        if size > whole:
            raise RefuseError(413)
        if held >= BLOCK:
            # One copy at a time: a hundred clients wait here for the disk.
            block, held = b"".join(parts), 0
            parts.clear()
            del data
            _RECEIVED.inc(len(block))
            yield block
            del block
    if size != whole:
        raise RefuseError(400, "not the size of the slot")
    _RECEIVED.inc(held)
    yield b"".join(parts)

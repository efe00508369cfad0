"""What the HTTP port does with a request: puts a file under a slot, or finds one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, TypeVar

import structlog
import trio

from rookery.shared.db.api import Database, DatabaseUnavailable
from rookery.shared.observe.metrics import UPLOAD_BYTES, UPLOADS
from rookery.shared.xeps.upload import Options
from rookery.workers.upload import store
from rookery.workers.upload.folder import Folder, Incoming
from rookery.workers.upload.names import OCTETS, located, media_type
from rookery.workers.upload.slots import Slot, verify

#: Bytes that are written to the disk at once.
BLOCK: Final = 262_144
#: Threads that wait for the disk, at most.
_THREADS: Final = 16
_RECEIVED: Final = UPLOAD_BYTES.labels("in")
T = TypeVar("T")
_log = structlog.get_logger()


class RefuseError(Exception):
    """The answer to a request is this status."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


class Files:
    """The files of this process's folder. `secrets` are the keys of slots, none until they were read."""

    def __init__(
        self, db: Database, options: Options, folder: Folder, clock: Callable[[], float] = time.time
    ) -> None:
        self.options = options
        self.folder = folder
        self.secrets: Sequence[bytes] = ()
        self.clock = clock
        self._db = db
        self._threads = trio.CapacityLimiter(_THREADS)

    async def blocking(self, work: Callable[[], T]) -> T:
        """Do something with the disk in a thread; it ends before a cancellation does."""
        return await trio.to_thread.run_sync(work, limiter=self._threads)

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

    async def put(self, slot: Slot, body: AsyncIterator[bytes]) -> None:
        """Write a file block by block, and publish it when it is whole. Raises RefuseError, or what `body` raises."""
        try:
            if await self.blocking(lambda: self.folder.has(slot.id)):
                raise RefuseError(409, "there is a file already")
            incoming = await self.blocking(lambda: self.folder.begin(slot.id))
            try:
                await self._write(slot, incoming, body)
            finally:
                with trio.CancelScope(shield=True):
                    await self.blocking(incoming.close)
        except OSError as error:
            _log.error("upload_not_written", error=error.strerror or str(error))
            raise RefuseError(507) from error
        except DatabaseUnavailable:
            raise RefuseError(503) from None
        UPLOADS.labels("stored").inc()

    async def _write(self, slot: Slot, incoming: Incoming, body: AsyncIterator[bytes]) -> None:
        block, size = bytearray(), 0
        async for data in body:
            block += data
            size += len(data)
            if size > slot.size:
                raise RefuseError(413)
            if len(block) >= BLOCK:
                await self._flush(incoming, block)
        await self._flush(incoming, block)
        if size != slot.size:
            raise RefuseError(400, "not the size of the slot")
        await self.blocking(incoming.sync)
        if not await self._db.run(0, lambda conn: store.put(conn, slot), op="upload"):
            raise RefuseError(403, "the account is gone")
        if not await self.blocking(incoming.publish):
            raise RefuseError(409, "there is a file already")

    async def _flush(self, incoming: Incoming, block: bytearray) -> None:
        data = bytes(block)
        block.clear()
        await self.blocking(lambda: incoming.write(data))
        _RECEIVED.inc(len(data))

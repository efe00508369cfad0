"""Files over real HTTP, on a real Postgres and a folder: whole or not there, once, and never in memory as a whole."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from rookery.shared.bus.messages import Kind
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.config import Config
from rookery.shared.db.api import Database
from rookery.shared.xeps.upload import Options
from rookery.workers.account import store as accounts
from rookery.workers.account.credentials import Keys
from rookery.workers.upload import store
from rookery.workers.upload.disk import Disk
from rookery.workers.upload.files import Files
from rookery.workers.upload.folder import INCOMING, Folder
from rookery.workers.upload.place import Place
from rookery.workers.upload.port import Port
from rookery.workers.upload.slots import Slot, sign
from rookery.workers.upload.sweep import sweep

KEY = b"k" * 32
MIB = 1 << 20


class Lab:
    """A port with a folder, and an account."""

    def __init__(
        self, db: Database, root: Path, account: int, options: Options, place: Place | None = None
    ) -> None:
        self.db, self.root, self.account = db, root, account
        self.config = Config(upload=options)
        self.now = time.time()
        self.folder = Folder(options.directory)
        self.files = Files(db, options, place or Disk(self.folder), lambda: self.now)
        self.files.secrets = (KEY,)
        self.port = Port(self.config, self.files)
        self._n = 0

    def slot(self, size: int, **changes: object) -> Slot:
        self._n += 1
        fields: dict[str, object] = {
            "id": f"{self._n:032}",
            "domain": "upload.one.org",
            "account": self.account,
            "name": "très <cool>.jpg",
            "size": size,
            "media_type": "image/jpeg",
            "until": int(self.now) + 600,
            "expires": int(self.now) + 86_400,
        }
        return Slot(**{**fields, **changes})

    async def say(self, data: bytes, *, more: int = 0, end: bool = False) -> tuple[int, bytes]:
        """Send a request, with so many MiB behind it; returns the status and everything."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port.number)
        async with stream:
            try:
                await stream.send_all(data)
                for _ in range(more):
                    await stream.send_all(b"x" * MIB)
                if end:
                    await stream.send_eof()
            except trio.BrokenResourceError:
                pass
            got = b""
            with trio.fail_after(30):
                async for piece in stream:
                    got += piece
        return int(got[9:12]) if got else 0, got

    def head(self, slot: Slot, *lines: str, token: str = "") -> bytes:
        said = [f"PUT {path(slot)} HTTP/1.1", "Host: x", "Connection: close"]
        said += [f"Authorization: Bearer {token or sign(slot, KEY)}"]
        if not any(line.startswith(("Content-Length", "Transfer")) for line in lines):
            said.append(f"Content-Length: {slot.size}")
        return "\r\n".join([*said, *lines, "", ""]).encode()

    async def put(self, slot: Slot, body: bytes, *lines: str) -> int:
        return (await self.say(self.head(slot, *lines) + body))[0]

    async def get(self, slot: Slot, *lines: str, method: str = "GET") -> tuple[int, bytes]:
        said = [f"{method} {path(slot)} HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]
        return await self.say("\r\n".join(said).encode())

    def left(self) -> list[str]:
        """What is half written."""
        return os.listdir(self.root / INCOMING)


def path(slot: Slot) -> str:
    return f"/{slot.id}/tr%C3%A8s%20%3Ccool%3E.jpg"


async def account_of(db: Database) -> int:
    """A new account of a new domain."""

    async def made(conn: object) -> int:
        await accounts.put_domain(conn, "one.org")  # type: ignore[arg-type]
        keys = [Keys("SCRAM-SHA-256", 4096, b"salt", b"stored", b"server")]
        found = await accounts.create_account(conn, "alice", "one.org", keys)  # type: ignore[arg-type]
        assert found is not None
        return found

    return await db.run(0, made)


@asynccontextmanager
async def lab(db: Database, root: Path, **options: object) -> AsyncIterator[Lab]:
    settings = {"directory": str(root), "host": ("127.0.0.1",), "port": 0, "plaintext": True}
    here = Lab(db, root, await account_of(db), Options(**{**settings, **options}))
    here.folder.prepare()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.port.run)
        with trio.fail_after(10):
            while not here.port.number:  # noqa: ASYNC110  the port announces nothing
                await trio.sleep(0.01)
        yield here
        nursery.cancel_scope.cancel()


async def test_a_file_is_put_once_and_got(database: Database, tmp_path: Path) -> None:
    async with lab(database, tmp_path) as here:
        slot = here.slot(11)
        assert await here.put(slot, b"hello world", "Content-Type: image/jpeg") == 201
        status, got = await here.get(slot, "Origin: https://web.example")
        assert status == 200
        head, _, body = got.partition(b"\r\n\r\n")
        assert body == b"hello world"
        assert b"content-disposition: inline" in head.lower()
        assert b"access-control-allow-origin: *" in head.lower()
        status, got = await here.get(slot, "Range: bytes=6-")
        assert (status, got.rpartition(b"\r\n\r\n")[2]) == (206, b"world")
        status, got = await here.get(slot, method="HEAD")
        assert (status, got.rpartition(b"\r\n\r\n")[2]) == (200, b"")
        assert await here.put(slot, b"other world") == 409
        assert (await here.get(slot))[1].endswith(b"hello world")
        other = here.slot(11, id="9" * 32)
        assert (await here.get(other))[0] == 404
        here.now += 86_400
        assert (await here.get(slot))[0] == 404
        assert here.left() == []


async def test_what_is_no_slot_is_refused_and_nothing_stays(database: Database, tmp_path: Path) -> None:
    async with lab(database, tmp_path) as here:
        slot = here.slot(5)
        bigger = here.slot(6, id=slot.id)
        assert (await here.say(here.head(slot, token=sign(slot, b"other")) + b"hello"))[0] == 403
        assert (await here.say(here.head(slot, token=sign(here.slot(5), KEY)) + b"hello"))[0] == 403
        assert (await here.say(here.head(bigger, token=sign(slot, KEY)) + b"hello!"))[0] == 413
        assert await here.put(slot, b"hell", "Content-Length: 4") in (400, 413)
        assert await here.put(slot, b"5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked") == 411
        assert await here.put(slot, b"hello", "Content-Type: text/html") == 415
        assert await here.put(here.slot(5, until=int(here.now)), b"hello") == 403
        assert await here.put(here.slot(5, account=here.account + 1), b"hello") == 403
        # The client goes away in the middle.
        assert (await here.say(here.head(slot) + b"hel", end=True))[0] in (0, 400)
        assert (await here.get(slot))[0] == 404
        assert (await here.say(b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))[
            0
        ] == 404
        assert (await here.say(b"BREW / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))[0] == 405
        assert (await here.say(b"\x00\x01 nonsense\r\n\r\n"))[0] == 400
        assert here.left() == []
        assert await here.put(slot, b"hello") == 201


async def test_of_two_that_put_the_same_one_wins(database: Database, tmp_path: Path) -> None:
    async with lab(database, tmp_path) as here:
        slot, statuses = here.slot(4 * MIB), list[int]()

        async def put(fill: bytes) -> None:
            statuses.append(await here.put(slot, fill * slot.size))

        async with trio.open_nursery() as nursery:
            for fill in (b"a", b"b", b"c"):
                nursery.start_soon(put, fill)
        assert sorted(statuses) == [201, 409, 409]
        body = (await here.get(slot))[1].partition(b"\r\n\r\n")[2]
        assert len(body) == slot.size
        assert len(set(body)) == 1
        assert here.left() == []


async def test_a_large_file_is_never_in_memory_as_a_whole(database: Database, tmp_path: Path) -> None:
    async with lab(database, tmp_path) as here:
        slot = here.slot(64 * MIB)
        tracemalloc.start()
        try:
            assert (await here.say(here.head(slot), more=64))[0] == 201
            stream = await trio.open_tcp_stream("127.0.0.1", here.port.number)
            async with stream:
                await stream.send_all(f"GET {path(slot)} HTTP/1.0\r\n\r\n".encode())
                size = 0
                async for piece in stream:
                    size += len(piece)
            assert size > slot.size
            assert tracemalloc.get_traced_memory()[1] < 8 * MIB
        finally:
            tracemalloc.stop()


async def test_a_client_that_says_nothing_more_is_closed(database: Database, tmp_path: Path) -> None:
    async with lab(database, tmp_path, stall_seconds=1.0) as here:
        slot = here.slot(100)
        began = trio.current_time()
        assert await here.put(slot, b"some") == 408
        assert trio.current_time() - began < 10
        assert here.left() == []


async def test_files_go_with_their_time_and_with_their_account(database: Database, tmp_path: Path) -> None:
    async with lab(database, tmp_path) as here:
        slots = [here.slot(1), here.slot(1, expires=int(here.now) + 60), here.slot(1, expires=0)]
        for slot in slots:
            assert await here.put(slot, b"x") == 201
        node = FakeCluster().node("upload1", Kind.UPLOAD, db=database)
        assert await sweep(node, here.files) == 0
        here.now += 61
        assert await sweep(node, here.files) == 1
        assert [here.folder.has(slot.id) for slot in slots] == [True, False, True]

        async def removed(conn: object) -> None:
            await conn.execute("DELETE FROM account WHERE id = $1", here.account)  # type: ignore[attr-defined]

        await database.run(0, removed)
        assert [(await here.get(slot))[0] for slot in slots] == [404, 404, 404]
        assert await sweep(node, here.files) == 2
        assert not any(here.folder.has(slot.id) for slot in slots)


@pytest.mark.parametrize(("files", "size", "taken"), [(3, 1, 3), (9, 40, 2), (9, 101, 0)])
async def test_a_day_has_an_end(
    database: Database, tmp_path: Path, files: int, size: int, taken: int
) -> None:
    async with lab(database, tmp_path) as here:
        done = [
            await database.run(0, lambda conn: store.count(conn, here.account, size, here.now, (files, 100)))
            for _ in range(5)
        ]
        assert done == [True] * taken + [False] * (5 - taken)
        again = await database.run(
            0, lambda conn: store.count(conn, here.account, 1, here.now + 86_400, (files, 100))
        )
        assert again

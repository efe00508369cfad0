"""The port of the files takes whatever bytes come: it answers or closes, keeps only what a slot allows, and never trips."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
import trio
import trio.testing

from rookery.shared.xeps.upload import Options
from rookery.workers.upload.files import Files
from rookery.workers.upload.http import Connection
from rookery.workers.upload.place import Terms, Whole
from rookery.workers.upload.slots import Slot, sign

KEY, ID, BODY = b"k" * 32, "i" * 32, b"hello world"
NOW = 1_600_000_000
SLOT = Slot(ID, "upload.x", 7, "a b.jpg", len(BODY), "image/jpeg", NOW + 600, NOW + 86_400)
PUT = (
    f"PUT /{ID}/a%20b.jpg HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(BODY)}\r\n"
    f"Authorization: Bearer {sign(SLOT, KEY)}\r\n\r\n"
).encode() + BODY
SEEDS = (
    PUT,
    PUT.replace(b"Content-Length: 11", b"Transfer-Encoding: chunked"),
    PUT.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n", 1),
    f"GET /{ID}/a%20b.jpg HTTP/1.1\r\nHost: x\r\nRange: bytes=0-4\r\nIf-Range: *\r\n\r\n".encode(),
    f"HEAD /{ID}/a%20b.jpg HTTP/1.0\r\n\r\n".encode(),
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\nOrigin: https://web.example\r\n\r\n",
)
BITS = (
    b"\r\n",
    b"\r\n\r\n",
    b":",
    b" ",
    b"\x00",
    b"\xff",
    b"%2e%2e/",
    b"-1",
    b"9" * 30,
    b"bytes=-",
    b"chunked",
    b"HTTP/9.9",
)
STATUSES = {
    100,
    200,
    201,
    204,
    206,
    304,
    400,
    403,
    404,
    405,
    408,
    409,
    411,
    413,
    415,
    416,
    431,
    501,
    503,
    507,
}


class Shelf:
    """A place in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def url(self, method: str, id: str, terms: Terms) -> str:
        return ""

    async def put(self, file: Whole) -> None:
        if file.id in self.kept:
            raise FileExistsError(file.id)
        data = b"".join([block async for block in file.blocks])
        await file.noted()
        self.kept[file.id] = data

    @asynccontextmanager
    async def read(self, id: str, start: int, stop: int) -> AsyncIterator[AsyncIterator[bytes]]:
        yield self._blocks(self.kept[id][start:stop])

    async def _blocks(self, data: bytes) -> AsyncIterator[bytes]:
        yield data

    async def prepare(self) -> None: ...
    async def remove(self, ids: Sequence[str]) -> None: ...
    async def tidy(self, before: float) -> None: ...
    async def aclose(self) -> None: ...


class Rows:
    """A database that knows one file once it is put, and every account."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    async def run(self, partition: int, work: Any, op: str = "") -> Any:
        return await work(self)

    async def fetchrow(self, sql: str, id: str, now: object) -> dict[str, Any] | None:
        if id not in self.shelf.kept:
            return None
        return {"name": SLOT.name, "media_type": SLOT.media_type, "size": SLOT.size, "expires": None}

    async def execute(self, *args: object) -> None: ...

    async def fetchval(self, *args: object) -> bool:
        return True


def mangled(random: random.Random) -> bytes:
    """One or two requests, with a few mistakes."""
    data = bytearray(b"".join(random.choices(SEEDS, k=random.randint(1, 2))))
    for _ in range(random.randint(0, 4)):
        at = random.randrange(len(data))
        match random.randrange(4):
            case 0:
                data[at] = random.randrange(256)
            case 1:
                del data[at : at + random.randint(1, 20)]
            case 2:
                data[at:at] = random.choice(BITS)
            case _:
                data[at:at] = data[at : at + random.randint(1, 60)]
        data = data or bytearray(b"G")
    return bytes(data)


async def served(shelf: Shelf, data: bytes, pieces: int) -> bytes:
    ours, theirs = trio.testing.memory_stream_pair()
    files = Files(Rows(shelf), Options(directory="/x", stall_seconds=1.0), shelf, lambda: NOW)  # type: ignore[arg-type]
    files.secrets = (KEY,)
    got = bytearray()

    async def listen() -> None:
        async for piece in theirs:
            got.extend(piece)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Connection(ours, files).serve)
            nursery.start_soon(listen)
            try:
                for at in range(0, len(data), max(1, len(data) // pieces)):
                    await theirs.send_all(data[at : at + max(1, len(data) // pieces)])
                await theirs.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
    return bytes(got)


async def attack(seed: int, rounds: int) -> None:
    chance, shelf = random.Random(seed), Shelf()
    for _ in range(rounds):
        data = mangled(chance)
        with structlog.testing.capture_logs() as logged:
            got = await served(shelf, data, chance.randint(1, 5))
        assert not [line for line in logged if line["event"] == "upload_connection_failed"], data
        statuses = {int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)}
        assert statuses <= STATUSES, data
        assert not got or got.startswith(b"HTTP/1.1 "), data
        assert set(shelf.kept) <= {ID}
        assert all(len(body) == SLOT.size for body in shelf.kept.values())
        shelf.kept.clear() if chance.random() < 0.5 else None


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_comes(seed: int, autojump_clock: trio.testing.MockClock) -> None:
    await attack(seed, 60)


async def test_what_is_right_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    shelf = Shelf()
    got = await served(shelf, PUT + SEEDS[3], 3)
    assert got.startswith(b"HTTP/1.1 201 ")
    assert b"HTTP/1.1 200 " in got  # (an If-Range that is none gets the whole file)
    assert shelf.kept == {ID: BODY}


@pytest.mark.parametrize("pieces", [1, 2, 7, 400])
async def test_what_comes_behind_a_body_is_the_next_request(
    pieces: int, autojump_clock: trio.testing.MockClock
) -> None:
    shelf = Shelf()
    waiting = PUT.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n", 1)
    got = await served(shelf, waiting + SEEDS[3] + PUT + SEEDS[3], pieces)
    statuses = [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)]
    # A body that nobody wants is not read, so nothing behind it is.
    assert [one for one in statuses if one != 100] == [201, 200, 409]
    assert shelf.kept == {ID: BODY}


if __name__ == "__main__":  # python -m tests.unit.upload.test_fuzz SEED ROUNDS
    trio.run(attack, int(sys.argv[1]), int(sys.argv[2]), clock=trio.testing.MockClock(autojump_threshold=0))

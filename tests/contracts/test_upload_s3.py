"""Files in an S3-compatible store: what holds for a folder holds for it too, and clients reach it only by signatures."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
from tests.contracts.s3_store import ACCESS, BUCKET, REGION, SECRET, S3Store
from tests.contracts.test_upload import MIB, Lab, account_of, path

from rookery.shared.bus.messages import Kind
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.db.api import Database
from rookery.shared.xeps.upload import Options
from rookery.workers.upload import store
from rookery.workers.upload.bucket import Bucket
from rookery.workers.upload.place import AwayError, Terms
from rookery.workers.upload.signing import Signer
from rookery.workers.upload.sweep import sweep


@asynccontextmanager
async def lab(db: Database, root: Path, **options: object) -> AsyncIterator[tuple[Lab, S3Store]]:
    """A port with a bucket."""
    there = S3Store()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(there.run)
        while not there.port:  # noqa: ASYNC110  the listener announces nothing
            await trio.sleep(0.01)
        (root / "access").write_text(ACCESS + "\n")
        (root / "secret").write_text(SECRET)
        settings = {
            "s3_bucket": BUCKET,
            "s3_endpoint": there.endpoint,
            "s3_region": REGION,
            "s3_access_key_file": str(root / "access"),
            "s3_secret_key_file": str(root / "secret"),
            "s3_prefix": "xmpp/",
            "host": ("127.0.0.1",),
            "port": 0,
            "plaintext": True,
        }
        bucket = Bucket(made := Options(**{**settings, **options}))
        here = Lab(db, root, await account_of(db), made, bucket)
        await bucket.prepare()
        nursery.start_soon(here.port.run)
        with trio.fail_after(10):
            while not here.port.number:  # noqa: ASYNC110  the port announces nothing
                await trio.sleep(0.01)
        yield here, there
        await bucket.aclose()
        nursery.cancel_scope.cancel()


async def test_a_file_passes_through_us_once(database: Database, tmp_path: Path) -> None:
    async with lab(database, tmp_path) as (here, there):
        slot = here.slot(11)
        assert (await here.get(slot))[0] == 404
        assert await here.put(slot, b"hello world", "Content-Type: image/jpeg") == 201
        assert there.objects == {f"/{BUCKET}/xmpp/{slot.id}": b"hello world"}
        status, got = await here.get(slot)
        head, _, body = got.partition(b"\r\n\r\n")
        assert (status, body) == (200, b"hello world")
        assert b"content-disposition: inline" in head.lower()
        assert b"sandbox" in head
        status, got = await here.get(slot, "Range: bytes=6-8")
        assert (status, got.rpartition(b"\r\n\r\n")[2]) == (206, b"wor")
        assert await here.put(slot, b"other world") == 409
        assert there.objects[f"/{BUCKET}/xmpp/{slot.id}"] == b"hello world"
        assert not there.refused


async def test_what_breaks_off_or_has_no_owner_leaves_nothing(database: Database, tmp_path: Path) -> None:
    async with lab(database, tmp_path, stall_seconds=1.0) as (here, there):
        slot = here.slot(100)
        assert (await here.say(here.head(slot) + b"x" * 60, end=True))[0] in (0, 400)
        assert await here.put(slot, b"some") == 408
        assert await here.put(here.slot(1, account=here.account + 1), b"x") == 403
        there.broken = True
        assert await here.put(slot, b"x" * 100) == 503
        assert there.objects == {}
        there.broken = False
        # The same slot, as long as it holds.
        assert await here.put(slot, b"x" * 100) == 201
        del there.objects[f"/{BUCKET}/xmpp/{slot.id}"]
        assert (await here.get(slot))[0] == 404
        there.broken = True
        assert (await here.get(slot))[0] == 503


async def test_a_large_file_is_never_in_memory_as_a_whole(database: Database, tmp_path: Path) -> None:
    async with lab(database, tmp_path) as (here, there):
        slot, there.keeps = here.slot(32 * MIB), False
        tracemalloc.start()
        try:
            assert (await here.say(here.head(slot), more=32))[0] == 201
            assert tracemalloc.get_traced_memory()[1] < 8 * MIB
        finally:
            tracemalloc.stop()
        assert there.sizes == [0, slot.size]


async def test_a_client_puts_and_gets_at_the_store_what_was_signed(
    database: Database, tmp_path: Path
) -> None:
    async with lab(database, tmp_path, s3_direct=True) as (here, there), httpx.AsyncClient() as client:
        slot = here.slot(5)
        assert await database.run(0, lambda conn: store.put(conn, slot))
        headers = {"content-length": "5", "content-type": "image/jpeg"}
        url = here.files.place.url("PUT", slot.id, Terms(600, headers))
        for content, kind in ((b"hello world", "image/jpeg"), (b"hello", "text/html")):
            answer = await client.put(url, content=content, headers={"content-type": kind})
            assert answer.status_code == 403
        assert (await client.get(url)).status_code == 403
        assert (
            await client.put(url.replace(slot.id, "0" * 32), content=b"hello", headers=headers)
        ).status_code == 403
        assert there.objects == {}
        assert (await client.put(url, content=b"hello", headers=headers)).status_code == 200
        got = await client.get(f"http://127.0.0.1:{here.port.number}{path(slot)}")
        assert (got.status_code, got.headers["cache-control"]) == (302, "private, max-age=150")
        found = await client.get(got.headers["location"])
        assert found.content == b"hello"
        assert found.headers["content-type"] == "image/jpeg"
        assert found.headers["content-disposition"].startswith("inline; filename=")
        head = await client.head(f"http://127.0.0.1:{here.port.number}{path(slot)}", follow_redirects=True)
        assert (head.status_code, head.headers["content-length"]) == (200, "5")
        there.clock = lambda: here.now + 700
        assert (await client.get(got.headers["location"])).status_code == 403
        assert (await client.put(url, content=b"other", headers=headers)).status_code == 403


@pytest.mark.parametrize("direct", [False, True])
async def test_files_go_with_their_time_and_with_their_account(
    database: Database, tmp_path: Path, direct: bool
) -> None:
    async with lab(database, tmp_path, s3_direct=direct) as (here, there):
        slots = [here.slot(1), here.slot(1, expires=int(here.now) + 60), here.slot(1, expires=0)]
        for slot in slots:
            assert await database.run(0, lambda conn, slot=slot: store.put(conn, slot))  # type: ignore[misc]
            there.objects[f"/{BUCKET}/xmpp/{slot.id}"] = b"x"
        node = FakeCluster().node("upload1", Kind.UPLOAD, db=database)
        here.now += 61
        if direct:
            # Its slot may still be used: what is removed now would come back.
            assert await sweep(node, here.files) == 0
            assert (await here.get(slots[1]))[0] == 404
            here.now += here.files.options.slot_seconds + here.files.options.put_seconds
        assert await sweep(node, here.files) == 1
        await database.run(0, lambda conn: conn.execute("DELETE FROM account WHERE id = $1", here.account))
        assert (await here.get(slots[0]))[0] == 404
        there.broken = True
        with pytest.raises(AwayError):
            await sweep(node, here.files)
        there.broken = False
        assert await sweep(node, here.files) == 2
        assert there.objects == {}


def test_keys_that_are_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(OSError, match="there is no key"):
        Signer.of_files(str(tmp_path / "empty"), str(tmp_path / "empty"), REGION)
    with pytest.raises(FileNotFoundError):
        Signer.of_files(str(tmp_path / "none"), str(tmp_path / "none"), REGION)

"""Memory of an upload worker while many put large files at once, into a folder or into a bucket.

Starts a cluster of its own, and for `--bucket` a store in another process. Prints what the worker has more than after a few files one
after the other (anonymous memory, read every 20 ms)::

    python -m tests.measure.uploads --files 100 --mib 10
    python -m tests.measure.uploads --bucket
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

import trio
from tests.cluster.harness import Cluster
from tests.contracts.s3_store import ACCESS, BUCKET, REGION, SECRET, S3Store
from tests.measure.logins import DOMAIN, HEADER, Line, _b64

MIB: Final = 1_048_576
_PIECE: Final = b"\0" * 65_536


def slots(cluster: Cluster, name: str, password: str, count: int, size: int) -> Iterator[tuple[str, str]]:
    """Slots of one account: URL and header."""
    edge = cluster.processes("edge")[0]["ports"]
    line = Line(edge["c2s_tls"])
    line.secure(ssl.create_default_context(cadata=cluster.authority))
    sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
    plain = _b64(f"\0{name}\0{password}".encode())
    line.send(f"{HEADER}<auth xmlns='{sasl}' mechanism='PLAIN'>{plain}</auth>")
    line.until("<success[^>]*>")
    line.send(f"{HEADER}<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    line.until("<jid>.*</iq>")
    for number in range(count):
        line.send(
            f"<iq type='get' id='s{number}' to='upload.{DOMAIN}'>"
            f"<request xmlns='urn:xmpp:http:upload:0' filename='f.bin' size='{size}'/></iq>"
        )
        said = line.until("</slot></iq>")
        url, token = re.search("<put url='([^']*)'", said), re.search("<header[^>]*>([^<]*)<", said)
        assert url is not None, said
        yield url[1], token[1] if token else ""
    line.close()


def put(url: str, token: str, size: int, context: ssl.SSLContext) -> None:
    """One file, in pieces of 64 KiB. Raises RuntimeError."""
    where = urlsplit(url)
    line = Line(where.port or 443)
    line.secure(context)
    line.send(
        f"PUT {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {size}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
    )
    for at in range(0, size, len(_PIECE)):
        line.sock.sendall(_PIECE[: size - at])
    said = line.until("HTTP/1.1 [0-9]+")
    line.close()
    if not said.endswith("201"):
        raise RuntimeError(said)


def anonymous(pid: int) -> float:
    """MiB of a process that belong to it alone."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure(cluster: Cluster, files: int, size: int) -> None:
    """Put them and print."""
    accounts = cluster.add_users(max(1, files // 10))
    context = ssl.create_default_context(cadata=cluster.authority)
    context.check_hostname = False
    each = -(-files // len(accounts))
    given = [slot for account in accounts for slot in slots(cluster, *account, each, size)][:files]
    first = list(slots(cluster, *accounts[0], 5, size))
    (worker,) = cluster.pids("upload")
    for url, token in first:
        put(url, token, size, context)
    before = most = anonymous(worker)
    threads = [threading.Thread(target=put, args=(*slot, size, context)) for slot in given]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, anonymous(worker))
        time.sleep(0.02)
    took = time.monotonic() - began
    print(
        f"{files} files of {size / MIB:.0f} MiB at once in {took:.1f} s ({files * size / MIB / took:.0f} MiB/s): "
        f"{before:.1f} MiB before, {most - before:.1f} MiB more at most, {anonymous(worker) - before:.1f} after"
    )


def _store(told: Connection) -> None:
    async def main() -> None:
        there = S3Store()
        there.keeps = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(there.run)
            while not there.port:  # noqa: ASYNC110  the listener announces nothing
                await trio.sleep(0.01)
            told.send(there.endpoint)

    trio.run(main)


@contextmanager
def bucket(folder: Path) -> Iterator[dict[str, str]]:
    """A store; what a cluster is told of it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_store, args=(theirs,), daemon=True)
    process.start()
    for name, text in (("access", ACCESS), ("secret", SECRET)):
        (folder / name).write_text(text)
    try:
        yield {
            "ROOKERY_UPLOAD__S3_BUCKET": BUCKET,
            "ROOKERY_UPLOAD__S3_ENDPOINT": ours.recv(),
            "ROOKERY_UPLOAD__S3_REGION": REGION,
            "ROOKERY_UPLOAD__S3_ACCESS_KEY_FILE": str(folder / "access"),
            "ROOKERY_UPLOAD__S3_SECRET_KEY_FILE": str(folder / "secret"),
        }
    finally:
        process.terminate()


def main() -> None:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--mib", type=int, default=10)
    parser.add_argument("--bucket", action="store_true")
    arguments = parser.parse_args()
    environment = {
        "ROOKERY_LIMITS__EXEMPT_NETS": "127.0.0.0/8",
        "ROOKERY_UPLOAD__FILE_BYTES": str(64 * MIB),
    }
    with TemporaryDirectory() as folder:
        if arguments.bucket:
            with bucket(Path(folder)) as told:
                _run({**environment, **told}, arguments.files, arguments.mib * MIB)
        else:
            _run(environment, arguments.files, arguments.mib * MIB)


def _run(environment: dict[str, str], files: int, size: int) -> None:
    with Cluster(edges=1, routers=1, workers=1, environment=environment) as cluster:
        measure(cluster, files, size)


if __name__ == "__main__":
    main()

"""A removed account leaves nothing of what it said: not in the database, not among the files, and nothing of it was ever logged."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
import trio
from tests.cluster.harness import Cluster
from tests.needles import found
from tests.stories.client import Client

from rookery.shared.config import Database
from rookery.shared.db.api import UnitOfWork
from rookery.shared.db.bridge import open_database

pytestmark = pytest.mark.cluster
T = TypeVar("T")
#: What alice puts into everything that she can write to.
SENTINEL = "Sphinx-of-black-quartz-4711"
_PLANTS = (
    "<vCard xmlns='vcard-temp'><FN>{s}</FN></vCard>",
    "<query xmlns='jabber:iq:private'><notes xmlns='urn:x:notes'>{s}</notes></query>",
    "<query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='{s}'><group>{s}</group></item></query>",
    "<block xmlns='urn:xmpp:blocking'><item jid='spam@{s}.example'/></block>",
    "<block xmlns='urn:xmpp:blocking'><item jid='mallory@localhost'>"
    "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'><text>{s}</text></report></item></block>",
    "<prefs xmlns='urn:xmpp:mam:2' default='always'><always><jid>{s}@far.example</jid></always></prefs>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:x:node'><item id='{s}'><x xmlns='urn:x'>{s}</x></item></publish></pubsub>",
    "<enable xmlns='urn:xmpp:push:0' jid='push.far.example' node='{s}'/>",
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    environment = {"ROOKERY_LOG__LEVEL": "debug", "ROOKERY_UPLOAD__SWEEP_SECONDS": "1"}
    with Cluster(edges=1, routers=1, workers=1, domains=("localhost",), environment=environment) as running:
        yield running


async def run(cluster: Cluster, work: UnitOfWork[T]) -> T:
    url = json.loads((cluster.data / "cluster.json").read_text())["database_url"]
    async with open_database(Database(url=url)) as db:
        return await db.run(0, work)


async def remains(cluster: Cluster) -> dict[str, int]:
    """Tables that have the text, and how often."""
    return await run(cluster, lambda conn: found(conn, SENTINEL))


def kept(cluster: Cluster) -> list[str]:
    """Files of users that have the text in their bytes or in their names."""
    files = [path for path in (cluster.data / "uploads").rglob("*") if path.is_file()]
    return [str(path) for path in files if SENTINEL in path.name or SENTINEL.encode() in path.read_bytes()]


def put(cluster: Cluster, url: str, headers: dict[str, str], body: bytes) -> int:
    """PUT where a slot says; its name is known to no DNS."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 443, timeout=10)
    context = ssl.create_default_context(cadata=cluster.authority)
    connection.sock = context.wrap_socket(
        socket.create_connection(("127.0.0.1", parts.port or 443), 10), server_hostname=parts.hostname
    )
    connection.request("PUT", f"{parts.path}?{parts.query}".rstrip("?"), body, headers)
    return connection.getresponse().status


async def plant(client: Client, cluster: Cluster) -> None:
    """Write the text with every feature that keeps something of who writes."""
    for number, payload in enumerate(_PLANTS):
        answer = await client.request(f"<iq type='set' id='p{number}'>{payload.format(s=SENTINEL)}</iq>")
        assert answer.get("type") == "result", payload
    body = f"a file with {SENTINEL}".encode()
    slot = await client.request(
        f"<iq type='get' id='slot' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='{SENTINEL}.txt' "
        f"size='{len(body)}' content-type='text/plain'/></iq>"
    )
    (where,) = slot.iter("{urn:xmpp:http:upload:0}put")
    headers = {header.get("name", ""): header.text or "" for header in where}
    headers["Content-Type"] = "text/plain"
    assert await trio.to_thread.run_sync(put, cluster, where.get("url", ""), headers, body) == 201
    await client.send(f"<message to='alice@localhost' id='m1' type='chat'><body>{SENTINEL}</body></message>")
    await client.send(f"<presence><status>{SENTINEL}</status></presence>")
    await client.ping()
    await client.send(f"<presence type='unavailable'><status>{SENTINEL}</status></presence>")
    await client.ping()


async def test_nothing_of_a_removed_account_is_left(cluster: Cluster) -> None:
    cli = trio.to_thread.run_sync
    for name in ("alice", "bob"):
        await cli(lambda name=name: cluster.cli("user", "add", f"{name}@localhost", "--password", "long one"))
    client = Client(cluster.endpoint(0), "localhost")
    await client.login("alice", "long one", "phone")
    await plant(client, cluster)
    await client.drop()
    expected = {
        "abuse_report", "archive", "archive_preference", "blocked", "private_xml", "pubsub_item", "push", "roster_item", "upload", "vcard",
    }  # fmt: skip
    with trio.fail_after(10):
        while not expected <= set(await remains(cluster)):  # noqa: ASYNC110  what is stored tells nobody
            await trio.sleep(0.2)
    assert len(kept(cluster)) == 1

    await cli(cluster.cli, "user", "del", "alice@localhost")
    # What subscribers of her nodes were told is remembered for two minutes, should its holder die: they have passed.
    await run(cluster, lambda conn: conn.execute("UPDATE pubsub_event SET at = at - interval '2 minutes'"))
    left: tuple[dict[str, int], list[str]] = ({}, ["not looked yet"])
    with trio.move_on_after(30):
        while any(left):
            left = await remains(cluster), kept(cluster)
            await trio.sleep(0.2)
    assert left == ({}, [])
    log = cluster.log()
    assert re.search(r'"event":"client_login"', log)
    assert '"level":"debug"' in log
    assert SENTINEL.lower() not in log.lower()

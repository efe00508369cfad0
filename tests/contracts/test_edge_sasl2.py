"""SASL2 with everything at once, on a real socket over TLS (XEP-0388, XEP-0386, XEP-0198)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from rookery.shared.bus.messages import AskArchive, ClientState

from .edge_lab import DOMAIN, PASSWORD, Client, Lab, running

INITIAL = b64encode(f"\0alice\0{PASSWORD}".encode()).decode()
AUTHENTICATE = (
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>"
    f"<initial-response>{INITIAL}</initial-response>"
    "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>Tester</software></user-agent>"
    "<bind xmlns='urn:xmpp:bind:0'><tag>Tester</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/>"
    "<enable xmlns='urn:xmpp:carbons:2'/><inactive xmlns='urn:xmpp:csi:0'/></bind></authenticate>"
)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with running(tmp_path) as lab:
        yield lab


async def begun(lab: Lab) -> tuple[Client, str]:
    client = await lab.connect()
    await client.starttls()
    assert "<authentication xmlns='urn:xmpp:sasl:2'>" in await client.open()
    await client.send(AUTHENTICATE)
    return client, await client.until("</success>.*</stream:features>")


async def test_one_round_trip_to_a_session(lab: Lab) -> None:
    client, said = await begun(lab)
    found = re.search(rf"<authorization-identifier>(alice@{DOMAIN}/Tester\.[0-9a-f]+)</", said)
    assert found is not None
    assert re.search(
        "<bound xmlns='urn:xmpp:bind:0'><metadata xmlns='urn:xmpp:mam:2'>"
        "<start id='old' timestamp='2020-09-13T12:26:40.000Z'/><end id='new' timestamp='2023-11-14T22:13:20.500Z'/></metadata><enabled xmlns='urn:xmpp:sm:3'[^>]* resume='true'[^>]*/></bound>",
        said,
    )
    (bind,) = lab.router.bindings
    assert bind.marks == ("archive", "carbons")
    assert lab.offline.asked == [AskArchive(f"alice@{DOMAIN}", False)]
    # The same client again has the same resource.
    again, said_again = await begun(lab)
    assert found[1] in said_again
    await again.aclose()
    with trio.fail_after(5):
        while not lab.router.of(ClientState):  # noqa: ASYNC110
            await trio.sleep(0.01)

    # A session's limits hold at once: a stanza that no client may send before it has authenticated.
    bob = await lab.login("bob")
    await client.send(
        f"<message to='bob@{DOMAIN}/r' type='chat' id='big'><body>{'x' * 20_000}</body></message>"
    )
    assert "xxxx</body>" in await bob.until("</message>")


async def test_a_client_that_does_not_wait_leaves_nothing(lab: Lab) -> None:
    client = await lab.connect()
    await client.starttls()
    await client.open()
    await client.send(AUTHENTICATE)
    await client.aclose()
    with trio.fail_after(5):
        while lab.router.sessions or not lab.router.bindings:  # noqa: ASYNC110
            await trio.sleep(0.01)

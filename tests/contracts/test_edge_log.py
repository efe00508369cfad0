"""What an edge logs of its clients: logins, failures, ends."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from rookery.shared.observe.clients import ClientLog

from .edge_lab import DOMAIN, PASSWORD, Lab, running

Lines = list[tuple[str, dict[str, Any]]]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with running(tmp_path) as lab:
        yield lab


def recorded(lab: Lab) -> Lines:
    lines: Lines = []
    lab.edge._context.log = ClientLog(100, write=lambda event, **fields: lines.append((event, fields)))
    return lines


async def test_a_login_and_its_end_are_one_line_each(lab: Lab) -> None:
    lines = recorded(lab)
    alice = await lab.login("alice", "phone")
    ((event, login),) = lines
    assert event == "client_login"
    assert login["account"] == f"alice@{DOMAIN}"
    assert (login["resource"], login["address"], login["secure"]) == ("phone", "127.0.0.1", True)
    assert login["mechanism"] == "PLAIN"
    await alice.send(f"<message to='bob@{DOMAIN}'><body>for nobody's log</body></message></stream:stream>")
    await alice.rest()
    event, end = lines[1]
    assert event == "client_end"
    assert (end["account"], end["resource"], end["reason"]) == (f"alice@{DOMAIN}", "phone", "closed")
    assert end["session"] == login["session"]
    assert end["stanzas_in"] == 1
    assert end["bytes_in"] > 100
    assert end["bytes_out"] > 100
    assert 0 <= end["seconds"] < 60
    assert end["resumable"] is False
    assert len(lines) == 2
    assert "nobody's log" not in str(lines)


async def test_a_failed_login_says_who_where_and_why_and_never_with_what(lab: Lab) -> None:
    lines = recorded(lab)
    client = await lab.connect()
    await client.starttls()
    await client.open()
    text = b64encode(f"\0nobody\0{PASSWORD}".encode()).decode()
    await client.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{text}</auth>")
    await client.until("</failure>")
    ((event, failed),) = lines
    assert event == "client_login_failed"
    assert (failed["account"], failed["address"]) == (f"nobody@{DOMAIN}", "127.0.0.1")
    assert (failed["step"], failed["reason"], failed["domain"]) == (
        "authentication",
        "not-authorized",
        DOMAIN,
    )
    assert failed["stream"]
    assert PASSWORD not in str(lines)


async def test_a_lost_connection_says_so(lab: Lab) -> None:
    lines = recorded(lab)
    alice = await lab.login("alice", tls=False)
    await alice.stream.aclose()
    with trio.fail_after(2):
        while len(lines) < 2:  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert lines[1][0] == "client_end"
    assert lines[1][1]["reason"] in ("eof", "reset")


async def test_a_port_scan_is_no_line(lab: Lab) -> None:
    lines = recorded(lab)
    client = await lab.connect()
    await client.send("GET / HTTP/1.0\r\n\r\n")
    await client.rest()
    assert lines == []

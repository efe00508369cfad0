"""The page of new accounts on the HTTP port of an edge: who may fill it in, and what becomes of what was filled in."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import pytest
import trio

from rookery.shared.bus.messages import Register
from rookery.shared.xeps.registration import JOIN_PATH, Options

from .edge_lab import DOMAIN, Lab, running

GOOD = {"username": "romeo", "password": "secret", "again": "secret"}


async def send(lab: Lab, head: str, body: str = "", *, host: str = DOMAIN, **headers: str) -> tuple[int, str]:
    stream = trio.SSLStream(
        await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["http"]),
        lab.client_context(),
        server_hostname=DOMAIN,
        https_compatible=True,
    )
    sent = {"Host": host, "Connection": "close", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    await stream.send_all(f"{head} HTTP/1.1\r\n{lines}\r\n{body}".encode())
    data = b""
    with trio.fail_after(5):
        while chunk := await stream.receive_some():
            data += chunk
    await stream.aclose()
    return int(data.split(b" ", 2)[1]), data.decode()


async def fill_in(lab: Lab, fields: dict[str, str], **headers: str) -> tuple[int, str]:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return await send(lab, f"POST {JOIN_PATH}", urlencode(fields), **{**kind, **headers})


async def test_who_fills_in_the_form_gets_an_account_as_the_domain_lets_him(tmp_path: Path) -> None:
    async with running(tmp_path, registering=Options(join_page=True)) as lab:
        status, page = await send(lab, f"GET {JOIN_PATH}?t=a%22b")
        assert status == 200
        assert 'name="t" value="a&quot;b"' in page
        assert (await send(lab, f"GET {JOIN_PATH}", host="other.example"))[0] == 403, "closed"
        assert (await send(lab, f"GET {JOIN_PATH}?t=x", host="other.example"))[0] == 200
        assert (await send(lab, f"GET {JOIN_PATH}", host="nowhere.example"))[0] == 404
        status, page = await fill_in(lab, {**GOOD, "t": "token", "email": "r@example.net"})
        assert status == 201
        assert f"romeo@{DOMAIN}" in page
        assert lab.accounts.registered == [
            Register(DOMAIN, "romeo", "secret", "r@example.net", "127.0.0.1", "token")
        ]
        assert [(await fill_in(lab, {**GOOD, "username": name}))[0] for name in ("taken", "waits", "guest")] == [
            409, 202, 403,
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({**GOOD, "again": "other"}, {}, 422),
        ({**GOOD, "username": "a b"}, {}, 422),
        (GOOD, {"Sec-Fetch-Site": "cross-site"}, 403),
        (GOOD, {"Content-Type": "text/plain"}, 415),
        (GOOD, {"Host": "nowhere.example"}, 404),
    ],
)
async def test_what_is_wrong_with_a_form_asks_nobody(
    tmp_path: Path, fields: dict[str, str], headers: dict[str, str], status: int
) -> None:
    async with running(tmp_path, registering=Options(join_page=True)) as lab:
        assert (await fill_in(lab, fields, **headers))[0] == status
        assert lab.accounts.registered == []


async def test_without_the_setting_there_is_no_such_page(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        assert (await send(lab, f"GET {JOIN_PATH}"))[0] == 404
        assert (await fill_in(lab, GOOD))[0] == 404

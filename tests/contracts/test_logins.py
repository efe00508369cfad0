"""Back ends of logins for real: a service over HTTP, the metadata of an issuer, and slapd from Debian, asked through the account worker."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from joserfc.jwk import KeySet
from tests.unit.account.test_logins import RSA, token

from rookery.shared.bus.messages import (
    CheckLogin,
    Domains,
    GetDomains,
    IssueToken,
    LoginChecked,
    LoginToken,
    Register,
)
from rookery.shared.db.api import Connection, Database
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.sasl import ht
from rookery.workers.account import policies, store
from rookery.workers.account.logins import settings

from .people import People, changed, people
from .test_account_service import CHEAP, call
from .test_login_tokens import AGENT, OTHER, redeemed


async def keeps(db: Database, type: str, *words: str) -> None:
    said = settings.from_words(type, words)

    async def work(conn: Connection) -> None:
        await store.put_domain(conn, "two.org")
        assert await policies.change(conn, "two.org", policies.Changes(auth=said))

    await db.run(0, work)


async def check(world: People, user: str, secret: str, mechanism: str = "PLAIN") -> LoginChecked:
    account = f"{user}@two.org" if user else ""
    answer = await call(world, CheckLogin("two.org", account, mechanism, secret), account or "eve@two.org")
    assert isinstance(answer, LoginChecked)
    return answer


class Service(BaseHTTPRequestHandler):
    """Knows dora, and can be told to misbehave."""

    asked: list[tuple[str, dict[str, list[str]], str]]
    answer: tuple[int, bytes] | None
    slow: float

    def do_POST(self) -> None:
        self._do(parse_qs(self.rfile.read(int(self.headers["content-length"])).decode()))

    def do_GET(self) -> None:
        self._do(parse_qs(urlsplit(self.path).query))

    def _do(self, values: dict[str, list[str]]) -> None:
        server: Any = self.server
        server.asked.append((urlsplit(self.path).path, values, self.headers.get("authorization") or ""))
        time.sleep(server.slow)
        document = server.documents.get(self.path)
        right = values.get("pass") == ["right"] and values.get("user") in (["dora"], ["eve"])
        status, body = server.answer or (200, document or (b"true" if right else b"false"))
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        pass


@contextmanager
def http_server() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.asked, server.answer, server.slow, server.documents = [], None, 0.0, {}
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_service_over_http(database: Database, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("Bearer s3cret\n")
    with http_server() as server:
        await keeps(
            database,
            "http",
            f"url={server.url}/auth/",
            f"authorization_file={tmp_path / 'key'}",
        )
        async with people(database, CHEAP) as world:
            assert await check(world, "dora", "wrong") == LoginChecked(failed="not-authorized")
            assert world.take() == []
            # The first time somebody is let in an account is made.
            assert await check(world, "dora", "right") == LoginChecked("dora@two.org")
            assert changed(world.take()) == [("dora@two.org", "created")]
            assert await check(world, "dora", "right") == LoginChecked("dora@two.org")
            assert changed(world.take()) == []
            path, values, authorization = server.asked[-1]
            assert (path, authorization) == ("/auth/check_password", "Bearer s3cret")
            assert values == {"user": ["dora"], "server": ["two.org"], "pass": ["right"]}
            # An account that the operator has disabled stays out whatever the back end says.
            await database.run(0, lambda conn: store.set_disabled(conn, "dora", "two.org", True))
            assert await check(world, "dora", "right") == LoginChecked(failed="account-disabled")
            # What clients are offered; there is no registration, and another domain is as it was.
            told = await call(world, GetDomains())
            assert isinstance(told, Domains)
            assert list(told.logins) == [(), ("PLAIN",)]
            with pytest.raises(StanzaError, match="not-allowed"):
                await call(world, Register("two.org", "new", "secret", "", "192.0.2.1"), "new@two.org")
            assert await check(world, "dora", "x", "OAUTHBEARER") == LoginChecked(
                failed="temporary-auth-failure"
            )


@pytest.mark.parametrize("how", ["status", "nonsense", "slow", "long", "gone"])
async def test_a_back_end_that_is_away_refuses_nobody_for_good_and_delays_nobody(
    database: Database, how: str
) -> None:
    with http_server() as server:
        url = server.url if how != "gone" else "http://127.0.0.1:1"
        await keeps(database, "http", f"url={url}", "timeout_seconds=0.2")
        server.answer = {
            "status": (500, b""),
            "nonsense": (200, b"perhaps"),
            "long": (200, b"x" * 100_000),
        }.get(how)
        server.slow = 0.6 if how == "slow" else 0.0
        async with people(database, CHEAP) as world:
            for _ in range(5):
                assert await check(world, "eve", "right") == LoginChecked(failed="temporary-auth-failure")
            asked, began = len(server.asked), trio.current_time()
            for _ in range(20):
                assert await check(world, "eve", "right") == LoginChecked(failed="temporary-auth-failure")
            assert trio.current_time() - began < 1.0
            assert len(server.asked) == asked  # the breaker is open
            if how in ("gone", "slow"):
                return
            server.answer = None
            with trio.fail_after(5):
                while (await check(world, "eve", "right")).failed:  # noqa: ASYNC110
                    await trio.sleep(0.1)


async def test_what_is_remembered_is_forgotten_in_time(database: Database) -> None:
    with http_server() as server:
        await keeps(database, "http", f"url={server.url}", "cache_seconds=0.5", "make_accounts=false")
        async with people(database, CHEAP) as world:
            assert await check(world, "dora", "right") == LoginChecked(
                failed="not-authorized"
            )  # nobody made her
            assert await check(world, "eve", "right") == LoginChecked("eve@two.org")
            asked = len(server.asked)
            assert await check(world, "eve", "right") == LoginChecked("eve@two.org")
            assert await check(world, "eve", "wrong") == LoginChecked(failed="not-authorized")
            assert len(server.asked) == asked + 1
            await trio.sleep(0.6)
            assert await check(world, "eve", "right") == LoginChecked("eve@two.org")
            assert len(server.asked) == asked + 2


async def test_tokens_of_an_issuer_that_says_where_its_keys_are(database: Database) -> None:
    with http_server() as server:
        metadata = {"issuer": server.url, "jwks_uri": f"{server.url}/keys"}
        server.documents["/.well-known/openid-configuration"] = json.dumps(metadata).encode()
        server.documents["/keys"] = json.dumps(KeySet([RSA]).as_dict(private=False)).encode()
        await keeps(database, "oidc", f"issuer={server.url}", "audiences=xmpp", "plain=true")
        async with people(database, CHEAP) as world:
            good = token(iss=server.url, preferred_username="Frida")
            assert await check(world, "", good, "OAUTHBEARER") == LoginChecked("frida@two.org")
            assert await check(world, "frida", good, "OAUTHBEARER") == LoginChecked("frida@two.org")
            assert await check(world, "frida", good) == LoginChecked("frida@two.org")
            assert await check(world, "eve", good) == LoginChecked(failed="not-authorized")
            assert await check(world, "", token(), "OAUTHBEARER") == LoginChecked(failed="not-authorized")
            assert len(server.asked) == 2  # metadata and keys, once


async def test_a_login_token_lives_no_longer_than_the_back_end_allows(database: Database) -> None:
    """Nobody tells when a password there is another one: after a while the client has to show it again."""
    async with people(database, CHEAP) as world:
        ask = IssueToken("eve@two.org", AGENT, ht.NONE, b"", "", "")
        assert await call(world, ask, "eve@two.org") == LoginToken()  # passwords of this domain are here
        here = await call(world, ask._replace(agent=OTHER, proved=b"salt"), "eve@two.org")
        assert isinstance(here, LoginToken)
        assert (await redeemed(world, here.token, OTHER, "eve@two.org")).failed == ""

        async def created(conn: Connection) -> None:
            await conn.execute("UPDATE login_token SET created = now() - interval '3 days'")

        await keeps(database, "http", "url=http://127.0.0.1:1", "token_hours=2")
        for service in world.services:
            service.domains.refresh()
        issued = LoginToken()
        with trio.fail_after(10):
            while not issued.token:
                found = await call(world, ask, "eve@two.org")
                assert isinstance(found, LoginToken)
                issued = found
        # What a password opened that was kept here is closed.
        assert (await redeemed(world, here.token, OTHER, "eve@two.org")).failed == "credentials-expired"
        assert 7100 < issued.expires - time.time() < 7300
        await database.run(0, created)
        following = await redeemed(world, issued.token, account="eve@two.org")
        assert following.token
        assert following.expires <= issued.expires


SLAPD = os.environ.get("ROOKERY_TEST_SLAPD") or shutil.which(
    "slapd", path=os.environ.get("PATH", "") + ":/usr/sbin"
)
CONFIG = """
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
modulepath {modules}
moduleload back_mdb
pidfile {folder}/pid
database mdb
suffix "dc=two,dc=org"
rootdn "cn=root,dc=two,dc=org"
rootpw rootpw
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.base="cn=root,dc=two,dc=org" write by * none
"""


@contextmanager
def slapd(folder: Path) -> Iterator[str]:
    assert SLAPD is not None
    root = Path(SLAPD).resolve().parents[2]
    (folder / "data").mkdir()
    modules, schema = root / "usr/lib/ldap", root / "etc/ldap/schema"
    (folder / "slapd.conf").write_text(CONFIG.format(folder=folder, modules=modules, schema=schema))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"ldap://127.0.0.1:{probe.getsockname()[1]}"
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{root}/usr/lib/x86_64-linux-gnu:{modules}"}
    server = subprocess.Popen(
        [SLAPD, "-f", str(folder / "slapd.conf"), "-h", url, "-d", "0"],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        _populate(url)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def _populate(url: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import ldap3
        from ldap3.core.exceptions import LDAPException

    for _ in range(200):
        try:
            conn = ldap3.Connection(ldap3.Server(url), "cn=root,dc=two,dc=org", "rootpw", auto_bind=True)
            break
        except (LDAPException, OSError):
            time.sleep(0.02)
    conn.add("dc=two,dc=org", ["dcObject", "organization"], {"o": "Two", "dc": "two"})
    person = {"cn": "x", "sn": "x", "userPassword": "right"}
    for uid, more in (("eve", {}), ("gina", {"mail": "g@two.org"})):
        assert conn.add(f"uid={uid},dc=two,dc=org", "inetOrgPerson", person | more), conn.result
    conn.unbind()


async def test_a_directory(database: Database, tmp_path: Path) -> None:
    if SLAPD is None:
        pytest.skip("slapd is not installed: apt-get install slapd, or ROOKERY_TEST_SLAPD=PATH")
    (tmp_path / "password").write_text("rootpw\n")
    with slapd(tmp_path) as url:
        search = (
            "base=dc=two,dc=org",
            "bind_dn=cn=root,dc=two,dc=org",
            f"bind_password_file={tmp_path / 'password'}",
        )
        for how in (("dn=uid={user},dc=two,dc=org",), search):
            await keeps(database, "ldap", f"url={url}", "plaintext=true", *how)
            async with people(database, CHEAP) as world:
                assert await check(world, "eve", "right") == LoginChecked("eve@two.org")
                assert await check(world, "gina", "right") == LoginChecked("gina@two.org")
                assert await check(world, "eve", "wrong") == LoginChecked(failed="not-authorized")
                assert await check(world, "nobody", "right") == LoginChecked(failed="not-authorized")
                # Nobody gets in with a name that means something to the directory.
                for odd in ("*", "eve)(uid=*", "eve,dc=two"):
                    assert await check(world, odd, "right") == LoginChecked(failed="not-authorized")
        (tmp_path / "password").write_text("wrong\n")
        async with people(database, CHEAP) as world:
            assert await check(world, "eve", "right") == LoginChecked(failed="temporary-auth-failure")

"""POSH (RFC 7711) on real sockets: a server without a certificate of its domain, and web servers that speak for the domain, or try to."""

from __future__ import annotations

import hashlib
import http.server
import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.contracts.s2s_lab import Lab, Recorded, lab, until

from rookery.bench.remotes.dns import Names, Record
from rookery.shared.net.folder import CHAIN
from rookery.workers.s2s.streams import posh

PATH = "/.well-known/posh/xmpp-server.json"


class Web:
    """An HTTPS server: documents by (host, path), and what was asked."""

    def __init__(self, authority: trustme.CA, *names: str) -> None:
        self.documents: dict[tuple[str, str], bytes] = {}
        self.asked: list[tuple[str, str]] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                key = (self.headers["host"].partition(":")[0], self.path)
                web.asked.append(key)
                body = web.documents.get(key)
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def say(self, host: str, path: str = PATH, **document: Any) -> None:
        """Serve a document."""
        self.documents[host, path] = json.dumps(document).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def web(here: Lab, *names: str, authority: trustme.CA | None = None) -> Iterator[Web]:
    made = Web(authority or here.authority, *names)
    try:
        yield made
    finally:
        made.close()


class World:
    """We, and a server of b.example whose certificate no authority of ours vouches for."""

    def __init__(self, here: Lab, names: Names, **settings: object) -> None:
        there = here.server("b", "b.example")
        there.certify("b.example", "elsewhere.example", authority=trustme.CA())
        there.certificates.reload()
        names.serve("b.example", there.ports["s2s_tls"], tls=True)
        for host in ("b.example", "hoster.example"):
            names.add(Record(host, "A", "127.0.0.1"))
        chain = (there.folder / "b.example" / CHAIN).read_bytes()
        der = x509.load_pem_x509_certificates(chain)[0].public_bytes(Encoding.DER)
        self.print = {"sha-256": b64encode(hashlib.sha256(der).digest()).decode()}
        self.ours = here.server("a", "a.example", resolver=f"127.0.0.1:{names.port}", **settings)

    async def outcome(self) -> str:
        """How a stream to b.example ends: "" when it opens, else why."""
        owner = Recorded()
        self.ours.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.opened or owner.troubles)
        return owner.troubles[0].kind if owner.troubles else ""


OTHER = {"sha-256": b64encode(bytes(32)).decode()}


@pytest.mark.parametrize(
    ("fingerprints", "expires", "expected"),
    [
        pytest.param(["its"], 600, "", id="told"),
        pytest.param([OTHER, "its"], 600, "", id="one of several"),
        pytest.param([{"sha-512": "short"}, "its", {"md5": "x"}], 600, "", id="beside what we do not know"),
        pytest.param([OTHER], 600, "untrusted", id="another"),
        pytest.param([{"sha-256": 7}], 600, "untrusted", id="no hash"),
        pytest.param([], 600, "untrusted", id="none"),
        pytest.param(["its"], 0, "untrusted", id="it holds for no time (section 6)"),
        pytest.param(["its"], None, "untrusted", id="it does not say how long it holds"),
    ],
)
async def test_the_domain_says_which_certificate(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fingerprints: list[Any],
    expires: int | None,
    expected: str,
) -> None:
    with Names() as names:
        async with lab(tmp_path) as here:
            world = World(here, names, posh=True)
            with web(here, "b.example") as server:
                monkeypatch.setattr(posh, "PORT", server.port)
                said = [world.print if one == "its" else one for one in fingerprints]
                server.say(
                    "b.example", fingerprints=said, **({} if expires is None else {"expires": expires})
                )
                assert await world.outcome() == expected
                assert await world.outcome() == expected
                assert server.asked == [("b.example", PATH)], "it is kept"


async def test_without_the_setting_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Names() as names:
        async with lab(tmp_path) as here:
            world = World(here, names)
            with web(here, "b.example") as server:
                monkeypatch.setattr(posh, "PORT", server.port)
                server.say("b.example", fingerprints=[world.print], expires=600)
                assert await world.outcome() == "untrusted"
                assert server.asked == []


@pytest.mark.parametrize(
    ("second", "scheme", "expected"),
    [
        pytest.param({"fingerprints": "its", "expires": 600}, "https", "", id="one step (section 4)"),
        pytest.param({"url": "https://b.example/more", "expires": 600}, "https", "untrusted", id="two steps"),
        pytest.param({"fingerprints": "its", "expires": 600}, "http", "untrusted", id="without TLS"),
    ],
)
async def test_the_document_may_be_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: dict[str, Any], scheme: str, expected: str
) -> None:
    with Names() as names:
        async with lab(tmp_path) as here:
            world = World(here, names, posh=True)
            with web(here, "b.example", "hoster.example") as server:
                monkeypatch.setattr(posh, "PORT", server.port)
                server.say("b.example", url=f"{scheme}://hoster.example:{server.port}/prints", expires=600)
                more = {key: [world.print] if value == "its" else value for key, value in second.items()}
                server.say("hoster.example", "/prints", **more)
                assert await world.outcome() == expected


@pytest.mark.parametrize("fault", ["certificate", "long", "not json", "denied"])
async def test_who_may_not_speak_for_the_domain_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    with Names() as names:
        async with lab(tmp_path) as here:
            world = World(here, names, posh=True)
            authority = trustme.CA() if fault == "certificate" else None
            with web(here, "b.example", authority=authority) as server:
                monkeypatch.setattr(posh, "PORT", server.port)
                server.say("b.example", fingerprints=[world.print], expires=600)
                if fault == "long":
                    server.documents["b.example", PATH] += b" " * posh.MAX_BYTES
                elif fault == "not json":
                    server.documents["b.example", PATH] = b"{" * 1000
                elif fault == "denied":
                    # (the server of XMPP is where it was; the web server's address is in a network that is denied)
                    names._records["b.example"] = [Record("b.example", "A", "10.0.0.1")]
                assert await world.outcome() == "untrusted"
                assert len(server.asked) == (0 if fault in ("certificate", "denied") else 1)

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
import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.contracts.s2s_lab import Lab, Recorded, Server, lab, until

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
        self.there = there = here.server("b", "b.example", resolver=f"127.0.0.1:{names.port}")
        there.certify("b.example", "elsewhere.example", authority=trustme.CA())
        there.certificates.reload()
        names.serve("b.example", there.ports["s2s_tls"], tls=True)
        for host in ("b.example", "hoster.example"):
            names.add(Record(host, "A", "127.0.0.1"))
        chain = (there.folder / "b.example" / CHAIN).read_bytes()
        der = x509.load_pem_x509_certificates(chain)[0].public_bytes(Encoding.DER)
        self.print = {"sha-256": b64encode(hashlib.sha256(der).digest()).decode()}
        self.ours = here.server("a", "a.example", resolver=f"127.0.0.1:{names.port}", **settings)

    def reach(self, names: Names) -> None:
        """Let the other server find us."""
        names.serve("a.example", self.ours.ports["s2s_tls"], tls=True)

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


# --- streams that the other server opens ------------------------------------------------------------------------------


async def inbound(there: Server, domain: str = "b.example") -> str:
    """How a stream that the other server opens to us ends: "" when it opens, else why."""
    owner = Recorded()
    there.streams.open("a.example", domain, owner)
    await until(lambda: owner.opened or owner.troubles)
    return owner.troubles[0].kind if owner.troubles else ""


@pytest.mark.parametrize(
    ("settings", "fingerprints", "expected"),
    [
        pytest.param({"posh": True}, ["its"], "", id="told"),
        pytest.param({"posh": True}, [OTHER, "its"], "", id="one of several"),
        pytest.param({"posh": True}, [OTHER], "auth", id="another"),
        pytest.param({"posh": True}, None, "auth", id="no document"),
        pytest.param({}, ["its"], "auth", id="without the setting"),
    ],
)
async def test_who_connects_is_believed_when_the_domain_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    fingerprints: list[Any] | None,
    expected: str,
) -> None:
    """RFC 7711 section 1: of either side of a connection between servers; EXTERNAL is offered, and the answer is kept."""
    with Names() as names:
        async with lab(tmp_path) as here:
            world = World(here, names, **settings)
            world.reach(names)
            with web(here, "b.example") as server:
                monkeypatch.setattr(posh, "PORT", server.port)
                if fingerprints is not None:
                    said = [world.print if one == "its" else one for one in fingerprints]
                    server.say("b.example", fingerprints=said, expires=600)
                assert await inbound(world.there) == expected
                assert await inbound(world.there) == expected
                assert server.asked == ([("b.example", PATH)] if settings else []), "it is kept"


async def test_a_further_domain_of_the_server_that_connects_is_asked_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key is believed when it says itself that the certificate is its own; that of another is not."""
    with Names() as names:
        async with lab(tmp_path) as here:
            world = World(here, names, posh=True)
            world.reach(names)
            for host in ("c.example", "d.example"):
                names.add(Record(host, "A", "127.0.0.1"))
                world.there.domains += (host,)
            with web(here, "b.example", "c.example", "d.example") as server:
                monkeypatch.setattr(posh, "PORT", server.port)
                for host, prints in (
                    ("b.example", world.print),
                    ("c.example", world.print),
                    ("d.example", OTHER),
                ):
                    server.say(host, fingerprints=[prints], expires=600)
                owner = Recorded()
                link = world.there.streams.open("a.example", "b.example", owner)
                await until(lambda: owner.opened)
                for host in ("c.example", "d.example"):
                    link.authenticate(host)
                await until(lambda: len(owner.pairs) == 2)
                assert {name: trouble is None for name, trouble in owner.pairs} == {
                    "c.example": True,
                    "d.example": False,
                }


async def test_who_connects_cannot_make_us_ask_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four questions at once for one address; a web server in a network that is denied is not asked at all."""
    with Names() as names:
        async with lab(tmp_path) as here:
            world = World(here, names, posh=True)
            world.reach(names)
            gate = trio.Event()
            asked: list[str] = []

            async def slow(self: posh.Posh, domain: str) -> None:
                asked.append(domain)
                await gate.wait()

            monkeypatch.setattr(posh.Posh, "expected", slow)
            owners = [Recorded() for _ in range(7)]
            for owner in owners:
                world.there.streams.open("a.example", "b.example", owner)
            await until(lambda: sum(bool(owner.troubles) for owner in owners) == 3)
            assert len(asked) == 4
            gate.set()
            await until(lambda: all(owner.troubles for owner in owners))
    with Names() as names:
        (tmp_path / "two").mkdir()
        async with lab(tmp_path / "two") as here:
            world = World(here, names, posh=True)
            world.reach(names)
            monkeypatch.undo()
            names._records["b.example"] = [Record("b.example", "A", "10.0.0.1")]
            with web(here, "b.example") as server:
                monkeypatch.setattr(posh, "PORT", server.port)
                server.say("b.example", fingerprints=[world.print], expires=600)
                assert await inbound(world.there) == "auth"
                assert server.asked == []

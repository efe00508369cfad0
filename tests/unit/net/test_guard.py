"""The ways to an admin port: TLS with certificates of operators, or this machine; files that change; what is told in the log."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from rookery.admin.api.access import certificate_of
from rookery.shared.config import Admin
from rookery.shared.net.guard import Guard, name_of
from rookery.shared.observe.admin import Health, Port, routes
from rookery.shared.observe.http import ListenError, Request, Response, serve_http
from rookery.shared.settings import SettingsError, load


class Place:
    """An authority of the port, one of operators, and files of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.operators = trustme.CA(), trustme.CA()
        self.serve(self.authority)
        self.operators.cert_pem.write_to_path(folder / "ca.pem")

    def serve(self, authority: trustme.CA) -> None:
        issued = authority.issue_cert("admin.example")
        issued.private_key_pem.write_to_path(self.folder / "key.pem")
        with (self.folder / "chain.pem").open("wb") as chain:
            chain.writelines(part.bytes() for part in issued.cert_chain_pems)

    def settings(self, *, operators: bool = True, **changes: object) -> Admin:
        here = {"certificate_file": str(self.folder / "chain.pem"), "key_file": str(self.folder / "key.pem")}
        if operators:
            here["client_ca_file"] = str(self.folder / "ca.pem")
        return Admin(**{**here, **changes})  # type: ignore[arg-type]

    def client(self, *who: str, of: trustme.CA | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if who:
            (of or self.operators).issue_cert(*who, common_name=who[0]).configure_cert(context)
        return context


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@asynccontextmanager
async def serving(guard: Guard) -> AsyncIterator[int]:
    """A port with health, metrics, and an API that says how a request came."""

    async def api(request: Request) -> Response:
        return guard.refused(request) or Response(body=json.dumps(certificate_of(request)).encode())

    async with trio.open_nursery() as nursery:
        port = await nursery.start(
            lambda task_status: serve_http(
                "127.0.0.1", 0, routes(Health(), guard.may_read), otherwise=api, guard=guard, task_status=task_status
            )
        )  # fmt: skip
        yield port
        nursery.cancel_scope.cancel()


async def ask(
    port: int, path: str, context: ssl.SSLContext | None = None, token: str = ""
) -> tuple[int, bytes]:
    stream: trio.abc.Stream = await trio.open_tcp_stream("127.0.0.1", port)
    if context is not None:
        stream = trio.SSLStream(stream, context, server_hostname="admin.example", https_compatible=True)
    header = f"Authorization: Bearer {token}\r\n" if token else ""
    data = b""
    try:
        with trio.fail_after(10):
            request = f"GET {path} HTTP/1.1\r\nHost: admin\r\n{header}Connection: close\r\n\r\n"
            await stream.send_all(request.encode())
            async for piece in stream:
                data += piece
    finally:
        await trio.aclose_forcefully(stream)
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def test_whoever_shows_a_certificate_of_an_operator_is_named(place: Place) -> None:
    async with serving(Guard(place.settings(plaintext_nets=()))) as port:
        status, body = await ask(port, "/api/x", place.client("alice@example.org"))
        assert (status, json.loads(body)) == (200, "alice@example.org")
        assert (await ask(port, "/metrics", place.client("prometheus.example")))[0] == 200


async def test_without_a_certificate_there_is_nothing_but_health(place: Place) -> None:
    async with serving(Guard(place.settings(plaintext_nets=()))) as port:
        status, body = await ask(port, "/api/x", place.client())
        assert (status, json.loads(body)["detail"]) == (403, "a certificate of an operator is needed")
        assert (await ask(port, "/livez", place.client()))[0] == 200
        assert (await ask(port, "/readyz", place.client()))[0] == 200
        assert (await ask(port, "/metrics", place.client()))[0] == 401


async def test_a_certificate_of_somebody_else_is_no_way_in(place: Place) -> None:
    async with serving(Guard(place.settings(plaintext_nets=()))) as port:
        with pytest.raises((trio.BrokenResourceError, ssl.SSLError, IndexError)):
            await ask(port, "/livez", place.client("mallory.example", of=trustme.CA()))


async def test_where_tls_is_spoken_plain_text_is_for_some_networks_alone(place: Place) -> None:
    async with serving(Guard(place.settings(plaintext_nets=("192.0.2.0/24",)))) as port:
        with pytest.raises((trio.BrokenResourceError, IndexError)):
            await ask(port, "/livez")
    async with serving(Guard(place.settings())) as port:  # this machine is let in
        assert (await ask(port, "/api/x"))[0] == 200
        assert (await ask(port, "/metrics"))[0] == 200


async def test_without_tls_the_api_is_for_some_networks_alone_and_health_for_all() -> None:
    async with serving(Guard(Admin(plaintext_nets=("192.0.2.0/24",)))) as port:
        status, body = await ask(port, "/api/x")
        assert (status, json.loads(body)["code"]) == (403, "forbidden")
        assert (await ask(port, "/readyz"))[0] == 200
        assert (await ask(port, "/metrics"))[0] == 200
    async with serving(Guard(Admin())) as port:
        assert (await ask(port, "/api/x"))[0] == 200


async def test_metrics_are_for_the_token_or_a_certificate(place: Place) -> None:
    guard = Guard(place.settings(plaintext_nets=(), metrics_token="open"))
    async with serving(guard) as port:
        assert (await ask(port, "/metrics", place.client()))[0] == 401
        assert (await ask(port, "/metrics", place.client(), token="open"))[0] == 200
        assert (await ask(port, "/metrics", place.client("p.example")))[0] == 200


async def test_tls_alone_asks_for_no_certificate(place: Place) -> None:
    async with serving(Guard(place.settings(operators=False, plaintext_nets=()))) as port:
        assert (await ask(port, "/api/x", place.client()))[0] == 200


async def test_files_that_change_are_read_again_and_broken_ones_change_nothing(place: Place) -> None:
    guard = Guard(place.settings(plaintext_nets=()))
    async with serving(guard) as port:
        (place.folder / "key.pem").write_text("no key")
        guard.reload()
        assert (await ask(port, "/livez", place.client()))[0] == 200
        place.authority = trustme.CA()
        place.serve(place.authority)
        with pytest.raises((trio.BrokenResourceError, ssl.SSLError)):
            await ask(port, "/livez", place.client())
        guard.reload()
        assert (await ask(port, "/livez", place.client()))[0] == 200


def test_files_that_cannot_be_used_are_told_at_the_start(place: Place) -> None:
    (place.folder / "key.pem").write_text("no key")
    with pytest.raises(ListenError, match=r"admin\.certificate_file"):
        Guard(place.settings())


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        (None, ""),
        ({"subject": ((("commonName", "alice"),),)}, "alice"),
        ({"subject": ((("commonName", "x"),),), "subjectAltName": (("DNS", "a.example"), ("URI", "spiffe://a/b"))}, "spiffe://a/b"),
        ({"subjectAltName": (("DNS", "a.example"), ("DNS", "b.example"))}, "a.example"),
        ({"subject": ()}, "?"),
    ],
)  # fmt: skip
def test_the_name_of_a_certificate(certificate: dict[str, object] | None, name: str) -> None:
    assert name_of(certificate) == name


def test_the_name_that_a_parent_passes_on_counts_from_this_machine_alone() -> None:
    passed = {"x-forwarded-certificate": "alice"}
    assert certificate_of(Request("GET", "/", {}, passed, peer="127.0.0.1")) == "alice"
    assert certificate_of(Request("GET", "/", {}, passed, peer="192.0.2.1")) == ""
    assert certificate_of(Request("GET", "/", {}, passed, peer="127.0.0.1", secure=True)) == ""


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"ROOKERY_ADMIN__CERTIFICATE_FILE": "/a"}, "goes with admin.key_file"),
        ({"ROOKERY_ADMIN__CLIENT_CA_FILE": "/a"}, "needs admin.certificate_file"),
        ({"ROOKERY_ADMIN__PLAINTEXT_NETS": "x"}, "is not a network"),
    ],
)
def test_settings_that_do_not_go_together(variables: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load(None, variables)


def test_a_port_has_no_guard_unless_it_is_given_one() -> None:
    assert Port("127.0.0.1", 0).guard is None

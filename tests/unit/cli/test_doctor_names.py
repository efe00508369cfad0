"""Doctor tells which hosted domains have no certificate of their own, and where the DNS sends those who look for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import trio
import trustme

from rookery.cli import doctor_names
from rookery.shared.config import Config
from rookery.workers.s2s.streams import questions
from rookery.workers.s2s.streams.questions import DnsError, EmptyError

HOSTED = {
    "example.org": "accounts",
    "conference.example.org": "rooms",
    "upload.example.org": "upload",
    "proxy.example.org": "proxy",
}


class Srv(NamedTuple):
    target: str
    port: int


def configured(tmp_path: Path, **folders: str) -> Config:
    """A configuration with a folder for each domain, and a certificate in it for a name."""
    ca = trustme.CA()
    for domain, name in folders.items():
        folder = tmp_path / domain
        folder.mkdir()
        certificate = ca.issue_cert(name)
        certificate.private_key_pem.write_to_path(folder / "privkey.pem")
        (folder / "fullchain.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    config = Config()
    s2s = msgspec.structs.replace(config.s2s, enabled="on")
    return msgspec.structs.replace(
        config, tls=msgspec.structs.replace(config.tls, directory=str(tmp_path)), s2s=s2s
    )


def warned(config: Config) -> list[str]:
    return [one.what for one in doctor_names.certificates(config, HOSTED) if one.level == "warn"]


def test_a_domain_without_a_certificate_is_told(tmp_path: Path) -> None:
    folders = {"example.org": "example.org", "upload.example.org": "upload.example.org"}
    (line,) = warned(configured(tmp_path, **folders))
    assert line.startswith("certificate for conference.example.org: there is none")


def test_a_certificate_of_the_host_is_none_of_the_domain(tmp_path: Path) -> None:
    folders = {"example.org": "xmpp.example.org", "_.example.org": "*.example.org"}
    (line,) = warned(configured(tmp_path, **folders))
    assert line.startswith("certificate for example.org: there is none")


def test_one_certificate_for_all_is_fine(tmp_path: Path) -> None:
    config = configured(tmp_path, **{"example.org": "example.org", "_.example.org": "*.example.org"})
    assert warned(config) == []


async def looked_up(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any]) -> list[doctor_names.Finding]:
    async def ask(self: object, name: str, kind: int) -> Sequence[Any]:
        answer = answers.get(name, EmptyError(name=False))
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    monkeypatch.setattr(questions.Questions, "ask", ask)
    config = Config()
    config = msgspec.structs.replace(config, s2s=msgspec.structs.replace(config.s2s, enabled="on"))
    return await doctor_names.records(config, {"example.org": "accounts", "proxy.example.org": "proxy"})


async def test_records_and_whether_their_ports_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, lambda stream: stream.aclose(), 0)
        port = listeners[0].socket.getsockname()[1]
        found = await looked_up(
            monkeypatch,
            {
                "_xmpp-client._tcp.example.org": [Srv("localhost.", port)],
                "_xmpps-server._tcp.example.org": [Srv("localhost", 1)],
            },
        )
        nursery.cancel_scope.cancel()
    assert [(one.level, one.what) for one in found] == [
        ("ok", f"DNS of example.org: clients are sent to localhost:{port}"),
        ("ok", "DNS of example.org: other servers are sent to localhost:1"),
        ("warn", "localhost:1 of example.org: " + found[2].what.rpartition(": ")[2]),
    ]
    assert "refused" in found[2].what or "connect" in found[2].what


async def test_no_records_and_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = DnsError("no answer", silent=True)
    found = await looked_up(monkeypatch, {"_xmpp-server._tcp.example.org": silent})
    assert [one.what for one in found] == [
        "DNS of example.org: no _xmpp-client._tcp and no _xmpps-client._tcp; clients try example.org:5222",
        "DNS of example.org: no answer",
    ]
    assert {one.level for one in found} == {"warn"}

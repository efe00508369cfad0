"""EXTERNAL with certificates of clients, on a real socket over TLS (XEP-0178 section 2)."""

from __future__ import annotations

import datetime as dt
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rookery.shared.bus.messages import CheckLogin
from rookery.shared.xeps import client_certificates

from .edge_lab import DOMAIN, Client, Lab, running

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"


class Authority:
    """Makes certificates of clients."""

    def __init__(self, folder: Path) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority of clients")])
        self.file = folder / "clients.pem"
        self.folder = folder
        certificate = self._sign(self.name, self.key.public_key(), [x509.BasicConstraints(True, None)])
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, extensions: list[x509.ExtensionType]
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(
            self.name, subject, key, x509.random_serial_number(), now - dt.timedelta(1), now + dt.timedelta(1)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, *jids: str) -> Path:
        """A certificate and its key in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [
            x509.OtherName(
                x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5"), b"\x0c" + bytes([len(jid)]) + jid.encode()
            )
            for jid in jids
        ]
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "someone")])
        found = self._sign(subject, key.public_key(), [x509.SubjectAlternativeName(names)])
        path = self.folder / f"{len(list(self.folder.iterdir()))}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(found.public_bytes(Encoding.PEM) + private)
        return path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "authority"
    folder.mkdir()
    return Authority(folder)


@pytest.fixture
async def lab(tmp_path: Path, authority: Authority) -> AsyncIterator[Lab]:
    (tmp_path / "tls").mkdir()
    options = client_certificates.Options(ca_file=str(authority.file))
    async with running(tmp_path / "tls", certificates=options) as lab:
        yield lab


async def shown(lab: Lab, identity: Path | None, port: str = "c2s") -> tuple[Client, str]:
    """A client that shows a certificate, and what it is offered."""
    client = await lab.connect(port)
    if port == "c2s":
        await client.open()
        await client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await client.until("<proceed[^>]*/>")
    context: ssl.SSLContext = lab.client_context(["xmpp-client"] if port != "c2s" else None)
    if identity is not None:
        context.load_cert_chain(identity)
    client.stream = trio.SSLStream(client.stream, context, server_hostname=DOMAIN)
    return client, await client.open()


async def log_in(client: Client, authzid: str = "") -> str:
    text = b64encode(authzid.encode()).decode() or "="
    await client.send(f"<auth xmlns='{SASL}' mechanism='EXTERNAL'>{text}</auth>")
    return await client.until("<success[^>]*/>|</failure>")


@pytest.mark.parametrize("port", ["c2s", "c2s_tls"])
async def test_a_certificate_logs_in(lab: Lab, authority: Authority, port: str) -> None:
    client, features = await shown(lab, authority.issue(f"alice@{DOMAIN}"), port)
    assert features.index("<mechanism>EXTERNAL</mechanism>") < features.index("<mechanism>SCRAM")
    assert "<success" in await log_in(client)
    await client.bind("r")
    assert lab.router.bindings[0].account == f"alice@{DOMAIN}"
    assert lab.accounts.checked == [CheckLogin(DOMAIN, f"alice@{DOMAIN}", "EXTERNAL", "")]


async def test_of_two_addresses_one_is_said_and_no_account_is_no_login(
    lab: Lab, authority: Authority
) -> None:
    client, _ = await shown(lab, authority.issue(f"alice@{DOMAIN}", f"nobody@{DOMAIN}"))
    assert "<invalid-authzid" in await log_in(client)
    assert "<invalid-authzid" in await log_in(client, f"bob@{DOMAIN}")
    assert "<not-authorized" in await log_in(client, f"nobody@{DOMAIN}")
    client, _ = await shown(lab, authority.issue(f"alice@{DOMAIN}", f"nobody@{DOMAIN}"))
    assert "<success" in await log_in(client, f"alice@{DOMAIN}")


async def test_without_a_certificate_or_with_one_of_another_domain_it_is_not_offered(
    lab: Lab, authority: Authority
) -> None:
    for identity in (None, authority.issue("alice@elsewhere.example"), authority.issue()):
        client, features = await shown(lab, identity)
        assert "EXTERNAL" not in features
        assert "<invalid-mechanism" in await log_in(client, f"alice@{DOMAIN}")


async def test_a_certificate_of_somebody_else_ends_the_handshake(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "false"
    folder.mkdir()
    with pytest.raises((trio.BrokenResourceError, EOFError, ssl.SSLError)):
        await shown(lab, Authority(folder).issue(f"alice@{DOMAIN}"))


async def test_a_token_would_outlive_the_certificate(lab: Lab, authority: Authority) -> None:
    client, _ = await shown(lab, authority.issue(f"alice@{DOMAIN}"))
    await client.send(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='EXTERNAL'><initial-response/>"
        "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>"
        "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/></authenticate>"
    )
    assert f"<authorization-identifier>alice@{DOMAIN}<" in await client.until("</success>")

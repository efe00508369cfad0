"""A certificate authority of the embedded cluster and P-256 certificates for its domains, kept in the data directory.

They are for laptops and tests: a client trusts them once it is given `ca.pem`. Certificates carry the domain as DNS name, and
`localhost` also the loopback addresses.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY: Final = dt.timedelta(days=1)
_CA_DAYS: Final = 3650
#: What browsers and mobile clients accept at most is 398 days.
_DAYS: Final = 397
_RENEW_DAYS: Final = 30


class Authority:
    """The certificate authority in `directory`, made when it is new; `ca_file` is what clients shall trust."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.ca_file = directory / "ca.pem"
        self.directory = directory / "domains"
        self.directory.mkdir(mode=0o700, exist_ok=True)
        key_file = directory / "ca.key"
        if self.ca_file.exists() and key_file.exists():
            self._key = _read_key(key_file)
            self._certificate = x509.load_pem_x509_certificate(self.ca_file.read_bytes())
            if self._certificate.not_valid_after_utc > _now() + _DAYS * _DAY:
                return
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Rookery local authority")])
        self._certificate = (
            _builder(name, name, self._key.public_key(), _CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _write(key_file, _pem(self._key), 0o600)
        _write(self.ca_file, self._certificate.public_bytes(serialization.Encoding.PEM), 0o644)

    def ensure(self, domain: str) -> bool:
        """Make a certificate for `domain` unless a good one is there; returns whether one was made."""
        folder = self.directory / domain
        chain, key_file = folder / "fullchain.pem", folder / "privkey.pem"
        if chain.exists() and key_file.exists() and self._good(chain):
            return False
        folder.mkdir(mode=0o700, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        # The common name has at most 64 characters; clients read the alternative names.
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _ascii(domain)[:64])])
        certificate = (
            _builder(name, self._certificate.subject, key.public_key(), _DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            # (as a client, too: ejabberd takes no certificate without that purpose from a server that connects to it)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(_names(domain)), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        _write(key_file, _pem(key), 0o600)
        _write(chain, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return True

    def _good(self, chain: Path) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(chain.read_bytes())
            certificate.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return certificate.not_valid_after_utc > _now() + _RENEW_DAYS * _DAY


def _names(domain: str) -> list[x509.GeneralName]:
    try:
        return [x509.IPAddress(ipaddress.ip_address(domain.strip("[]")))]
    except ValueError:
        names: list[x509.GeneralName] = [x509.DNSName(_ascii(domain))]
    if domain == "localhost":
        names += [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    return names


def _ascii(domain: str) -> str:
    if domain.isascii():
        return domain
    import idna

    return idna.encode(domain).decode("ascii")


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _DAY)
        .not_valid_after(_now() + days * _DAY)
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not sign,
        crl_sign=not sign,
        encipher_only=False,
        decipher_only=False,
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} is not an elliptic curve key")
    return key


def _write(path: Path, data: bytes, mode: int) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
    draft.replace(path)

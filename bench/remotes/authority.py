"""The authority that vouches for the remote domains of a run, and their certificates. The server under test is told to trust it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rookery.bench.plan import PlanError
from rookery.shared.net.identity import Identity

_HOUR: Final = dt.timedelta(hours=1)
_LIFE: Final = dt.timedelta(days=30)
_PEM: Final = serialization.Encoding.PEM


class Authority:
    """A certificate and its key. All domains of one authority share a key of their own: only their names differ."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key
        self._shared = ec.generate_private_key(ec.SECP256R1())

    @classmethod
    def make(cls) -> Self:
        """A new one, for thirty days."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rookery bench")])
        builder = _builder(name, name, key.public_key())
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        made = builder.add_extension(constraints, critical=True).sign(key, hashes.SHA256())
        return cls(made, key)

    @classmethod
    def load(cls, path: str) -> Self:
        """The one that `write` wrote. Raises PlanError."""
        try:
            certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
            key = serialization.load_pem_private_key(Path(f"{path}.key").read_bytes(), None)
        except OSError as error:
            raise PlanError(
                f"ca {error.filename}: {error.strerror}; `rookery bench ca {path}` makes both files"
            ) from None
        except (ValueError, TypeError) as error:
            raise PlanError(f"ca {path}: not a certificate with its key: {error}") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise PlanError(f"ca {path}: {path}.key is not its key on an elliptic curve")
        return cls(certificate, key)

    def write(self, path: Path) -> None:
        """The certificate as `path`, its key beside it as `path.key`. Raises OSError."""
        path.write_bytes(self.certificate.public_bytes(_PEM))
        private = Path(f"{path}.key")
        private.touch(mode=0o600)
        private.write_bytes(_private(self._key))

    def issue(self, folder: Path, domain: str) -> Identity:
        """Files in `folder` with a certificate for a domain and the key of all domains."""
        name = x509.Name([])
        alternative = x509.SubjectAlternativeName([x509.DNSName(domain)])
        builder = _builder(self.certificate.subject, name, self._shared.public_key())
        made = builder.add_extension(alternative, critical=True).sign(self._key, hashes.SHA256())
        chain, key = folder / f"{domain}.pem", folder / "key.pem"
        chain.write_bytes(made.public_bytes(_PEM))
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(_private(self._shared))
        return Identity(chain, key)


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _HOUR)
        .not_valid_after(now + _LIFE)
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

"""What the folder of a domain has: its certificate, perhaps a second one with another kind of key, perhaps answers of OCSP for them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from rookery.shared.net.identity import Identity

CHAIN: Final = "fullchain.pem"
KEY: Final = "privkey.pem"
#: The second certificate, as RSA beside ECDSA: a client gets the one that it can check, the first kind of key that OpenSSL prefers.
SECOND_CHAIN: Final = "fullchain-2.pem"
SECOND_KEY: Final = "privkey-2.pem"
#: What the authority says of them (DER, RFC 6960), fetched by whoever renews them.
OCSP: Final = "ocsp.der"
SECOND_OCSP: Final = "ocsp-2.der"


class Folder(NamedTuple):
    """The files that are there."""

    first: Identity
    second: Identity | None
    answers: tuple[Path, ...]
    #: Authorities of clients, which belong to no folder but change the contexts as well.
    authorities: Path | None

    def stamp(self) -> tuple[object, ...]:
        """Another value when one of them changes. Raises OSError when one is missing."""
        # Kubernetes swaps a symlink: the inode behind it changes, so follow it.
        paths = [*self.first, *(self.second or ()), *self.answers]
        if self.authorities is not None:
            paths.append(self.authorities)
        return tuple(
            (path.name, s.st_ino, s.st_size, s.st_mtime_ns) for path in paths for s in (os.stat(path),)
        )


def look(folder: Path, authorities: Path | None) -> Folder:
    """What there is; the first certificate is taken for granted."""
    second = Identity(folder / SECOND_CHAIN, folder / SECOND_KEY)
    return Folder(
        Identity(folder / CHAIN, folder / KEY),
        second if second.chain.exists() else None,
        tuple(path for path in (folder / OCSP, folder / SECOND_OCSP) if path.exists()),
        authorities,
    )


def other_kind(first: x509.Certificate, second: x509.Certificate) -> bool:
    """Whether OpenSSL keeps both: a second key of the same kind would replace the first."""
    return type(first.public_key()) is not type(second.public_key())


class Stapled:
    """An answer of OCSP, shown while it is good. Raises ValueError for one that is none, or of another certificate."""

    def __init__(self, der: bytes, leaf: x509.Certificate) -> None:
        answer = ocsp.load_der_ocsp_response(der)
        if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise ValueError(f"it says {answer.response_status.name.lower()}")
        if answer.serial_number != leaf.serial_number:
            raise ValueError("it is about another certificate")
        if answer.certificate_status is not ocsp.OCSPCertStatus.GOOD:
            raise ValueError(f"it says that the certificate is {answer.certificate_status.name.lower()}")
        self._der = der
        self._until = answer.next_update_utc

    def shown(self) -> bytes | None:
        """What clients get that ask; None when it is too old, which would do more harm than nothing."""
        return self._der if self._until is None or datetime.now(UTC) < self._until else None


def answered(path: Path, leaves: Sequence[x509.Certificate]) -> tuple[bytes, Stapled]:
    """The certificate (DER) that a file is about, and what it says. Raises OSError or ValueError."""
    leaf = leaves[-1] if path.name == SECOND_OCSP else leaves[0]
    return leaf.public_bytes(Encoding.DER), Stapled(path.read_bytes(), leaf)

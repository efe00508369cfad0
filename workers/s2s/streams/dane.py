"""DANE (RFC 6698, 7671) for other servers (RFC 7673): what TLSA records say of the certificate that a server shows. No I/O.

Usages 3 (this certificate) and 2 (an authority of theirs) are known; 0 and 1, which add to PKIX, are passed over (RFC 7671 section 4).
Where usable records are, they decide alone: a certificate that fits none is not believed, whoever vouches for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rookery.workers.s2s.streams.names import Names
from rookery.workers.s2s.streams.proof import Proof

_AUTHORITY: Final = 2
_SERVER: Final = 3
_DIGESTS: Final[dict[int, Callable[[bytes], bytes]]] = {
    0: bytes,
    1: lambda data: hashlib.sha256(data).digest(),
    2: lambda data: hashlib.sha512(data).digest(),
}
NO_MATCH: Final = "it is not the one that the DNS tells (TLSA)"


class Pin(NamedTuple):
    """One TLSA record."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def usable(self) -> bool:
        """Whether we know what it says."""
        return self.usage in (_AUTHORITY, _SERVER) and self.selector in (0, 1) and self.matching in _DIGESTS

    def fits(self, certificate: x509.Certificate) -> bool:
        """Whether it is about this certificate (RFC 6698 sections 2.1.2, 2.1.3)."""
        if self.selector == 0:
            data = certificate.public_bytes(Encoding.DER)
        else:
            data = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return _DIGESTS[self.matching](data) == self.data


class Expected(NamedTuple):
    """What the DNS, validated, says of the server `host` of the domain `domain`; `pins` are usable, and there is one at least.

    `problem`: what is said of a certificate that fits none.
    """

    domain: str
    host: str
    pins: Sequence[Pin]
    problem: str = NO_MATCH


def judge(
    shown: Sequence[x509.Certificate],
    names: Names,
    expected: Expected,
    holds: Callable[[x509.Certificate], str],
) -> Proof:
    """What a certificate and its chain prove. `holds(authority)`: why the chain does not lead to this one ("": it does)."""
    leaf, found = shown[0], Names(xmpp=frozenset((expected.domain,)))
    problem = expected.problem
    for pin in expected.pins:
        if pin.usage == _SERVER and pin.fits(leaf):
            # Names and dates in the certificate do not matter (RFC 7671 section 5.1).
            return Proof(found, "")
        if pin.usage != _AUTHORITY:
            continue
        for authority in shown:
            if pin.fits(authority):
                problem = holds(authority)
                # The certificate is for the domain, or for the host that the DNS, validated, names (RFC 7673 section 4).
                if not problem and (names.cover(expected.domain) or names.cover(expected.host)):
                    return Proof(found, "")
                problem = problem or "it is for other names"
    return Proof(names, problem)

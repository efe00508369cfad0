"""Channel binding data of type tls-server-end-point (RFC 5929 section 4), which XEP-0440 wants every server to offer."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm


def tls_server_end_point(certificate: bytes) -> bytes | None:
    """The hash of our certificate (DER) by the hash function of its signature; MD5 and SHA-1 become SHA-256.

    None when its signature algorithm has no single hash function (Ed25519): such a stream has no binding of this type.
    """
    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    if algorithm is None:
        return None
    name = algorithm.name
    return hashlib.new("sha256" if name in {"md5", "sha1"} else name.replace("-", "_"), certificate).digest()

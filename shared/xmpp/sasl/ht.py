"""SASL HT-* (draft-schmaus-kitten-sasl-ht), server side: who holds a token proves it in one message. Pure.

The client sends `localpart NUL HMAC(token, "Initiator" || binding)`, and is answered `HMAC(token, "Responder" || binding)`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final, NamedTuple

from rookery.shared.xmpp.sasl.common import MAX_VALUE, SaslFailure, account_of, decode_utf8

NONE: Final = "HT-SHA-256-NONE"
END_POINT: Final = "HT-SHA-256-ENDP"
#: The channel binding of each mechanism, "" for none. Types that no stream of ours has (tls-exporter, tls-unique) have no mechanism.
BINDINGS: Final[Mapping[str, str]] = {END_POINT: "tls-server-end-point", NONE: ""}
#: Octets of a proof.
SIZE: Final = 32


class Claim(NamedTuple):
    """Who wants in, the prepared bare JID, and the proof."""

    account: str
    proof: bytes


def parse(message: bytes, domain: str) -> Claim:
    """Read the client's message on a stream to `domain`. Raises SaslFailure: malformed-request, not-authorized (no such user is possible)."""
    name, separator, proof = message.partition(b"\0")
    if not name or not separator or len(proof) != SIZE or len(name) > MAX_VALUE:
        raise SaslFailure("malformed-request")
    return Claim(account_of(decode_utf8(name), domain), proof)


def initiator(token: bytes, binding: bytes = b"") -> bytes:
    """What proves the token."""
    return hmac.digest(token, b"Initiator" + binding, "sha256")


def responder(token: bytes, binding: bytes = b"") -> bytes:
    """What proves to the client that the server knows the token, too."""
    return hmac.digest(token, b"Responder" + binding, "sha256")

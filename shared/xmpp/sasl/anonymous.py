"""SASL ANONYMOUS (RFC 4505), server side. Pure."""

from __future__ import annotations

from typing import Final

from rookery.shared.xmpp.sasl.common import SaslFailure, decode_utf8

NAME: Final = "ANONYMOUS"
#: Characters of the trace (section 2); an address may be as long.
LONGEST: Final = 255


def check(message: bytes) -> None:
    """The trace of a client, which is used for nothing (XEP-0175 section 2). Raises SaslFailure(malformed-request)."""
    trace = decode_utf8(message)
    if len(trace) > LONGEST or not all(char.isprintable() for char in trace):
        raise SaslFailure("malformed-request")

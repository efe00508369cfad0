"""SASL OAUTHBEARER (RFC 7628), server side: a client shows an access token (RFC 6750). Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.sasl.common import SaslFailure, decode_utf8

#: Octets of a message: tokens with many claims are long.
MAX_MESSAGE: Final = 16_384
_GS2: Final = re.compile(r"[ny],(?:a=((?:[^\0=,\x01]|=2C|=3D)+))?,\x01")
#: b64token of RFC 6750 section 2.1.
_BEARER: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*)\Z")
#: What the client answers to the server's last words (section 3.2.3).
ACKNOWLEDGED: Final = b"\x01"
#: What the client is told of a token that is not good (section 3.2.2); the failure follows.
INVALID: Final = b'{"status":"invalid_token"}'


class Bearer(NamedTuple):
    """A token, "" when the client only wants to know how to get one; `account` is whose it says that it is, "" when it does not."""

    account: str
    token: str


def parse(message: bytes, domain: str) -> Bearer:
    """Read the client's message (section 3.1) on a stream to `domain`. Raises SaslFailure: malformed-request, invalid-authzid."""
    if len(message) > MAX_MESSAGE:
        raise SaslFailure("malformed-request", "the message is too long")
    text = decode_utf8(message)
    header = _GS2.match(text)
    if header is None or not text.endswith("\x01\x01"):
        raise SaslFailure("malformed-request")
    pairs = [pair.partition("=") for pair in text[header.end() : -2].split("\x01") if pair]
    found = [value for name, equals, value in pairs if equals and name == "auth"]
    if len(found) != 1:
        raise SaslFailure("malformed-request", "one auth is said")
    bearer = _BEARER.match(found[0])
    if bearer is None and found[0]:
        raise SaslFailure("malformed-request", "a bearer token is said")
    return Bearer(_account(header[1] or "", domain), bearer[1] if bearer else "")


def _account(authzid: str, domain: str) -> str:
    """The bare JID in the header: an address of the domain, or a localpart."""
    if not authzid:
        return ""
    said = authzid.replace("=2C", ",").replace("=3D", "=")
    try:
        jid = Jid.parse(said if "@" in said else f"{said}@{domain}")
    except JidError:
        raise SaslFailure("invalid-authzid") from None
    if jid.domain != domain or jid.local is None or jid.resource is not None:
        raise SaslFailure("invalid-authzid")
    return jid.bare

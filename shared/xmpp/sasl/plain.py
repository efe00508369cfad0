"""SASL PLAIN (RFC 4616), only ever offered inside TLS."""

from __future__ import annotations

from typing import NamedTuple

from rookery.shared.xmpp.sasl.common import MAX_VALUE, SaslFailure, account_of, check_authzid, decode_utf8


class PlainRequest(NamedTuple):
    """Who wants in: the prepared bare JID and the password as sent."""

    account: str
    password: str


def parse_plain(message: bytes, domain: str) -> PlainRequest:
    """Read `[authzid] NUL authcid NUL passwd` (RFC 4616 section 2) for a stream to `domain`.

    Raises SaslFailure: malformed-request, not-authorized (no such user is possible) or invalid-authzid.
    """
    parts = message.split(b"\0")
    if len(parts) != 3 or not parts[1] or not parts[2] or max(map(len, parts)) > 3 * MAX_VALUE + 2:
        raise SaslFailure("malformed-request")
    if len(parts[1]) > MAX_VALUE or len(parts[2]) > MAX_VALUE:
        raise SaslFailure("malformed-request", f"user name and password have at most {MAX_VALUE} octets")
    authzid, username, password = (decode_utf8(part) for part in parts)
    account = account_of(username, domain)
    check_authzid(authzid, account)
    return PlainRequest(account, password)

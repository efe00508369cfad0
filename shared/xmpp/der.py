"""Text of certificates' other names (RFC 6120 section 13.7.1.4, RFC 4985): one string in DER. Pure."""

from __future__ import annotations

from typing import Final

#: `id-on-xmppAddr`.
XMPP_ADDR: Final = "1.3.6.1.5.5.7.8.5"
#: Tags of ASN.1: UTF8String and IA5String.
_STRINGS: Final = (0x0C, 0x16)


def string(der: bytes) -> str:
    """The text of one DER string; "" for anything else."""
    if len(der) < 2 or der[0] not in _STRINGS:
        return ""
    size, at = der[1], 2
    if size & 0x80:
        at += size & 0x7F
        size = int.from_bytes(der[2:at], "big")
    if len(der) != at + size:
        return ""
    try:
        return der[at:].decode()
    except UnicodeDecodeError:
        return ""

"""Domains as the other side writes them, in headers and in EXTERNAL. No I/O."""

from __future__ import annotations

from base64 import b64decode

from rookery.shared.xmpp.errors import JidError, StreamError
from rookery.workers.s2s.streams import dialback


def local(text: str) -> str:
    """Raises StreamError for what is no domain."""
    try:
        return dialback.domain_of(text) if text else ""
    except JidError:
        raise StreamError("improper-addressing", "to is a domain") from None


def remote(text: str) -> str:
    """Raises StreamError for what is no domain."""
    try:
        return dialback.domain_of(text) if text else ""
    except JidError:
        raise StreamError("invalid-from", "from is a domain") from None


def authorization(text: str) -> str:
    """The domain that an `<auth/>` of EXTERNAL names, "" for none. Raises binascii.Error, UnicodeDecodeError, JidError."""
    if text in ("", "="):
        return ""
    return dialback.domain_of(b64decode(text, validate=True).decode())

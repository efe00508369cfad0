"""What a server writes around stanzas: stream header, features, stream error, close (RFC 6120 section 4, RFC 7395).

Functions whose name starts with `ws_` write for a WebSocket, where every message is a document of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.xml import Element, escape_attr, escape_text

#: The end of a TCP stream (RFC 6120 section 4.4).
CLOSE: Final = b"</stream:stream>"


def _attributes(to: str, from_: str, id: str, lang: str, version: str) -> str:
    pairs = (("from", from_), ("to", to), ("id", id), ("version", version), ("xml:lang", lang))
    return "".join([f" {key}='{escape_attr(value)}'" for key, value in pairs if value])


def stream_header(
    *,
    from_: str = "",
    to: str = "",
    id: str = "",
    lang: str = "en",
    version: str = "1.0",
    content_ns: str = ns.CLIENT,
    declared: str = "",
) -> bytes:
    """The header of a TCP stream with its XML declaration (RFC 6120 section 4.7).

    `declared` are further namespace declarations in canonical XML, such as ` xmlns:db='jabber:server:dialback'`.
    """
    attributes = _attributes(to, from_, id, lang, version)
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='{escape_attr(content_ns)}'"
        f" xmlns:stream='{ns.STREAM}'{declared}{attributes}>"
    ).encode()


def _features(features: Iterable[Element], declaration: str, content_ns: str) -> bytes:
    inner = "".join([feature.xml(content_ns) for feature in features])
    if not inner:
        return f"<stream:features{declaration}/>".encode()
    return f"<stream:features{declaration}>{inner}</stream:features>".encode()


def stream_features(features: Iterable[Element], content_ns: str = ns.CLIENT) -> bytes:
    """The features of a TCP stream (RFC 6120 section 4.3.2)."""
    return _features(features, "", content_ns)


def ws_features(features: Iterable[Element]) -> bytes:
    """The features of a WebSocket stream, as one message."""
    # The message has no default namespace, so every feature declares its own.
    return _features(features, f" xmlns:stream='{ns.STREAM}'", "")


def _error(error: StreamError, declaration: str) -> bytes:
    parts = [f"<stream:error{declaration}><{error.condition} xmlns='{ns.STREAM_ERRORS}'/>"]
    if error.text:
        parts.append(f"<text xmlns='{ns.STREAM_ERRORS}' xml:lang='en'>{escape_text(error.text)}</text>")
    parts.append(f"{error.app}</stream:error>")
    return "".join(parts).encode()


def stream_error(error: StreamError) -> bytes:
    """A stream error on TCP (RFC 6120 section 4.9.2); `CLOSE` follows it."""
    return _error(error, "")


def ws_error(error: StreamError) -> bytes:
    """A stream error on a WebSocket, as one message; `ws_close` follows it (RFC 7395 section 3.5)."""
    return _error(error, f" xmlns:stream='{ns.STREAM}'")


def ws_open(*, from_: str = "", to: str = "", id: str = "", lang: str = "en", version: str = "1.0") -> bytes:
    """The `<open/>` message (RFC 7395 section 3.4)."""
    return f"<open xmlns='{ns.FRAMING}'{_attributes(to, from_, id, lang, version)}/>".encode()


def ws_close(see_other_uri: str = "") -> bytes:
    """The `<close/>` message, optionally with another endpoint (RFC 7395 section 3.6.1)."""
    other = f" see-other-uri='{escape_attr(see_other_uri)}'" if see_other_uri else ""
    return f"<close xmlns='{ns.FRAMING}'{other}/>".encode()

"""Names, media types and URLs of files: what clients say of them, made harmless. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import quote, unquote

#: Characters that can be said in a file name are those of text: no controls, no formatting (bidirectional overrides), no line ends.
_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
#: Longest name in UTF-8: what file systems take. Bytes.
NAME_BYTES: Final = 255
_LONGEST_EXTENSION: Final = 32
OCTETS: Final = "application/octet-stream"
_WORD: Final = r"[A-Za-z0-9!#$&^_.+-]{1,63}"
_TYPE: Final = re.compile(rf"({_WORD}/{_WORD})[ \t]*(?:;.*)?")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{32}")


def clean(name: str) -> str:
    """A name for a file: no separators, no characters that hide or break anything, not too long; its end stays (section 5)."""
    text = "".join("_" if _strange(char) else char for char in unicodedata.normalize("NFC", name)).strip()
    if text.strip(".") == "":
        return "file"
    while len(text.encode()) > NAME_BYTES:
        stem, dot, extension = text.rpartition(".")
        if dot and stem and len(extension) <= _LONGEST_EXTENSION:
            text = f"{stem[: _shorter(stem, extension)]}.{extension}"
        else:
            text = text.encode()[:NAME_BYTES].decode(errors="ignore")
    return text


def _shorter(stem: str, extension: str) -> int:
    """Characters of the stem that fit beside the extension."""
    room = max(1, NAME_BYTES - 1 - len(extension.encode()))
    return len(stem.encode()[:room].decode(errors="ignore")) or 1


def _strange(char: str) -> bool:
    return char in "/\\" or unicodedata.category(char) in _CATEGORIES


def media_type(said: str) -> str:
    """The type without parameters, in lower case; application/octet-stream for none and for what is no type."""
    found = _TYPE.fullmatch(said.strip())
    return found[1].lower() if found else OCTETS


def url(base: str, id: str, name: str) -> str:
    """The URL of a file (RFC 3986): everything but unreserved characters is percent-encoded."""
    return f"{base.rstrip('/')}/{id}/{quote(name, safe='')}"


def located(target: str) -> tuple[str, str] | None:
    """(id, name) of a request's target, whatever stands before them; None for what is no file of ours."""
    parts = target.partition("?")[0].rsplit("/", 2)
    if len(parts) != 3 or not _ID.fullmatch(parts[1]):
        return None
    try:
        return parts[1], unquote(parts[2], errors="strict")
    except UnicodeDecodeError:
        return None


def disposition(name: str, *, inline: bool) -> str:
    """The header Content-Disposition (RFC 6266): the name in ASCII for old clients, and as it is."""
    plain = "".join(char if char.isalnum() or char in " .-_()" else "_" for char in name if char.isascii())
    way = "inline" if inline else "attachment"
    return f"{way}; filename=\"{plain or 'file'}\"; filename*=UTF-8''{quote(name, safe='')}"

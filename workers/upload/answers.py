"""What a GET is answered, without I/O: ranges, conditions, and headers under which nothing runs in a browser. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from rookery.workers.upload.names import disposition
from rookery.workers.upload.store import File

Headers = list[tuple[str, str]]
_RANGE: Final = re.compile(r"bytes=[ \t]*(\d{0,19})-(\d{0,19})[ \t]*", re.ASCII)
_LONGEST_CACHE: Final = 86_400
#: What every answer says: a file is data, wherever it is shown.
GUARDS: Final = (
    ("Content-Security-Policy", "default-src 'none'; sandbox"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
)


class Reply(NamedTuple):
    """A status, its headers, and which bytes of the file follow."""

    status: int
    headers: Headers
    start: int = 0
    stop: int = 0


def etag(file: File) -> str:
    """A file never changes, so its id says which it is; hashed, since the id is a secret."""
    return f'"{hashlib.sha256(file.id.encode()).hexdigest()[:32]}"'


def got(file: File, request: Mapping[str, str], now: float, inline: Collection[str]) -> Reply:
    """The answer to GET (RFC 9110 sections 13 and 14). A range that cannot be read, or several, gets the whole file."""
    tag = etag(file)
    headers: Headers = [
        *GUARDS,
        ("ETag", tag),
        ("Cache-Control", cached(file, now)),
        ("Accept-Ranges", "bytes"),
    ]
    if _matches(request.get("if-none-match", ""), tag):
        return Reply(304, headers)
    found = None
    if request.get("if-range", tag).strip() == tag:
        found = span(request.get("range", ""), file.size)
    if found == (0, 0):
        return Reply(416, [*headers, ("Content-Range", f"bytes */{file.size}"), ("Content-Length", "0")])
    start, stop = found or (0, file.size)
    look = shown(file, inline)
    headers += [
        ("Content-Type", look["content-type"]),
        ("Content-Disposition", look["content-disposition"]),
        ("Content-Length", str(stop - start)),
    ]
    if found is None:
        return Reply(200, headers, start, stop)
    return Reply(206, [*headers, ("Content-Range", f"bytes {start}-{stop - 1}/{file.size}")], start, stop)


def cached(file: File, now: float) -> str:
    """How long a file may be kept by whoever got it."""
    age = int(min(_LONGEST_CACHE, file.expires - now)) if file.expires else _LONGEST_CACHE
    return f"private, max-age={max(0, age)}, immutable"


def shown(file: File, inline: Collection[str]) -> dict[str, str]:
    """The headers that say what a browser makes of a file: only some types are shown, everything else is offered for saving."""
    charset = "; charset=utf-8" if file.media_type == "text/plain" else ""
    way = disposition(file.name, inline=file.media_type in inline)
    return {"content-type": file.media_type + charset, "content-disposition": way}


def span(header: str, size: int) -> tuple[int, int] | None:
    """The bytes of a Range header, end exclusive; None for all of them, (0, 0) when there are none of these."""
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        return (size - length, size) if length else (0, 0)
    start, stop = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < start:
        return None
    return (start, stop) if start < size else (0, 0)


def _matches(header: str, tag: str) -> bool:
    return any(one.strip().removeprefix("W/") in (tag, "*") for one in header.split(",")) if header else False


def cors(origin: str, origins: Collection[str]) -> Headers:
    """What web clients of these origins need (XEP-0363 section 8); nothing for others."""
    if not origin or not ("*" in origins or origin in origins):
        return []
    return [
        ("Access-Control-Allow-Origin", "*" if "*" in origins else origin),
        ("Access-Control-Allow-Methods", "GET, HEAD, PUT, OPTIONS"),
        ("Access-Control-Allow-Headers", "Authorization, Content-Type, Range"),
        ("Access-Control-Expose-Headers", "Content-Length, Content-Range, ETag"),
        ("Access-Control-Max-Age", "7200"),
        ("Vary", "Origin"),
    ]

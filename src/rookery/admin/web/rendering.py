"""HTML of templates. Everything that is put in is escaped by the template engine, whoever named it; addresses in links are cut into segments here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import jinja2

_HERE: Final = Path(__file__).parent
STYLE: Final = (_HERE / "style.css").read_bytes()
#: Nothing but our own style, and forms that come back to us.
POLICY: Final = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
HEADERS: Final = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)


def segment(text: object) -> str:
    """One segment of a path: a slash in it is none of the path's."""
    return quote(str(text), safe="")


def when(at: object) -> str:
    """A time for people."""
    if at is None:
        return "never"
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp(float(str(at)), UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def lasting(seconds: float | None) -> str:
    """A duration for people."""
    if seconds is None:
        return ""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


_ENVIRONMENT: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(segment=segment, when=when, lasting=lasting)
_ENVIRONMENT.globals.update(now=time.time)


def page(template: str, values: Mapping[str, Any]) -> bytes:
    """One page."""
    return _ENVIRONMENT.get_template(template).render(**values).encode()

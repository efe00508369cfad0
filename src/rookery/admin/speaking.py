"""Whom a hosted domain speaks with elsewhere, as operators write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rookery.admin import names
from rookery.admin.errors import Invalid

MODES: Final = ("open", "listed", "closed")
#: Domains of one list; longer ones belong into a filter in front of the server.
MOST: Final = 10_000


def federation(
    mode: str | None, allow: Sequence[str] | None, block: Sequence[str] | None
) -> Mapping[str, Any] | None:
    """What changes, as a row keeps it: None for nothing, {} to take all of it back. Raises Invalid."""
    if mode == "default":
        if allow or block:
            raise Invalid("default takes the lists back, too")
        return {}
    if mode is not None and mode not in MODES:
        raise Invalid(f"there is no policy {mode!r}: choose from {', '.join(MODES)}, default")
    said: dict[str, Any] = {} if mode is None else {"mode": mode}
    for name, given in (("allow", allow), ("block", block)):
        if given is not None:
            said[name] = [_remote(text) for text in dict.fromkeys(given)]
            if len(said[name]) > MOST:
                raise Invalid(f"a list has at most {MOST} domains")
    return said or None


def described(said: Mapping[str, Any]) -> str:
    """For people: "" when the server decides alone."""
    if not said:
        return ""
    parts = [str(said.get("mode", "open"))]
    parts += [f"{name} {', '.join(said[name])}" for name in ("allow", "block") if said.get(name)]
    return f"federation {'; '.join(parts)}"


def _remote(text: str) -> str:
    below = text.startswith("*.")
    prepared = names.domain(text[2:] if below else text)
    return f"*.{prepared}" if below else prepared

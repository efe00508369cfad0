"""What a request gives to a verb: path, query and body, checked against the fields of the verb. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from rookery.admin.api.problems import Problem
from rookery.admin.verb import Taken, Verb
from rookery.shared.observe.exchange import Request

#: What neither XML 1.0 (section 2.2) nor Postgres takes.
_UNFIT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_JSON: Final = "application/json"
T = TypeVar("T")


def taken(verb: Verb, fields: Mapping[str, str], request: Request) -> Taken:
    """What the verb is given. Raises Problem."""
    given: dict[str, Any] = document(request) if verb.in_body else dict(request.query)
    if both := sorted(given.keys() & fields.keys()):
        raise Problem(400, "invalid", f"{both[0]} stands in the path already")
    return convert({**given, **fields}, verb.takes, strict=verb.in_body)


def convert(given: Mapping[str, Any], into: type[T], *, strict: bool = True) -> T:
    """The fields as their types want them. Raises Problem."""
    if not fit(given):
        raise Problem(400, "invalid", "text has no control characters (XML 1.0 section 2.2)")
    try:
        return msgspec.convert(given, into, strict=strict)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Problem(400, "invalid", str(error) or "the body is too deep") from None


def document(request: Request) -> dict[str, Any]:
    """The JSON object in a body; none is an empty one. Raises Problem."""
    if not request.body:
        return {}
    kind = request.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    if kind != _JSON:
        raise Problem(415, "unsupported-media-type", f"send {_JSON}")
    try:
        found = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Problem(400, "invalid", f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Problem(400, "invalid", "the body is a JSON object")
    return found


def fit(value: Any, depth: int = 8) -> bool:
    """Whether all text in there can be stored and sent."""
    if isinstance(value, str):
        return _UNFIT.search(value) is None
    if isinstance(value, list | tuple):
        return depth > 0 and all(fit(one, depth - 1) for one in value)
    if isinstance(value, Mapping):
        return depth > 0 and all(fit(name, 0) and fit(one, depth - 1) for name, one in value.items())
    return True

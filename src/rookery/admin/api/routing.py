"""Which verb a request means: the paths of the table, cut into segments. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from rookery.admin.api.problems import Problem
from rookery.admin.verb import Verb

#: Where the API begins.
ROOT = "/api"


class Match(NamedTuple):
    """A verb, and what stands in its path."""

    verb: Verb
    fields: Mapping[str, str]


class Router:
    """The table by paths."""

    def __init__(self, table: Iterable[Verb]) -> None:
        self._by_length: dict[int, list[tuple[tuple[str, ...], Verb]]] = {}
        for verb in table:
            parts = tuple(verb.path.strip("/").split("/"))
            self._by_length.setdefault(len(parts), []).append((parts, verb))

    def find(self, method: str, target: str) -> Match:
        """The verb of a request. Raises Problem: 404, or 405 with what the path allows."""
        path = target.partition("?")[0].removeprefix(ROOT).strip("/")
        segments = [unquote(segment) for segment in path.split("/")]
        found = [
            (verb, fields)
            for parts, verb in self._by_length.get(len(segments), ())
            if (fields := _match(parts, segments)) is not None
        ]
        if not found:
            raise Problem(404, "not-found", "there is no such path: see /api/openapi.json")
        # A path that is written out goes before one with fields.
        fewest = min(len(fields) for _, fields in found)
        named = [(verb, fields) for verb, fields in found if len(fields) == fewest or method != "GET"]
        for verb, fields in sorted(named, key=lambda one: len(one[1])):
            if verb.method == method:
                return Match(verb, fields)
        allowed = ", ".join(sorted({verb.method for verb, _ in found}))
        raise Problem(405, "method-not-allowed", f"this path allows {allowed}", (("Allow", allowed),))


def _match(parts: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    fields = {}
    for part, segment in zip(parts, segments, strict=True):
        if part.startswith("{"):
            if not segment:
                return None
            fields[part[1:-1]] = segment
        elif part != segment:
            return None
    return fields

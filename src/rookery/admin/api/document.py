"""The OpenAPI 3.1 document, made from the table of verbs: what is described is what is checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from rookery import __version__
from rookery.admin.api.problems import TYPE
from rookery.admin.verb import SCOPES, Verb

_REF: Final = "#/components/schemas/{name}"
_JSON: Final = "application/json"
#: What every verb may answer.
_ALWAYS: Final = (400, 401, 403, 429, 431, 503)
_WORDS: Final = {
    400: "What was sent makes no sense",
    401: "No token, or one that is not known",
    403: "The token lacks the scope",
    404: "There is no such thing",
    409: "Something stands in the way",
    413: "The body is too large",
    415: "The body is no JSON",
    429: "Too many calls",
    431: "The address or the headers are too long",
    503: "A part of the cluster does not answer; try again",
}
#: What the HTTP server refuses before it knows what is asked: one line of text.
_PLAIN: Final = (413, 431)
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "An error (RFC 9457); `code` is what programs compare",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
    },
    "required": ["type", "title", "status", "code", "detail"],
}


def openapi(table: Iterable[Verb]) -> dict[str, Any]:
    """The document of these verbs."""
    verbs = list(table)
    # Verbs that are given the same share the description of it.
    made = {verb.takes: _body(verb) for verb in verbs if verb.in_body}
    bodies = {verb.name: made.get(verb.takes) if verb.in_body else None for verb in verbs}
    types = [verb.gives for verb in verbs if verb.gives is not None]
    types += [body for body in bodies.values() if body is not None]
    _, schemas = msgspec.json.schema_components(dict.fromkeys(types), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for verb in verbs:
        paths.setdefault(verb.path, {})[verb.method.lower()] = _operation(verb, bodies[verb.name])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rookery administration",
            "version": __version__,
            "description": "Every call shows a token made by `rookery token create` and is logged. Lists are read on with `after`.",
        },
        "servers": [{"url": "/api"}],
        "security": [{"token": []}],
        "tags": [{"name": name} for name in dict.fromkeys(_tag(verb) for verb in verbs)],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _PROBLEM},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": f"Scopes: {', '.join(SCOPES)}",
                }
            },
        },
    }


def _tag(verb: Verb) -> str:
    return verb.name.partition(".")[0]


def _body(verb: Verb) -> type[msgspec.Struct] | None:
    """The fields that stand in the body, as a type of their own."""
    rest = [field for field in msgspec.structs.fields(verb.takes) if field.name not in verb.in_path]
    if not verb.in_body or not rest:
        return None
    fields: list[Any] = []
    for field in rest:
        if field.default_factory is not msgspec.NODEFAULT:
            default: Any = msgspec.field(default_factory=field.default_factory, name=field.encode_name)
        else:
            default = msgspec.field(default=field.default, name=field.encode_name)
        fields.append((field.name, field.type, default))
    return msgspec.defstruct(
        f"{verb.takes.__name__}Body",
        fields,
        kw_only=True,
        forbid_unknown_fields=True,
        namespace={"__doc__": verb.takes.__doc__},
    )


def _operation(verb: Verb, body: type[msgspec.Struct] | None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": verb.name.replace(".", "_"),
        "tags": [_tag(verb)],
        "summary": verb.summary,
        "description": f"Needs the scope `{verb.scope}`"
        + (" or `read`" if verb.reads and verb.scope not in ("all", "read") else "")
        + ".",
        "parameters": _parameters(verb),
        "responses": _responses(verb),
    }
    if body is not None:
        schema = {"$ref": _REF.format(name=body.__name__)}
        required = any(field.required for field in msgspec.structs.fields(body))
        operation["requestBody"] = {"required": required, "content": {_JSON: {"schema": schema}}}
    return operation


def _parameters(verb: Verb) -> list[dict[str, Any]]:
    found = []
    for field in msgspec.structs.fields(verb.takes):
        in_path = field.name in verb.in_path
        if not in_path and verb.in_body:
            continue
        schema = msgspec.json.schema(field.type)
        if not field.required:
            schema["default"] = field.default
        description = schema.pop("description", "")
        one: dict[str, Any] = {
            "name": field.encode_name,
            "in": "path" if in_path else "query",
            "required": field.required,
            "schema": schema,
        }
        found.append(one | ({"description": description} if description else {}))
    return found


def _responses(verb: Verb) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if verb.gives is None:
        found["204"] = {"description": "Done"}
    else:
        content = {_JSON: {"schema": {"$ref": _REF.format(name=verb.gives.__name__)}}}
        if not verb.makes or verb.method == "PUT":
            found["200"] = {"description": "Done", "content": content}
        if verb.makes:
            found["201"] = {"description": "Made", "content": content}
    statuses = {*_ALWAYS, *verb.errors, *((413, 415) if verb.in_body else ())}
    for status in sorted(statuses):
        content = {TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}
        if status in _PLAIN:
            content = {"text/plain": {"schema": {"type": "string"}}}
        found[str(status)] = {"description": _WORDS[status], "content": content}
    return found

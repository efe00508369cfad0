"""The machines of the administration API: paths, what is read of a request, the document, scopes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from rookery.admin import tokens
from rookery.admin.api.document import openapi
from rookery.admin.api.ejabberd import COMMANDS, read
from rookery.admin.api.problems import Problem
from rookery.admin.api.reading import taken
from rookery.admin.api.routing import Router
from rookery.admin.errors import Invalid
from rookery.admin.verb import SCOPES
from rookery.admin.verbs import TABLE
from rookery.shared.observe.exchange import Request

ROUTER = Router(TABLE)
BY_NAME = {verb.name: verb for verb in TABLE}


def request(
    body: object = None, raw: bytes | None = None, query: dict[str, str] | None = None, **headers: str
) -> Request:
    sent = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
    return Request("POST", "/", query or {}, {"content-type": "application/json", **headers}, sent)


@pytest.mark.parametrize(
    ("method", "target", "verb", "fields"),
    [
        ("GET", "/api/v1/users?domain=x", "users.list", {}),
        ("GET", "/api/v1/users/a%40x", "users.get", {"jid": "a@x"}),
        ("PUT", "/api/v1/users/a@x/password", "users.password", {"jid": "a@x"}),
        ("GET", "/api/v1/sessions/count", "sessions.count", {}),
        ("DELETE", "/api/v1/sessions/a@x%2Fphone%2F1", "sessions.kick", {"jid": "a@x/phone/1"}),
        ("DELETE", "/api/v1/users/a@x/roster/b%40y", "rosters.remove", {"jid": "a@x", "contact": "b@y"}),
    ],
)
def test_a_path_means_a_verb(method: str, target: str, verb: str, fields: dict[str, str]) -> None:
    match = ROUTER.find(method, target)
    assert (match.verb.name, dict(match.fields)) == (verb, fields)


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/", 404),
        ("GET", "/api/v1/users//roster", 404),
        ("PATCH", "/api/v1/users", 405),
        ("GET", "/api/v1/sessions/a@x", 405),
    ],
)
def test_other_paths_are_refused(method: str, target: str, status: int) -> None:
    with pytest.raises(Problem) as refused:
        ROUTER.find(method, target)
    assert refused.value.status == status
    assert status != 405 or dict(refused.value.headers)["Allow"]


def test_no_two_verbs_have_a_name_or_a_path_in_common() -> None:
    assert len({verb.name for verb in TABLE}) == len(TABLE)
    assert len({(verb.method, verb.path) for verb in TABLE}) == len(TABLE)
    for verb in TABLE:
        assert verb.scope in SCOPES
        assert set(verb.in_path) <= set(verb.takes.__struct_fields__)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(raw=b"{bad"), 400),
        (request(raw=b"[1]"), 400),
        (request(raw=b"\xff"), 400),
        (request(raw=b"[" * 100_000), 400),
        (request({"jid": "a@x", "password": 7}), 400),
        (request({"jid": "a@x"}), 400),
        (request({"jid": "a@x", "password": "p", "more": 1}), 400),
        (request({"jid": "a@x", "password": "p\x00"}), 400),
        (request({"jid": "a@x", "password": ""}), 400),
        (request(raw=b'{"jid": "a@x", "password": "\\ud800"}'), 400),
        (request({"jid": "a@x", "password": "p"}, **{"content-type": "text/plain"}), 415),
    ],
)
def test_a_wrong_body_is_refused(sent: Request, status: int) -> None:
    with pytest.raises(Problem) as refused:
        taken(BY_NAME["users.create"], {}, sent)
    assert refused.value.status == status
    told = json.loads(refused.value.response().body)
    assert told["status"] == status
    assert told["detail"]


def test_a_field_of_the_path_stands_only_there() -> None:
    with pytest.raises(Problem):
        taken(BY_NAME["users.put"], {"jid": "a@x"}, request({"jid": "b@x"}))


def test_numbers_come_in_the_query_as_text() -> None:
    given: Any = taken(BY_NAME["users.list"], {}, request(query={"domain": "x", "limit": "7"}))
    assert given.limit == 7
    for limit in ("0", "501", "many"):
        with pytest.raises(Problem):
            taken(BY_NAME["users.list"], {}, request(query={"domain": "x", "limit": limit}))


def test_the_document_is_sound() -> None:
    document = json.loads(json.dumps(openapi(TABLE)))
    assert document["openapi"] == "3.1.0"
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len(operations) == len({one["operationId"] for one in operations}) == len(TABLE)
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [one for inner in value.values() for one in references(inner)]
    return [one for inner in value for one in references(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    ("verb", "scopes", "allowed"),
    [
        ("users.list", {"read"}, True),
        ("users.list", {"users"}, True),
        ("users.create", {"read"}, False),
        ("users.create", {"sessions"}, False),
        ("users.create", {"all"}, True),
        ("tokens.list", {"read"}, False),
        ("tokens.create", {"users", "cluster"}, False),
        ("statistics.get", {"read"}, True),
    ],
)
def test_scopes(verb: str, scopes: set[str], allowed: bool) -> None:
    assert BY_NAME[verb].allowed(frozenset(scopes)) is allowed


def test_a_secret_is_kept_as_a_digest_only() -> None:
    secret = tokens.made()
    assert secret.startswith(tokens.PREFIX)
    kept = tokens.digest(secret)
    assert kept is not None
    assert len(kept) == 32
    for wrong in ("", "x", secret + "x", secret[:-1], f"other{secret}"):
        assert tokens.digest(wrong) != kept


def test_when_a_token_ends() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert tokens.parse_expiry("", now) is None
    assert tokens.parse_expiry("30d", now) == now + timedelta(days=30)
    assert tokens.parse_expiry("2027-01-31", now) == datetime(2027, 1, 31, tzinfo=UTC)
    for wrong in ("0d", "x", "2025-01-01", "9999y", "30"):
        with pytest.raises(Invalid):
            tokens.parse_expiry(wrong, now)


def test_commands_of_ejabberd_take_their_arguments_by_name() -> None:
    given: Any = read(COMMANDS["register"], request({"user": "a", "host": "x", "password": "p"}))
    assert (given.user, given.host, given.password) == ("a", "x", "p")
    message: Any = read(
        COMMANDS["send_message"], request({"from": "x", "to": "a@x", "body": "hi", "type": "chat"})
    )
    assert message.from_ == "x"
    with pytest.raises(Problem):
        read(COMMANDS["register"], request({"user": "a"}))
    for command in COMMANDS.values():
        assert command.scope in SCOPES

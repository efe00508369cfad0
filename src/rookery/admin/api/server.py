"""The API of one process: a request comes in, a verb is done, and one log line tells who did it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog
import trio

from rookery.admin.api import ejabberd, problems
from rookery.admin.api.access import Access, address_of, certificate_of, forbidden
from rookery.admin.api.document import openapi
from rookery.admin.api.problems import Problem
from rookery.admin.api.reading import taken
from rookery.admin.api.routing import ROOT, Router
from rookery.admin.desk import Desk, NodeDesk
from rookery.admin.errors import VerbError
from rookery.admin.tokens import Token
from rookery.admin.verb import Made
from rookery.admin.verbs import TABLE
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.observe.exchange import Request, Response

_log = structlog.get_logger()
_JSON: Final = "application/json"
#: A call takes no longer; many users with their keys need the most.
CALL_SECONDS: Final = 60.0
DOCUMENT: Final = f"{ROOT}/openapi.json"


class Call:
    """What one request is, for the log: never what is in its body."""

    __slots__ = ("operator", "target", "verb")

    def __init__(self) -> None:
        self.operator = ""
        self.verb = ""
        self.target = ""


class Api:
    """Answers what begins with /api/. `desk(operator)` gives what verbs work with."""

    def __init__(self, node: Node, desk: Callable[[str], Desk] | None = None) -> None:
        self._desk = desk or (lambda operator: NodeDesk(node, operator))
        self._access = Access(node.config.admin, time.monotonic)
        self._router = Router(TABLE)
        self._document = msgspec.json.encode(openapi(TABLE))

    async def __call__(self, request: Request) -> Response:
        """The answer to a request. Never raises for what the client does."""
        began, call = time.monotonic(), Call()
        try:
            with trio.fail_after(CALL_SECONDS):
                response = await self._answer(request, call)
        except Problem as problem:
            response = problem.response()
        except VerbError as error:
            response = problems.of_verb(error).response()
        except (DatabaseUnavailable, trio.TooSlowError) as error:
            detail = str(error) or "it took too long; a part may be done"
            response = Problem(503, "unavailable", detail, (("Retry-After", "1"),)).response()
        except Exception:
            _log.exception("admin_call_failed", verb=call.verb)
            response = Problem(
                500, "internal", "this is a fault of the server; its log tells more"
            ).response()
        _log.info(
            "admin_call",
            operator=call.operator,
            verb=call.verb or request.method,
            target=call.target,
            status=response.status,
            address=address_of(request),
            ms=round((time.monotonic() - began) * 1000, 1),
            certificate=certificate_of(request),
        )
        return response

    async def _answer(self, request: Request, call: Call) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        path = request.target.partition("?")[0]
        token = await self._access.token(self._desk("?"), request)
        call.operator = f"token {token.name}"
        desk = self._desk(f"token {token.name}@{address_of(request) or '?'}")
        if path == DOCUMENT and method == "GET":
            call.verb = "document"
            return Response(body=self._document, content_type=_JSON)
        command = path.removeprefix(f"{ROOT}/")
        if command in ejabberd.COMMANDS:
            call.verb = f"ejabberd {command}"
            return await self._command(desk, token, command, request, call)
        match = self._router.find(method, request.target)
        call.verb, call.target = match.verb.name, " ".join(match.fields.values())
        self._access.allow(token, match.verb)
        given = taken(match.verb, match.fields, request)
        return _answered(await match.verb.does(desk, given))

    async def _command(self, desk: Desk, token: Token, name: str, request: Request, call: Call) -> Response:
        if request.method not in ("POST", "GET"):
            raise Problem(405, "method-not-allowed", "this path allows POST", (("Allow", "POST"),))
        command = ejabberd.COMMANDS[name]
        if not {"all", command.scope} & token.scopes and not (command.reads and "read" in token.scopes):
            raise forbidden(command.scope)
        given = ejabberd.read(command, request)
        call.target = ejabberd.target(given)
        return Response(body=msgspec.json.encode(await command.does(desk, given)), content_type=_JSON)


def _answered(answer: Any) -> Response:
    if answer is None:
        return Response(204)
    made = isinstance(answer, Made)
    body = msgspec.json.encode(answer.answer if made else answer)
    return Response(201 if made else 200, body, _JSON, (("Cache-Control", "no-store"),))

"""The pages of one process: a request comes in, somebody is logged in or not, a page is made."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote

import structlog
import trio

from rookery.admin import tokens
from rookery.admin.api import problems
from rookery.admin.api.access import Access, address_of, certificate_of
from rookery.admin.api.problems import Problem
from rookery.admin.api.reading import fit
from rookery.admin.desk import Desk, NodeDesk
from rookery.admin.errors import VerbError
from rookery.admin.tokens import Token
from rookery.admin.web import login
from rookery.admin.web.login import PATH, Login
from rookery.admin.web.pages import PAGES
from rookery.admin.web.rendering import HEADERS, STYLE, page
from rookery.admin.web.visit import DONE, Moved, Page, Visit
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.db.secrets import shared_secrets
from rookery.shared.observe.exchange import Request, Response

_log = structlog.get_logger()
_HTML: Final = "text/html; charset=utf-8"
#: The purpose of the secret that seals cookies and forms.
PURPOSE: Final = "admin pages"
CALL_SECONDS: Final = 60.0
_ROUTES: Final = tuple(
    (one, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", one.path) + r"\Z")) for one in PAGES
)


class _Known(NamedTuple):
    """Somebody who is logged in."""

    login: Login
    token: Token
    seal: str


class Site:
    """Answers what begins with /admin. `desk(operator)` gives what pages work with."""

    def __init__(self, node: Node, desk: Callable[[str], Desk] | None = None) -> None:
        self._desk = desk or (lambda operator: NodeDesk(node, operator))
        self._access = Access(node.config.admin, time.monotonic)
        self._node = node
        self._secrets: Sequence[bytes] = ()

    async def __call__(self, request: Request) -> Response:
        """The answer to a request. Never raises for what the client does."""
        path = request.target.partition("?")[0]
        if path == f"{PATH}style.css":
            return _plain(STYLE, "text/css; charset=utf-8")
        if path + "/" == PATH:
            return _moved(PATH)
        called, known = ["", ""], None
        try:
            with trio.fail_after(CALL_SECONDS):
                if not self._secrets:
                    self._secrets = await shared_secrets(self._node.db, PURPOSE)
                known = await self._known(request)
                response = await self._answer(request, path, known, called)
        except Problem as problem:
            response = _problem(problem, known)
        except VerbError as error:
            response = _problem(problems.of_verb(error), known)
        except (DatabaseUnavailable, trio.TooSlowError) as error:
            response = _problem(Problem(503, "unavailable", str(error) or "it took too long"), known)
        except Exception:
            _log.exception("admin_call_failed", verb=called[0])
            response = _problem(
                Problem(500, "internal", "this is a fault of the server; its log tells more"), known
            )
        if called[0] and (request.method == "POST" or response.status >= 400 or called[0] != "page overview"):
            _log.info(
                "admin_call",
                operator=f"token {known.token.name}" if known else "",
                verb=called[0],
                target=called[1],
                status=response.status,
                address=address_of(request),
                certificate=certificate_of(request),
            )
        return response

    async def _answer(self, request: Request, path: str, known: _Known | None, called: list[str]) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if path == f"{PATH}login":
            called[0] = "page login" if method == "POST" else ""
            return await self._login(request, known, called)
        if known is None:
            if method == "GET":
                return _moved(f"{PATH}login")
            raise Problem(401, "unauthorized", "log in first")
        if path == f"{PATH}logout" and method == "POST":
            self._checked(request, known)
            return _moved(f"{PATH}login", login.set_cookie("", secure=_secure(request)))
        found, fields = _route(method, path)
        called[:] = f"page {found.name}", " ".join(fields.values())
        form = self._checked(request, known) if method == "POST" else {}
        if not found.allowed(known.token.scopes):
            raise Problem(403, "forbidden", f"this token lacks the scope {found.scope}")
        if not fit({**request.query, **fields, **form}):
            raise Problem(400, "invalid", "text has no control characters (XML 1.0 section 2.2)")
        desk = self._desk(f"token {known.token.name}@{address_of(request) or '?'}")
        shown = await found.does(Visit(desk, known.token, fields, request.query, form))
        if isinstance(shown, Moved):
            sign = "&" if "?" in shown.to else "?"
            return _moved(f"{PATH}{shown.to}{sign}done={shown.done}")
        return _page(
            shown.template, {**shown.values, "path": path}, known, DONE.get(request.query.get("done", ""), "")
        )

    async def _known(self, request: Request) -> _Known | None:
        """Who is logged in: the token that the cookie names, if it is still the one that was shown."""
        found = login.read(self._secrets, login.cookie_of(request.headers), time.time())
        if found is None:
            return None
        token = await tokens.find(self._desk("?"), found.name)
        if token is None or _micros(token) != found.made:
            return None
        return _Known(found, token, found.form(self._secrets[0]))

    async def _login(self, request: Request, known: _Known | None, called: list[str]) -> Response:
        if request.method in ("GET", "HEAD"):
            return _moved(PATH) if known else _page("login.html", {"path": ""}, None)
        if login.foreign(request.headers):
            raise Problem(403, "forbidden", "another site has sent this form")
        secret = _form(request).get("token", "").strip()
        shown = request._replace(headers={**request.headers, "authorization": f"Bearer {secret}"})
        token = await self._access.token(self._desk("?"), shown)
        called[1] = token.name
        fresh = Login(token.name, _micros(token), int(time.time()), secrets.token_hex(8))
        return _moved(PATH, login.set_cookie(fresh.cookie(self._secrets[0]), secure=_secure(request)))

    def _checked(self, request: Request, known: _Known) -> dict[str, str]:
        """The fields of a form that this login was given. Raises Problem for one that another site made."""
        form = _form(request)
        if login.foreign(request.headers) or not known.login.fits(self._secrets, form.pop("seal", "")):
            raise Problem(
                403, "forbidden", "this form is too old, or another site has sent it: load the page again"
            )
        return form


def _route(method: str, path: str) -> tuple[Page, dict[str, str]]:
    """The page of a path. Raises Problem: 404, 405."""
    there = False
    for one, pattern in _ROUTES:
        if (match := pattern.match(path)) is not None:
            there = True
            if one.method == method:
                return one, {name: unquote(value) for name, value in match.groupdict().items()}
    if there:
        raise Problem(405, "method-not-allowed", "this page does not do that")
    raise Problem(404, "not-found", "there is no such page")


def _form(request: Request) -> dict[str, str]:
    """The fields of a form (URL-encoded). Raises Problem."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem(415, "unsupported-media-type", "send a form")
    try:
        return dict(parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise Problem(400, "invalid", "this is no form") from None


def _micros(token: Token) -> int:
    return round(token.created.timestamp() * 1_000_000)


def _secure(request: Request) -> bool:
    """Whether the browser speaks TLS, with us or with the proxy before us."""
    return request.secure or request.headers.get("x-forwarded-proto", "") == "https"


def _plain(body: bytes, kind: str) -> Response:
    return Response(200, body, kind, HEADERS)


def _moved(to: str, *headers: tuple[str, str]) -> Response:
    return Response(303, b"", _HTML, (("Location", to), *headers, *HEADERS))


def _problem(problem: Problem, known: _Known | None) -> Response:
    values = {"status": problem.status, "detail": str(problem), "path": ""}
    retry = tuple((name, value) for name, value in problem.headers if name == "Retry-After")
    return _page("problem.html", values, known)._replace(status=problem.status, headers=(*retry, *HEADERS))


def _page(template: str, values: Mapping[str, Any], known: _Known | None, done: str = "") -> Response:
    around = {
        "token": known.token if known else None,
        "seal": known.seal if known else "",
        "done": done,
        "may": (lambda scope: bool({"all", scope} & known.token.scopes)) if known else (lambda scope: False),
    }
    return Response(200, page(template, {**around, **values}), _HTML, HEADERS)

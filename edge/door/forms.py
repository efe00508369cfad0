"""What the pages with forms share: who may fill one in, how it is read, and what its parts look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from rookery.edge.context import Context
from rookery.edge.door.document import FORM_HEADERS, document
from rookery.shared.net.http import HttpConnection
from rookery.shared.observe.exchange import Request, Response

_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 10
#: Characters of a value.
LONGEST: Final = 1023


class RefusedError(Exception):
    """A form that cannot be taken as it is; the text is a condition, and `username` what was filled in."""

    def __init__(self, condition: str, username: str = "") -> None:
        super().__init__(condition)
        self.condition = condition
        self.username = username


class Source(NamedTuple):
    """From where a request comes: the client's address, whether over TLS, whether one of our proxies speaks for it."""

    host: str
    secure: bool
    proxied: bool


class FormDoor:
    """`hosted` names the domain of a Host header, "" for none; `source` refuses what came in the clear."""

    def __init__(
        self,
        context: Context,
        hosted: Callable[[str], str],
        source: Callable[[Request, HttpConnection], Source | Response],
    ) -> None:
        self._context = context
        self._hosted = hosted
        self._source = source

    def _allowed(self, request: Request, client: HttpConnection) -> tuple[str, str] | Response:
        """The domain, and the client's address."""
        source = self._source(request, client)
        if isinstance(source, Response):
            return source
        domain = self._hosted(request.headers.get("host", ""))
        return (domain, source.host) if domain else Response(404, b"this domain is not hosted here\n")

    def _blocked(self, host: str) -> bool:
        """Whether too many guesses came from the address."""
        context = self._context
        return host not in context.exempt and context.failures.blocked(host, context.reactor.clock())

    def _guessed(self, host: str) -> None:
        """A guess came from the address."""
        context = self._context
        if host not in context.exempt:
            context.failures.add(host, context.reactor.clock())


def no_form(request: Request) -> Response | None:
    """The refusal of a request that sends no form."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return Response(415, b"send the form of this page\n")
    return None


def fields(body: bytes) -> dict[str, str]:
    """What was filled in, the first of each name. Raises RefusedError."""
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise RefusedError("") from None
    return {name: values[0] for name, values in found.items()}


def filled_username(said: dict[str, str]) -> str:
    """The username as it was filled in, a whole address perhaps."""
    return said.get("username", "").strip()[:LONGEST]


def username_field(id: str, label: str, value: str) -> str:
    """The field for a username; `value` is HTML already."""
    return (
        f'<label for="{id}">{label}</label>'
        f'<input id="{id}" name="username" value="{value}" autocomplete="username" autocapitalize="none" spellcheck="false" required>'
    )


def password_field(id: str, name: str, label: str, complete: str) -> str:
    """The field for a password."""
    return f'<label for="{id}">{label}</label><input id="{id}" name="{name}" type="password" autocomplete="{complete}" required>'


def answered(status: int, lang: str, title: str, body: str) -> Response:
    """A page; `title` and `body` are HTML already."""
    return Response(status, document(lang, title, body), "text/html; charset=utf-8", FORM_HEADERS)

"""Serves the page where people make an account: what is sent there goes to the account worker, under the limits of XEP-0077."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rookery.edge.context import Context
from rookery.edge.door import joining_page
from rookery.edge.door.account_door import Source
from rookery.edge.door.joining_page import RefusedError
from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import Kind, Register
from rookery.shared.net.http import Answer, HttpConnection
from rookery.shared.observe.exchange import Request, Response
from rookery.shared.xmpp.errors import StanzaError


class JoiningDoor:
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

    def get(self, request: Request, client: HttpConnection) -> Answer:
        """The form, where the domain lets everybody in or an invitation is shown; whether that holds is found out later."""
        found = self._allowed(request, client)
        if isinstance(found, Response):
            return found
        domain, _ = found
        token = request.query.get("t", "")
        host = self._context.policy.find(domain)
        closed = not token and (host is None or not host.registration)
        language = request.headers.get("accept-language", "")
        return joining_page.page(domain, language, token, RefusedError("not-allowed") if closed else None)

    def post(self, request: Request, client: HttpConnection) -> Answer | None:
        """A form that was filled in."""
        found = self._allowed(request, client)
        if isinstance(found, Response):
            return found
        domain, host = found
        language = request.headers.get("accept-language", "")
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return Response(403, b"another site has sent this form\n")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != joining_page.FORM:
            return Response(415, b"send the form of this page\n")
        context = self._context
        if host not in context.exempt and context.failures.blocked(host, context.reactor.clock()):
            return joining_page.page(domain, language, "", RefusedError("resource-constraint"))
        try:
            asked = joining_page.read(request.body, domain, host)
        except RefusedError as refused:
            return joining_page.page(domain, language, _token(request), refused)
        context.spawn(partial(self._make, asked, language, client))
        return None

    def _allowed(self, request: Request, client: HttpConnection) -> tuple[str, str] | Response:
        """The domain, and the client's address."""
        source = self._source(request, client)
        if isinstance(source, Response):
            return source
        domain = self._hosted(request.headers.get("host", ""))
        return (domain, source.host) if domain else Response(404, b"this domain is not hosted here\n")

    async def _make(self, asked: Register, language: str, client: HttpConnection) -> None:
        context = self._context
        account = f"{asked.username}@{asked.domain}"
        condition = ""
        try:
            await context.bus.call(Kind.ACCOUNT, context.sessions.partition(account), asked)
        except BusTimeout:
            pass
        except StanzaError as error:
            condition = (
                "waits" if error.type == "wait" and error.condition == "not-allowed" else error.condition
            )
            if asked.token and condition == "not-allowed" and asked.ip not in context.exempt:
                # Whoever guesses tokens is as one who guesses passwords.
                context.failures.add(asked.ip, context.reactor.clock())
        else:
            client.reply(joining_page.done(asked.domain, language, asked))
            return
        refused = RefusedError(condition, asked.username)
        client.reply(joining_page.page(asked.domain, language, asked.token, refused))


def _token(request: Request) -> str:
    """The invitation of a form that could not be taken."""
    return next(
        (part[2:].decode("ascii", "ignore") for part in request.body.split(b"&") if part.startswith(b"t=")),
        "",
    )[:200]

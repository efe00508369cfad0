"""Serves the page of accounts: what is sent there goes to the account worker, which checks the password."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from rookery.edge.context import Context
from rookery.edge.door import account_page
from rookery.edge.door.account_page import RefusedError
from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import ChangeAccount, Kind
from rookery.shared.net.http import Answer, HttpConnection
from rookery.shared.observe.exchange import Request, Response
from rookery.shared.xmpp.errors import StanzaError


class Source(NamedTuple):
    """From where a request comes: the client's address, whether over TLS, whether one of our proxies speaks for it."""

    host: str
    secure: bool
    proxied: bool


class AccountDoor:
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
        """The forms."""
        found = self._allowed(request, client)
        if isinstance(found, Response):
            return found
        return account_page.page(found[0], request.headers.get("accept-language", ""))

    def post(self, request: Request, client: HttpConnection) -> Answer | None:
        """A form that was filled in."""
        found = self._allowed(request, client)
        if isinstance(found, Response):
            return found
        domain, host = found
        lang = request.headers.get("accept-language", "")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != account_page.FORM:
            return Response(415, b"send the form of this page\n")
        context = self._context
        if host not in context.exempt and context.failures.blocked(host, context.reactor.clock()):
            return account_page.page(domain, lang, RefusedError("resource-constraint"))
        try:
            asked = account_page.read(request.body, domain, host)
        except RefusedError as refused:
            return account_page.page(domain, lang, refused)
        context.spawn(partial(self._change, asked, domain, lang, client))
        return None

    def _allowed(self, request: Request, client: HttpConnection) -> tuple[str, str] | Response:
        """The domain, and the client's address."""
        source = self._source(request, client)
        if isinstance(source, Response):
            return source
        domain = self._hosted(request.headers.get("host", ""))
        return (domain, source.host) if domain else Response(404, b"this domain is not hosted here\n")

    async def _change(self, asked: ChangeAccount, domain: str, lang: str, client: HttpConnection) -> None:
        context = self._context
        name = asked.account.partition("@")[0]
        try:
            await context.bus.call(Kind.ACCOUNT, context.sessions.partition(asked.account), asked)
        except BusTimeout:
            client.reply(account_page.page(domain, lang, RefusedError("", name)))
        except StanzaError as error:
            if error.condition == "not-authorized" and asked.address not in context.exempt:
                context.failures.add(asked.address, context.reactor.clock())
            client.reply(account_page.page(domain, lang, RefusedError(error.condition, name)))
        else:
            client.reply(account_page.done(domain, lang, asked))

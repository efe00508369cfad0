"""Serves the page of accounts: what is sent there goes to the account worker, which checks the password."""

from __future__ import annotations

from functools import partial

from rookery.edge.door import account_page
from rookery.edge.door.forms import FormDoor, RefusedError, no_form
from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import ChangeAccount, Kind
from rookery.shared.net.http import Answer, HttpConnection
from rookery.shared.observe.exchange import Request, Response
from rookery.shared.xmpp.errors import StanzaError


class AccountDoor(FormDoor):
    """See the module's text."""

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
        if (refusal := no_form(request)) is not None:
            return refusal
        if self._blocked(host):
            return account_page.page(domain, lang, RefusedError("resource-constraint"))
        try:
            asked = account_page.read(request.body, domain, host)
        except RefusedError as refused:
            return account_page.page(domain, lang, refused)
        self._context.spawn(partial(self._change, asked, domain, lang, client))
        return None

    async def _change(self, asked: ChangeAccount, domain: str, lang: str, client: HttpConnection) -> None:
        context = self._context
        name = asked.account.partition("@")[0]
        try:
            await context.bus.call(Kind.ACCOUNT, context.sessions.partition(asked.account), asked)
        except BusTimeout:
            client.reply(account_page.page(domain, lang, RefusedError("", name)))
        except StanzaError as error:
            if error.condition == "not-authorized":
                self._guessed(asked.address)
            client.reply(account_page.page(domain, lang, RefusedError(error.condition, name)))
        else:
            client.reply(account_page.done(domain, lang, asked))

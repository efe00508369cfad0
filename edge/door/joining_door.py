"""Serves the page where people make an account: what is sent there goes to the account worker, under the limits of XEP-0077."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from rookery.edge.door import joining_page
from rookery.edge.door.forms import FormDoor, RefusedError, fields, no_form
from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import AskPuzzle, Kind, Puzzled, Register
from rookery.shared.net.http import Answer, HttpConnection
from rookery.shared.observe.exchange import Request, Response
from rookery.shared.xeps import captcha
from rookery.shared.xmpp.errors import StanzaError


class _Shown(NamedTuple):
    """What a page is made of (`joining_page.page`)."""

    domain: str
    language: str
    token: str
    refused: RefusedError | None = None


class JoiningDoor(FormDoor):
    """See the module's text."""

    def get(self, request: Request, client: HttpConnection) -> Answer | None:
        """The form, where the domain lets everybody in or an invitation is shown; whether that holds is found out later."""
        found = self._allowed(request, client)
        if isinstance(found, Response):
            return found
        domain, _ = found
        token = request.query.get("t", "")
        host = self._context.policy.find(domain)
        closed = not token and (host is None or not host.registration)
        language = request.headers.get("accept-language", "")
        if closed:
            return joining_page.page(domain, language, token, RefusedError("not-allowed"))
        return self._page(_Shown(domain, language, token), client)

    def post(self, request: Request, client: HttpConnection) -> Answer | None:
        """A form that was filled in."""
        found = self._allowed(request, client)
        if isinstance(found, Response):
            return found
        domain, host = found
        language = request.headers.get("accept-language", "")
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return Response(403, b"another site has sent this form\n")
        if (refusal := no_form(request)) is not None:
            return refusal
        if self._blocked(host):
            return joining_page.page(domain, language, "", RefusedError("resource-constraint"))
        try:
            asked = joining_page.read(request.body, domain, host)
        except RefusedError as refused:
            return self._page(_Shown(domain, language, _token(request.body), refused), client)
        self._context.spawn(partial(self._make, asked, language, client))
        return None

    def _page(self, shown: _Shown, client: HttpConnection) -> Response | None:
        """The form, or None when it is sent later, with what the domain asks; whoever was invited is no stranger."""
        hosted = self._context.policy.find(shown.domain)
        if hosted is None or not hosted.puzzles or shown.token:
            return joining_page.page(*shown)
        self._context.spawn(partial(self._ask, shown, client))
        return None

    async def _ask(self, shown: _Shown, client: HttpConnection) -> None:
        context = self._context
        try:
            puzzle = await context.bus.call(
                Kind.ACCOUNT, context.sessions.partition(shown.domain), AskPuzzle(shown.domain)
            )
        except (BusTimeout, StanzaError):
            client.reply(joining_page.page(*shown._replace(refused=RefusedError(""))))
            return
        assert isinstance(puzzle, Puzzled)
        client.reply(joining_page.page(*shown, captcha.Puzzle(*puzzle)))

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
            if error.app == captcha.REFUSED:
                condition = "unanswered"
            if condition == "unanswered" or (asked.token and condition == "not-allowed"):
                # Whoever guesses tokens or answers is as one who guesses passwords.
                self._guessed(asked.ip)
        else:
            client.reply(joining_page.done(asked.domain, language, asked))
            return
        refused = RefusedError(condition, asked.username)
        page = self._page(_Shown(asked.domain, language, asked.token, refused), client)
        if page is not None:
            client.reply(page)


def _token(body: bytes) -> str:
    """The invitation of a form that could not be taken."""
    try:
        return fields(body).get("t", "")[:200]
    except RefusedError:
        return ""

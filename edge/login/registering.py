"""Registration before authentication (XEP-0077 section 3.1): a client makes its account on the stream that it will use. A pure machine.

Where registration is closed, a client first shows the token of an invitation (XEP-0445). Where the domain asks people something, the form
has it (XEP-0158): an account worker makes it up and looks at the answer; whoever was invited is not asked.
"""

from __future__ import annotations

from typing import Final

from rookery.edge.login.answering import Answering
from rookery.edge.login.effects import AskForm, AskInvited, AskRegister, Effect, Wait
from rookery.edge.login.stream import Stream
from rookery.shared.xeps import captcha, data_forms, preauth_registration, registration
from rookery.shared.xeps.captcha import Puzzle
from rookery.shared.xmpp.errors import JidError, StanzaError, StreamError
from rookery.shared.xmpp.jid import prepare_local
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event
from rookery.shared.xmpp.xml import Element

_FIELDS: Final = ("username", "password", "email")


class Registering:
    """Registrations of one stream."""

    __slots__ = ("_request", "_shown", "_stream", "_token", "_waited")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._request = Answering(stream)
        self._waited = False
        #: The token that was shown last, and the one that was good: it stays so on this stream (XEP-0445 section 4).
        self._shown = ""
        self._token = ""

    def stanza(self, event: Event) -> list[Effect]:
        """A stanza before authentication: anything but a registration is a stream error."""
        assert isinstance(event, Stanza)
        stream = self._stream
        assert stream.host is not None
        wanted = event.kind == "iq" and event.id and stream.security.may_authenticate
        if wanted and stream.policy.invitations and event.has(preauth_registration.NS, "preauth"):
            return self._preauth(event)
        may = stream.host.registration or self._token
        if not (wanted and event.has(registration.NS, "query") and may):
            raise StreamError("not-authorized")
        if event.type == "get":
            self._request.begin(event)
            if not self._asks:
                return self._form(registration.blank_form(stream.policy.instructions))
            stream.asking = True
            return [AskForm(stream.domain)]
        if event.type != "set":
            raise StreamError("not-authorized")
        self._request.begin(event)
        query = event.find(registration.NS, "query")
        assert query is not None
        username, password, email, answer = _filled(query)
        if not username or not password:
            return self.registered(StanzaError("not-acceptable", "a username and a password are required"))
        try:
            username = prepare_local(username)
        except JidError:
            return self.registered(StanzaError("jid-malformed"))
        stream.asking = True
        account = f"{username}@{stream.domain}"
        return [AskRegister(account, stream.domain, username, password, email, self._token, answer)]

    @property
    def _asks(self) -> bool:
        """Whether the form asks something; whoever was invited is no stranger."""
        host = self._stream.host
        return host is not None and host.puzzles and not self._token

    def _form(self, form: Element) -> list[Effect]:
        sent = self._request.answer(None, form, from_=self._stream.domain)
        if not self._waited:
            # Once: a client that asks again and again is not waited for any longer.
            self._waited = True
            sent.append(Wait(self._stream.policy.form_seconds))
        return sent

    def asked(self, puzzle: Puzzle | StanzaError) -> list[Effect]:
        """The answer to AskForm."""
        if isinstance(puzzle, StanzaError):
            return self._request.answer(puzzle)
        stream, iq = self._stream, self._request.id
        fields = captcha.fields(puzzle, stream.domain, iq) if puzzle.id else ()
        return self._form(registration.asking_form(stream.policy.instructions, fields))

    def _preauth(self, event: Stanza) -> list[Effect]:
        stream = self._stream
        element = event.find(preauth_registration.NS, "preauth")
        if event.type != "set" or element is None:
            raise StreamError("not-authorized")
        self._request.begin(event)
        self._shown = element.get("token") or ""
        if not self._shown:
            return self.invited(StanzaError("bad-request", "there is no token"))
        stream.asking = True
        return [AskInvited(stream.domain, self._shown)]

    def invited(self, error: StanzaError | None) -> list[Effect]:
        """The answer to AskInvited: with a good token an account may be made on this stream."""
        if error is not None:
            return self._request.answer(error)
        self._token = self._shown
        return [*self._request.answer(None), Wait(self._stream.policy.form_seconds)]

    def registered(self, error: StanzaError | None) -> list[Effect]:
        """The answer to AskRegister."""
        return self._request.answer(error)


def _filled(query: Element) -> tuple[str, str, str, captcha.Answer]:
    """What was filled in: the data form where there is one (XEP-0077 section 4), else the elements."""
    form = query.find(data_forms.NS, "x")
    if form is None or form.get("type") != "submit":
        said = [query.find_text(registration.NS, name) or "" for name in _FIELDS]
        return said[0], said[1], said[2], captcha.Answer()
    values = data_forms.values(form)
    said = [next(iter(values.get(name, ())), "") for name in _FIELDS]
    return said[0], said[1], said[2], captcha.answer(values)

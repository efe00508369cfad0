"""Registration before authentication (XEP-0077 section 3.1): a client makes its account on the stream that it will use. A pure machine.

Where registration is closed, a client first shows the token of an invitation (XEP-0445).
"""

from __future__ import annotations

from rookery.edge.login.answering import Answering
from rookery.edge.login.effects import AskInvited, AskRegister, Effect, Send, Wait
from rookery.edge.login.stream import Stream
from rookery.shared.xeps import preauth_registration, registration
from rookery.shared.xmpp.errors import JidError, StanzaError, StreamError
from rookery.shared.xmpp.jid import prepare_local
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event


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
            form = registration.blank_form(stream.policy.instructions)
            answer = Stanza.build("iq", form, type="result", id=event.id, from_=stream.domain)
            sent: list[Effect] = [Send(stream.framing.stanza(answer))]
            if not self._waited:
                # Once: a client that asks again and again is not waited for any longer.
                self._waited = True
                sent.append(Wait(stream.policy.form_seconds))
            return sent
        if event.type != "set":
            raise StreamError("not-authorized")
        self._request.begin(event)
        query = event.find(registration.NS, "query")
        assert query is not None
        username = query.find_text(registration.NS, "username") or ""
        password = query.find_text(registration.NS, "password") or ""
        email = query.find_text(registration.NS, "email") or ""
        if not username or not password:
            return self.registered(StanzaError("not-acceptable", "a username and a password are required"))
        try:
            username = prepare_local(username)
        except JidError:
            return self.registered(StanzaError("jid-malformed"))
        stream.asking = True
        return [
            AskRegister(f"{username}@{stream.domain}", stream.domain, username, password, email, self._token)
        ]

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

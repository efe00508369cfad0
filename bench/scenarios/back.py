"""Coming back in one step: TLS by a ticket (RFC 8446), a token (FAST, XEP-0484), the former stream (XEP-0198), else a resource (XEP-0386).

The connection is cut without a word, as by a phone that lost its network. Everything that a client says goes out at once; the
preparation gets the tokens with SCRAM.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from base64 import b64decode, b64encode

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.login import first_stream
from rookery.bench.driver.scram import ScramClient, ScramError
from rookery.bench.driver.script import Note, OpenStream, Script, ScriptError, Send, condition_of, receive
from rookery.bench.scenarios._scenario import Window
from rookery.bench.scenarios.resume import SM, Managed, Resume
from rookery.shared.xmpp.xml import Element, escape_attr

SASL2 = "urn:xmpp:sasl:2"
FAST = "urn:xmpp:fast:0"
_BIND = f"<bind xmlns='urn:xmpp:bind:0'><tag>bench</tag><enable xmlns='{SM}' resume='true'/></bind>"


class Token(Managed):
    """What a client keeps: its stream, its name, and the token that lets it in."""

    __slots__ = ("agent", "token")

    def __init__(self) -> None:
        super().__init__("")
        self.agent = str(uuid.uuid4())
        self.token = ""


class Back(Resume):
    """`back` lasts from the cut to `<success/>`."""

    operation = "back"
    parts = ("connect", "tls")
    summary = "XEP-0484: cut connections come back with a ticket, a token and the former stream, all at once."
    tickets = True

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._short = self._anew = self._all = 0

    def login(self, client: Client) -> Script:
        """SCRAM in SASL2, a token, a resource that can be resumed."""
        driver = self.driver
        yield from first_stream(driver.target.starttls)
        hold = client.hold = Token()
        account = client.session.account
        name = "SCRAM-SHA-256"
        scram = ScramClient(name, account.localpart, account.password, secrets.token_hex(12), driver.keys)
        ask = f"<request-token xmlns='{FAST}' mechanism='HT-SHA-256-NONE'/>{_BIND}"
        yield _authenticate(hold, name, scram.first(), ask)
        try:
            challenge = yield from receive()
            if challenge.name != "challenge":
                raise ScriptError(condition_of(challenge))
            reply = b64encode(scram.final(b64decode(challenge.text))).decode()
            yield Send(f"<response xmlns='{SASL2}'>{reply}</response>".encode())
            success = yield from receive()
            _learn(client, hold, success)
            scram.check(b64decode(success.find_text(SASL2, "additional-data") or ""))
        except (ScramError, ValueError) as error:
            raise ScriptError("scram", str(error)) from None
        yield from receive()  # the features
        if not hold.token:
            raise ScriptError("no-token")

    def setup(self, client: Client) -> Script:
        """All was done with the login."""
        yield from ()

    def _script(self, client: Client, managed: Managed) -> Script:
        assert isinstance(managed, Token)
        if self.driver.target.starttls:
            yield from first_stream(True)
        else:
            yield OpenStream()
        proof = hmac.digest(managed.token.encode(), b"Initiator", "sha256")
        initial = client.session.account.localpart.encode() + b"\0" + proof
        h, previous = managed.handled % (1 << 32), escape_attr(managed.id)
        resume = f"<resume xmlns='{SM}' h='{h}' previd='{previous}'/>"
        yield _authenticate(managed, "HT-SHA-256-NONE", initial, f"<fast xmlns='{FAST}'/>{resume}{_BIND}")
        answer = yield from receive()
        while answer.name == "features":
            answer = yield from receive()
        self._all += 1
        self._short += client.short
        self._anew += _learn(client, managed, answer)
        yield Note("back")

    def begin(self, window: Window) -> None:
        """From now on."""
        self._short = self._anew = self._all = 0
        super().begin(window)

    def finish(self) -> None:
        """Say how short the ways were."""
        super().finish()
        if self._all - self._short and self.driver.target.tls is not None:
            self.driver.notes.append(
                f"{self._all - self._short} of {self._all} handshakes had no ticket that the server took"
            )
        if self._anew:
            self.driver.notes.append(
                f"{self._anew} of {self._all} began a new session instead of their former one"
            )


def _authenticate(hold: Token, mechanism: str, initial: bytes, more: str) -> Send:
    return Send(
        f"<authenticate xmlns='{SASL2}' mechanism='{mechanism}'><initial-response>{b64encode(initial).decode()}</initial-response>"
        f"<user-agent id='{hold.agent}'><software>bench</software></user-agent>{more}</authenticate>".encode()
    )


def _learn(client: Client, hold: Token, success: Element) -> bool:
    """Keep what `<success/>` brought; whether a new session began. Raises ScriptError when it is none."""
    if success.name != "success":
        raise ScriptError(condition_of(success))
    token = success.find(FAST, "token")
    if token is not None:
        hold.token = token.get("token") or ""
    if success.find(SM, "resumed") is not None:
        return False
    bound = success.find("urn:xmpp:bind:0", "bound")
    enabled = None if bound is None else bound.find(SM, "enabled")
    if enabled is None or not enabled.get("id"):
        raise ScriptError("no-resumption")
    client.session.jid = success.find_text(SASL2, "authorization-identifier") or ""
    hold.id, hold.handled = enabled.get("id") or "", 0
    return True


SCENARIO = Back

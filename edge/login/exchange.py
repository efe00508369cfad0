"""One SASL exchange of a stream (RFC 6120 section 6): a pure machine around the mechanisms of `shared.xmpp.sasl`.

The shell answers what the machine asks: `NeedCredentials` with `credentials`, `NeedCheck` (PBKDF2 takes milliseconds, so
it runs in a thread) with `checked`, `NeedLogin` with `login`, `NeedRedeem` with `redeemed`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rookery.edge.login.features import BINDING
from rookery.shared.bus.messages import Credentials, LoginChecked, LoginToken
from rookery.shared.xmpp.sasl import anonymous, ht, oauth
from rookery.shared.xmpp.sasl import external as certified
from rookery.shared.xmpp.sasl.common import SaslFailure, decode_base64
from rookery.shared.xmpp.sasl.plain import parse_plain
from rookery.shared.xmpp.sasl.scram import ScramServer, base_mechanism


class NeedCredentials(NamedTuple):
    """Ask the account worker for the keys of `account`."""

    account: str
    mechanism: str


class NeedCheck(NamedTuple):
    """Check a password against the keys, off the loop."""

    password: str
    credentials: Credentials


class Challenge(NamedTuple):
    """Send `<challenge/>` with this text."""

    text: str


class Success(NamedTuple):
    """Send `<success/>` with this text: `account` is authenticated."""

    account: str
    text: str


class NeedRedeem(NamedTuple):
    """Let the account worker check the proof of a token."""

    account: str
    proof: bytes
    binding: bytes


class NeedLogin(NamedTuple):
    """Let an account worker ask whoever keeps the passwords; `account` is "" when it follows from the secret."""

    account: str
    secret: str


Outcome = NeedCredentials | NeedCheck | NeedLogin | NeedRedeem | Challenge | Success


def encode(message: bytes) -> str:
    """Base64 as RFC 6120 section 6.4.2 wants it: "=" is an empty message that is there."""
    return b64encode(message).decode() if message else "="


class Terms(NamedTuple):
    """What an exchange has to know of its stream."""

    domain: str
    nonce: str
    binding: bytes | None
    #: The SCRAM mechanism whose keys PLAIN is checked against, unless passwords are kept elsewhere (`external`).
    keys: str
    external: bool = False
    #: What was offered, for SCRAM to sign (XEP-0474); b"" not to.
    advertised: bytes = b""
    #: The bare JIDs of the client's certificate, and which domains are ours.
    addresses: Sequence[str] = ()
    hosted: Callable[[str], bool] = bool


class Exchange:
    """One attempt. Methods raise SaslFailure, after which the exchange is over."""

    __slots__ = (
        "_bearer",
        "_binding",
        "_certified",
        "_domain",
        "_external",
        "_guest",
        "_password",
        "_refused",
        "_scram",
        "_token",
        "account",
        "mechanism",
        "missing",
        "proved",
        "started",
    )

    def __init__(self, mechanism: str, terms: Terms) -> None:
        domain, nonce, binding, keys, external, advertised, *_ = terms
        self._certified = terms if mechanism == "EXTERNAL" else None
        self._domain = domain
        self._password = ""
        self._scram: ScramServer | None = None
        self._binding = binding or b""
        self._token = ht.BINDINGS.get(mechanism)
        self._external = external
        self._bearer = mechanism == "OAUTHBEARER"
        #: What stands for a guest until it has a name, "" for all others.
        self._guest = nonce if mechanism == anonymous.NAME else ""
        #: Whether the client was told why, and the failure follows.
        self._refused = False
        self.account = ""
        #: The salt of the keys that the client has proved, b"" without.
        self.proved = b""
        #: Mechanisms that the account has no keys for.
        self.missing: Sequence[str] = ()
        #: Whether the client's first message has been seen.
        self.started = False
        if mechanism in ("PLAIN", "EXTERNAL", anonymous.NAME) or self._bearer or self._token is not None:
            self.mechanism = keys
        else:
            bindings = {} if binding is None else {BINDING: binding}
            self._scram = ScramServer(
                mechanism, domain=domain, nonce=nonce, bindings=bindings, advertised=advertised
            )
            self.mechanism = base_mechanism(mechanism)

    def message(self, text: str) -> Outcome:
        """What `<auth/>` or `<response/>` carried."""
        data = decode_base64(text)
        if self.started:
            if self._refused and data == oauth.ACKNOWLEDGED:
                raise SaslFailure("not-authorized")
            if self._scram is None:
                raise SaslFailure("malformed-request")
            return Success(self.account, encode(self._scram.final(data)))
        self.started = True
        if self._certified is not None:
            terms = self._certified
            self.account = certified.parse(data, terms.addresses, self._domain, terms.hosted)
            return NeedLogin(self.account, "")
        if self._guest:
            anonymous.check(data)
            return NeedLogin("", self._guest)
        if self._token is not None:
            self.account, proof = ht.parse(data, self._domain)
            return NeedRedeem(self.account, proof, self._binding if self._token else b"")
        if self._bearer:
            self.account, token = oauth.parse(data, self._domain)
            return NeedLogin(self.account, token) if token else self._refuse()
        if self._scram is None:
            self.account, password = parse_plain(data, self._domain)
            if self._external:
                return NeedLogin(self.account, password)
            self._password = password
        else:
            self.account = self._scram.first(data)
        return NeedCredentials(self.account, self.mechanism)

    def credentials(self, credentials: Credentials) -> Outcome:
        """The keys that were asked for."""
        self.proved = credentials.salt
        self.missing = credentials.missing
        if self._scram is None:
            password, self._password = self._password, ""
            return NeedCheck(password, credentials)
        return Challenge(encode(self._scram.challenge(credentials)))

    def _refuse(self) -> Outcome:
        """Why comes first, the failure behind the client's answer (RFC 7628 section 3.2.3)."""
        self._refused = True
        return Challenge(encode(oauth.INVALID))

    def login(self, answer: LoginChecked) -> Outcome:
        """What the keeper of the passwords said."""
        if answer.failed:
            if self._bearer and answer.failed == "not-authorized":
                return self._refuse()
            raise SaslFailure(answer.failed)
        self.account = answer.account
        return Success(answer.account, "")

    def redeemed(self, answer: LoginToken) -> Outcome:
        """What became of the token."""
        if answer.failed:
            raise SaslFailure(answer.failed)
        return Success(self.account, encode(answer.proof))

    def checked(self, right: bool) -> Outcome:
        """Whether the password was right."""
        if not right:
            raise SaslFailure("not-authorized")
        return Success(self.account, "")

"""From an open connection to a bound resource, as a script (RFC 6120 sections 5 to 7, RFC 6121 section 3).

Each phase is noted when it is over: `tls` (STARTTLS with its handshake), `auth` (first stream to the features after SASL), `bind`.
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final

from rookery.bench.driver.scram import Keys, ScramClient, ScramError
from rookery.bench.driver.script import (
    Note,
    OpenStream,
    Script,
    ScriptError,
    Send,
    StartTls,
    Step,
    ask,
    condition_of,
    receive,
)
from rookery.bench.users import Account
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.xml import Element, escape_attr

REGISTER: Final = "jabber:iq:register"
_PREFERRED: Final = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")


@dataclass(slots=True)
class Session:
    """What a login found out."""

    account: Account
    jid: str = ""
    features: frozenset[tuple[str, str]] = field(default_factory=frozenset)


def open_stream() -> Generator[Step, Element | None, Element]:
    """Open the stream and return its features. Raises ScriptError."""
    yield OpenStream()
    features = yield from receive()
    if features.name != "features":
        raise ScriptError("no-features", features.name)
    return features


def first_stream(starttls: bool) -> Generator[Step, Element | None, Element]:
    """Open the stream, with STARTTLS when asked for, and return the features to authenticate by. Raises ScriptError."""
    features = yield from open_stream()
    if starttls:
        if features.find(ns.TLS, "starttls") is None:
            raise ScriptError("no-starttls")
        yield Send(f"<starttls xmlns='{ns.TLS}'/>".encode())
        answer = yield from receive()
        if answer.name != "proceed":
            raise ScriptError("starttls-refused")
        yield StartTls()
        yield Note("tls")
        features = yield from open_stream()
    return features


def authenticate(account: Account, mechanism: str, features: Element, keys: Keys) -> Script:
    """SASL (RFC 6120 section 6) with the mechanism, or with the best on offer for "auto". Raises ScriptError."""
    holder = features.find(ns.SASL, "mechanisms")
    offered = [] if holder is None else [child.text.strip() for child in holder.elements()]
    wanted = _PREFERRED if mechanism == "auto" else (mechanism,)
    name = next((name for name in wanted if name in offered), "")
    if not name:
        raise ScriptError("no-mechanism", f"the server offers {', '.join(offered) or 'none'}")
    scram = None
    if name == "PLAIN":
        message = f"\0{account.localpart}\0{account.password}".encode()
    else:
        scram = ScramClient(name, account.localpart, account.password, secrets.token_hex(12), keys)
        message = scram.first()
    yield Send(f"<auth xmlns='{ns.SASL}' mechanism='{name}'>{b64encode(message).decode()}</auth>".encode())
    try:
        while True:
            answer = yield from receive()
            content = b64decode(answer.text) if answer.text != "=" else b""
            if answer.name == "challenge" and scram is not None:
                reply = b64encode(scram.final(content)).decode()
                yield Send(f"<response xmlns='{ns.SASL}'>{reply}</response>".encode())
            elif answer.name == "success":
                if scram is not None:
                    scram.check(content)
                return
            else:
                raise ScriptError(condition_of(answer) if answer.name == "failure" else "unexpected-request")
    except (ScramError, ValueError) as error:
        raise ScriptError("scram", str(error)) from None


def login(session: Session, resource: str, mechanism: str, starttls: bool, keys: Keys) -> Script:
    """Authenticate and bind; fills `session`. Raises ScriptError."""
    features = yield from first_stream(starttls)
    yield from authenticate(session.account, mechanism, features, keys)
    features = yield from open_stream()
    yield Note("auth")
    session.features = frozenset((child.ns, child.name) for child in features.elements())
    payload = f"<bind xmlns='{ns.BIND}'><resource>{escape_attr(resource)}</resource></bind>"
    result = yield from ask("bind", "set", payload)
    bound = result.find(ns.BIND, "bind")
    jid = None if bound is None else bound.find_text(ns.BIND, "jid")
    if not jid:
        raise ScriptError("not-bound")
    session.jid = jid
    legacy = features.find(ns.SESSION, "session")
    # RFC 3921's session; servers that only keep it for old clients mark it optional.
    if legacy is not None and legacy.find(ns.SESSION, "optional") is None:
        yield from ask("session", "set", f"<session xmlns='{ns.SESSION}'/>")
    yield Note("bind")


def register(account: Account, starttls: bool) -> Script:
    """Register an account in-band (XEP-0077 section 3.1); one that exists is left as it is. Raises ScriptError."""
    yield from first_stream(starttls)
    user, password = escape_attr(account.localpart), escape_attr(account.password)
    payload = f"<query xmlns='{REGISTER}'><username>{user}</username><password>{password}</password></query>"
    try:
        yield from ask("register", "set", payload, account.domain)
    except ScriptError as error:
        if error.condition != "conflict":
            raise
    yield Note("register")

"""The negotiation machine, driven by what the real parser makes of bytes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

import pytest

from rookery.edge.login.effects import (
    AskBind,
    AskCredentials,
    AskRegister,
    AuthEnded,
    Begin,
    CheckPassword,
    Close,
    Effect,
    Phase,
    Restart,
    Send,
    StartTls,
)
from rookery.edge.login.framing import TCP, WEBSOCKET, Framing
from rookery.edge.login.negotiation import Negotiation
from rookery.edge.policy import HostedDomain, Policy, Security
from rookery.shared.bus.messages import Bound, Credentials
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stream import FrameParser, StreamLimits, StreamParser

LIMITS = StreamLimits(10_000, 32, 8, 256)
DOMAINS = {"example.org": HostedDomain("example.org", True), "closed.example": HostedDomain("closed.example")}
POLICY = Policy(
    find=DOMAINS.get,
    fallback=lambda: "example.org",
    mechanisms=("SCRAM-SHA-256", "SCRAM-SHA-1"),
    stanza_bytes=262_144,
    preauth_bytes=10_000,
    idle_seconds=330,
    failures=3,
    instructions="Ask your gardener.",
    fast=True,
    downgrade_protection=True,
    upgrades=("SCRAM-SHA-256", "SCRAM-SHA-1", "SCRAM-SHA-512"),
)
OPEN = (
    "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'>"
)
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
KEYS = Credentials("a@example.org", True, b"salt", 4096, b"k" * 32, b"s" * 32)


def plain(user: str, password: str = "pw", authzid: str = "") -> str:
    text = b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()
    return f"<auth xmlns='{SASL}' mechanism='PLAIN'>{text}</auth>"


class Stream:
    """A machine with a parser before it and a record of what it wants."""

    def __init__(self, security: Security | None = None, framing: Framing = TCP) -> None:
        count = iter(range(1000))
        self.machine = Negotiation(
            POLICY, security or Security(secure=True, binding=b"hash"), framing, lambda: f"token{next(count)}"
        )
        self.framing = framing
        self.parser: StreamParser | FrameParser = self._parser()
        self.effects: list[Effect] = []

    def _parser(self) -> StreamParser | FrameParser:
        return FrameParser(LIMITS) if self.framing.websocket else StreamParser(LIMITS)

    def feed(self, text: str) -> str:
        """Handle `text`; returns what was written."""
        data = text.encode()
        parser = self.parser
        events = parser.feed_message(data) if isinstance(parser, FrameParser) else parser.feed(data)
        return self.take([effect for event in events for effect in self.machine.handle(event)])

    def take(self, effects: list[Effect]) -> str:
        self.effects = effects
        if any(isinstance(effect, Restart) for effect in effects):
            self.parser = self._parser()
        return b"".join(effect.data for effect in effects if isinstance(effect, Send)).decode()

    def logged_in(self) -> Stream:
        self.feed(OPEN.format("example.org"))
        self.feed(plain("a"))
        self.take(self.machine.authentication.credentials(KEYS))
        self.take(self.machine.authentication.checked(True))
        self.feed(OPEN.format("example.org"))
        return self


def want(stream: Stream, kind: type[Effect]) -> Effect:
    found = [effect for effect in stream.effects if isinstance(effect, kind)]
    assert len(found) == 1, stream.effects
    return found[0]


def error_of(stream: Stream) -> str | None:
    close = want(stream, Close)
    assert isinstance(close, Close)
    return close.error.condition if close.error else None


# --- headers ----------------------------------------------------------------------------------------------------------

HEADERS: dict[str, tuple[str, str]] = {
    "unknown host": (OPEN.format("nowhere.example"), "host-unknown"),
    "an address": (OPEN.format("127.0.0.1"), "host-unknown"),
    "a localpart": (OPEN.format("a@example.org"), "host-unknown"),
    "no to": (OPEN.format("x").replace("to='x' ", ""), "improper-addressing"),
    "no version": (
        OPEN.format("example.org").replace(" version='1.0' xmlns=", " xmlns="),
        "unsupported-version",
    ),
    "version 0.9": (
        OPEN.format("example.org").replace("version='1.0' xmlns=", "version='0.9' xmlns="),
        "unsupported-version",
    ),
    "version of other digits": (
        OPEN.format("example.org").replace("version='1.0' xmlns=", "version='１.0' xmlns="),
        "unsupported-version",
    ),
    "wrong stream namespace": (OPEN.format("example.org").replace("etherx", "evil"), "invalid-namespace"),
    "server content": (
        OPEN.format("example.org").replace("jabber:client", "jabber:server"),
        "invalid-namespace",
    ),
    "not XML": ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
    "a comment": ("<!-- x -->", "restricted-xml"),
}


@pytest.mark.parametrize(("header", "condition"), HEADERS.values(), ids=HEADERS.keys())
def test_a_wrong_header_is_answered_with_ours_and_the_error(header: str, condition: str) -> None:
    stream = Stream()
    written = stream.feed(header)
    assert error_of(stream) == condition
    assert written.startswith("<?xml version='1.0'?><stream:stream ")
    assert written.count("<stream:stream ") == 1
    assert f"<{condition} " in written
    assert written.endswith("</stream:stream>")
    assert stream.machine.stream.phase is Phase.CLOSED
    assert stream.machine.handle(stream.parser.feed(b"x") or None) == []  # type: ignore[arg-type]


def test_the_host_is_prepared_and_named_in_our_header() -> None:
    stream = Stream()
    written = stream.feed(OPEN.format("EXAMPLE.org.").replace(" to=", " from='A@Example.org' to="))
    assert "from='example.org'" in written
    assert "to='a@example.org'" in written
    assert "id='token0'" in written


def test_a_stream_that_is_closed_at_once_is_closed_in_turn() -> None:
    stream = Stream()
    stream.feed(OPEN.format("example.org"))
    assert stream.feed("</stream:stream>") == "</stream:stream>"
    assert error_of(stream) is None


# --- features ---------------------------------------------------------------------------------------------------------

CLEAR = Security(starttls=True)
FEATURES: dict[str, tuple[Security, str, list[str], list[str]]] = {
    "in clear": (CLEAR, "example.org", ["<starttls", "<required/>"], ["mechanism", "register"]),
    "in clear on loopback": (
        Security(starttls=True, plaintext=True), "example.org", ["<starttls", "PLAIN", "register"], ["required", "PLUS"],
    ),
    "no certificate": (Security(), "example.org", [], ["starttls", "mechanism"]),
    "TLS": (
        Security(secure=True, binding=b"x"), "example.org",
        ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "PLAIN", "tls-server-end-point", "iq-register", "<max-bytes>10000<"],
        ["starttls"],
    ),
    "TLS without a binding": (Security(secure=True), "example.org", ["SCRAM-SHA-256<"], ["PLUS", "channel-binding"]),
    "registration closed": (Security(secure=True), "closed.example", ["PLAIN"], ["register"]),
}  # fmt: skip


@pytest.mark.parametrize(("security", "host", "there", "absent"), FEATURES.values(), ids=FEATURES.keys())
def test_features_before_authentication(
    security: Security, host: str, there: list[str], absent: list[str]
) -> None:
    written = Stream(security).feed(OPEN.format(host))
    for text in there:
        assert text in written
    for text in absent:
        assert text not in written


def test_features_after_authentication() -> None:
    stream = Stream().logged_in()
    written = "".join(effect.data.decode() for effect in stream.effects if isinstance(effect, Send))
    for text in (
        "<bind ",
        "<optional/>",
        "rosterver",
        "pre-approval",
        "<max-bytes>262144<",
        "<idle-seconds>330<",
    ):
        assert text in written
    assert "mechanism" not in written


# --- what a phase does not allow --------------------------------------------------------------------------------------

MESSAGE = "<message to='b@example.org'><body>x</body></message>"
ILLEGAL: dict[str, tuple[Callable[[], Stream], str, str]] = {
    "a message before TLS": (lambda: opened(CLEAR), MESSAGE, "not-authorized"),
    "a message before authentication": (lambda: opened(), MESSAGE, "not-authorized"),
    "binding before authentication": (lambda: opened(), BIND, "not-authorized"),
    "an acknowledgement before authentication": (lambda: opened(), "<a xmlns='urn:xmpp:sm:3' h='1'/>", "not-authorized"),
    "compression": (lambda: opened(), "<compress xmlns='http://jabber.org/protocol/compress'/>", "not-authorized"),
    "registration in clear": (
        lambda: opened(CLEAR), "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>", "not-authorized",
    ),
    "registration where closed": (
        lambda: opened(host="closed.example"), "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>", "not-authorized",
    ),
    "a message before binding": (lambda: Stream().logged_in(), MESSAGE, "not-authorized"),
    "presence before binding": (lambda: Stream().logged_in(), "<presence/>", "not-authorized"),
    "a roster request before binding": (
        lambda: Stream().logged_in(), "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>", "not-authorized",
    ),
    "authentication twice": (lambda: Stream().logged_in(), plain("b"), "not-authorized"),
    "an unknown stanza": (lambda: opened(), "<foo/>", "unsupported-stanza-type"),
    "a stanza of servers": (lambda: opened(), "<message xmlns='jabber:server'/>", "invalid-namespace"),
    "text": (lambda: opened(), "hello", "bad-format"),
    "a second header": (lambda: opened(), OPEN.format("example.org")[21:], "bad-format"),
    "too many bytes": (lambda: opened(), f"<auth xmlns='{SASL}'>{'x' * 10_001}", "policy-violation"),
    "a second authentication inside of one": (lambda: exchanging(), plain("a"), "policy-violation"),
    "a stanza inside of an authentication": (lambda: exchanging(), MESSAGE, "not-authorized"),
}  # fmt: skip


def opened(security: Security | None = None, host: str = "example.org") -> Stream:
    stream = Stream(security)
    stream.feed(OPEN.format(host))
    return stream


def exchanging() -> Stream:
    stream = opened()
    assert stream.feed(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'/>") == f"<challenge xmlns='{SASL}'/>"
    return stream


@pytest.mark.parametrize(("make", "text", "condition"), ILLEGAL.values(), ids=ILLEGAL.keys())
def test_what_a_phase_does_not_allow_ends_the_stream(
    make: Callable[[], Stream], text: str, condition: str
) -> None:
    stream = make()
    written = stream.feed(text)
    assert error_of(stream) == condition
    assert "<stream:stream " not in written
    assert written.endswith("</stream:stream>")


# --- STARTTLS ---------------------------------------------------------------------------------------------------------


def test_starttls_forgets_what_was_said_in_clear() -> None:
    stream = opened(CLEAR)
    assert stream.feed(STARTTLS) == "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    assert want(stream, StartTls) == StartTls("example.org")
    assert stream.machine.stream.phase is Phase.TLS
    stream.take(stream.machine.secured(Security(secure=True, binding=b"hash")))
    want(stream, Restart)
    written = stream.feed(OPEN.format("example.org"))
    assert "id='token1'" in written
    assert "starttls" not in written
    assert "SCRAM-SHA-256-PLUS" in written


def test_authentication_in_clear_is_refused_without_ending_the_stream() -> None:
    stream = opened(CLEAR)
    assert "<encryption-required/>" in stream.feed(plain("a"))
    assert stream.feed(STARTTLS).startswith("<proceed")


@pytest.mark.parametrize("security", [Security(secure=True), Security(plaintext=True)])
def test_starttls_where_it_was_not_offered_fails(security: Security) -> None:
    stream = opened(security)
    written = stream.feed(STARTTLS)
    assert written.startswith("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    assert error_of(stream) is None


# --- SASL -------------------------------------------------------------------------------------------------------------

FAILURES = {
    "unknown mechanism": (f"<auth xmlns='{SASL}' mechanism='DIGEST-MD5'>AA==</auth>", "invalid-mechanism"),
    "lower case": (f"<auth xmlns='{SASL}' mechanism='plain'>AA==</auth>", "invalid-mechanism"),
    "no mechanism": (f"<auth xmlns='{SASL}'>AA==</auth>", "invalid-mechanism"),
    "bad base64": (f"<auth xmlns='{SASL}' mechanism='PLAIN'>a b</auth>", "incorrect-encoding"),
    "two fields": (f"<auth xmlns='{SASL}' mechanism='PLAIN'>{b64encode(b'a' + bytes(1) + b'b').decode()}</auth>", "malformed-request"),
    "foreign authzid": (plain("a", authzid="b@example.org"), "invalid-authzid"),
    "impossible user": (plain("a b"), "not-authorized"),
    "a response to nothing": (f"<response xmlns='{SASL}'>AA==</response>", "malformed-request"),
    "an abort of nothing": (f"<abort xmlns='{SASL}'/>", "aborted"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "condition"), FAILURES.values(), ids=FAILURES.keys())
def test_failures_leave_the_stream_open(text: str, condition: str) -> None:
    stream = opened()
    written = stream.feed(text)
    assert written.startswith(f"<failure xmlns='{SASL}'><{condition}/>")
    ended = want(stream, AuthEnded)
    assert isinstance(ended, AuthEnded)
    assert ended.result == condition
    assert not any(isinstance(effect, Close) for effect in stream.effects)
    stream.feed(plain("a"))
    want(stream, AskCredentials)


def test_plain_step_by_step() -> None:
    stream = opened()
    stream.feed(plain("Alice", "pw"))
    assert want(stream, AskCredentials) == AskCredentials("alice@example.org", "SCRAM-SHA-256")
    assert stream.machine.stream.asking
    stream.take(stream.machine.authentication.credentials(KEYS))
    assert want(stream, CheckPassword) == CheckPassword("pw", KEYS)
    assert stream.take(stream.machine.authentication.checked(True)) == f"<success xmlns='{SASL}'/>"
    assert want(stream, AuthEnded) == AuthEnded("PLAIN", "success")
    want(stream, Restart)
    assert stream.machine.stream.account == "alice@example.org"
    assert not stream.machine.stream.asking


def test_too_many_failures_end_the_stream() -> None:
    stream = opened()
    for _ in range(2):
        stream.feed(plain("a"))
        stream.take(stream.machine.authentication.credentials(KEYS))
        assert "<not-authorized/>" in stream.take(stream.machine.authentication.checked(False))
    stream.feed(plain("a"))
    stream.take(stream.machine.authentication.credentials(KEYS))
    written = stream.take(stream.machine.authentication.checked(False))
    assert written.startswith("<failure")
    assert error_of(stream) == "policy-violation"


def test_an_exchange_can_be_aborted_and_begun_anew() -> None:
    stream = exchanging()
    assert "<aborted/>" in stream.feed(f"<abort xmlns='{SASL}'/>")
    stream.feed(plain("a"))
    want(stream, AskCredentials)


def test_accounts_that_do_not_answer_are_a_temporary_failure() -> None:
    stream = opened()
    stream.feed(plain("a"))
    assert "<temporary-auth-failure/>" in stream.take(stream.machine.authentication.denied())


def test_an_answer_after_the_end_is_nothing() -> None:
    stream = opened()
    stream.feed(plain("a"))
    stream.feed("</stream:stream>")
    assert stream.machine.authentication.credentials(KEYS) == []
    assert stream.machine.authentication.checked(True) == []
    assert stream.machine.authentication.denied() == []
    assert stream.machine.registering.registered(None) == []


def test_scram_with_channel_binding_and_a_real_client() -> None:
    from scramp import ScramClient

    from rookery.shared.xmpp.sasl.keys import derive_keys

    stored, server = derive_keys("pw", "SCRAM-SHA-256", b"salt" * 4, 4096)
    keys = Credentials("alice@example.org", True, b"salt" * 4, 4096, stored, server)
    client = ScramClient(
        ["SCRAM-SHA-256-PLUS"], "alice", "pw", channel_binding=("tls-server-end-point", b"hash")
    )
    stream = opened()
    first = b64encode(client.get_client_first().encode()).decode()
    stream.feed(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256-PLUS'>{first}</auth>")
    want(stream, AskCredentials)
    challenge = stream.take(stream.machine.authentication.credentials(keys))
    client.set_server_first(decoded(challenge))
    final = b64encode(client.get_client_final().encode()).decode()
    success = stream.feed(f"<response xmlns='{SASL}'>{final}</response>")
    assert success.startswith("<success")
    client.set_server_final(decoded(success))
    assert stream.machine.stream.account == "alice@example.org"


def decoded(element: str) -> str:
    from base64 import b64decode

    return b64decode(element.partition(">")[2].partition("<")[0]).decode()


# --- after authentication ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["closed.example", "nowhere.example"])
def test_a_stream_keeps_its_host(host: str) -> None:
    stream = opened()
    stream.feed(plain("a"))
    stream.take(stream.machine.authentication.credentials(KEYS))
    stream.take(stream.machine.authentication.checked(True))
    written = stream.feed(OPEN.format(host))
    assert error_of(stream) == "host-unknown"
    assert "from='example.org'" in written


def test_binding() -> None:
    stream = Stream().logged_in()
    stream.feed(BIND.replace("/></iq>", "><resource>Phone</resource></bind></iq>"))
    assert want(stream, AskBind) == AskBind("a@example.org", "Phone")
    written = stream.take(stream.machine.binding.bound(Bound("a@example.org/Phone", 7)))
    assert written == (
        "<iq type='result' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
        "<jid>a@example.org/Phone</jid></bind></iq>"
    )
    assert want(stream, Begin) == Begin(Bound("a@example.org/Phone", 7), "")
    assert stream.machine.stream.phase is Phase.BOUND


@pytest.mark.parametrize(
    ("wanted", "bound"),
    [("a&#x85;b", "ab"), ("x" * 1024, "x" * 1023), ("tab\there", "tabhere"), ("&#x85;", "")],
)
def test_an_impossible_resource_is_brought_into_conformance(wanted: str, bound: str) -> None:
    """RFC 6120 section 7.7.2.1; the router chooses for ""."""
    stream = Stream().logged_in()
    written = stream.feed(BIND.replace("/></iq>", f"><resource>{wanted}</resource></bind></iq>"))
    assert written == ""
    assert want(stream, AskBind) == AskBind("a@example.org", bound)


def test_a_refused_binding_may_be_tried_again_but_not_for_ever() -> None:
    stream = Stream().logged_in()
    for _ in range(9):
        stream.feed(BIND)
        assert "<resource-constraint " in stream.take(
            stream.machine.binding.refused(StanzaError("resource-constraint"))
        )
    stream.feed(BIND)
    stream.take(stream.machine.binding.refused(StanzaError("conflict")))
    assert error_of(stream) == "policy-violation"


# --- registration -----------------------------------------------------------------------------------------------------

REGISTER = "<iq type='set' id='r'><query xmlns='jabber:iq:register'>{}</query></iq>"


def test_registration_before_authentication() -> None:
    stream = opened()
    form = stream.feed("<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>")
    assert "<instructions>Ask your gardener.</instructions><username/><password/><email/>" in form
    stream.feed(REGISTER.format("<username>Bob</username><password>pw</password><email>b@x</email>"))
    assert want(stream, AskRegister) == AskRegister("bob@example.org", "example.org", "bob", "pw", "b@x")
    assert stream.take(stream.machine.registering.registered(None)) == "<iq type='result' id='r'/>"
    stream.feed(REGISTER.format("<username>bob</username><password>pw</password>"))
    assert "<conflict " in stream.take(stream.machine.registering.registered(StanzaError("conflict")))
    stream.feed(plain("bob"))
    want(stream, AskCredentials)


@pytest.mark.parametrize(
    ("fields", "condition"),
    [
        ("", "not-acceptable"),
        ("<username>bob</username>", "not-acceptable"),
        ("<username>b b</username><password>pw</password>", "jid-malformed"),
    ],
)
def test_an_incomplete_registration_is_refused_here(fields: str, condition: str) -> None:
    written = opened().feed(REGISTER.format(fields))
    assert f"<{condition} " in written


# --- WebSocket --------------------------------------------------------------------------------------------------------


def test_the_same_over_websocket() -> None:
    stream = Stream(Security(secure=True), WEBSOCKET)
    open_ = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0'/>"
    written = stream.feed(open_)
    assert written.startswith("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='example.org'")
    assert "<stream:features xmlns:stream=" in written
    assert "starttls" not in written
    stream.feed(plain("a"))
    stream.take(stream.machine.authentication.credentials(KEYS))
    stream.take(stream.machine.authentication.checked(True))
    assert "<bind xmlns=" in stream.feed(open_)
    stream.feed(BIND.replace("<iq ", "<iq xmlns='jabber:client' "))
    written = stream.take(stream.machine.binding.bound(Bound("a@example.org/r", 1)))
    assert written.startswith("<iq xmlns='jabber:client' type='result'")


def test_a_header_twice_over_websocket() -> None:
    stream = Stream(Security(secure=True), WEBSOCKET)
    open_ = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0'/>"
    stream.feed(open_)
    written = stream.feed(open_)
    assert error_of(stream) == "bad-format"
    assert written.endswith("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>")

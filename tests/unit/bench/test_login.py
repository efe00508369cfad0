"""Login as a script: what is sent in which order, and what each refusal is called."""

from __future__ import annotations

from base64 import b64decode

import pytest

from rookery.bench.driver.login import Session, login
from rookery.bench.driver.script import (
    Note,
    OpenStream,
    Script,
    ScriptError,
    Send,
    StartTls,
    ask,
    ask_all,
    parse,
)
from rookery.bench.users import Account

ACCOUNT = Account(0, "alice", "localhost", "secret")
SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
PLAIN = f"<stream:features><mechanisms {SASL}><mechanism>PLAIN</mechanism></mechanisms></stream:features>".encode()
TLS = b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
PROCEED = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
SUCCESS = f"<success {SASL}/>".encode()
BIND = b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"
BOUND = b"<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@localhost/r</jid></bind></iq>"


def play(script: Script, answers: list[bytes]) -> list[str]:
    """Run the script with these answers; what it did, in short."""
    did = []
    waiting = iter(answers)
    value = None
    while True:
        try:
            step = script.send(value)
        except StopIteration:
            return did
        value = None
        match step:
            case Send(data):
                did.append(data.decode())
            case OpenStream():
                did.append("open")
            case StartTls():
                did.append("handshake")
            case Note(operation):
                did.append(f"note {operation}")
            case None:
                value = parse(next(waiting))


def test_plain_over_starttls() -> None:
    session = Session(ACCOUNT)
    script = login(session, "r", "auto", starttls=True, keys={})
    did = play(script, [TLS, PROCEED, PLAIN, SUCCESS, BIND, BOUND])
    assert [one for one in did if one[0] != "<"] == [
        "open",
        "handshake",
        "note tls",
        "open",
        "open",
        "note auth",
        "note bind",
    ]
    assert session.jid == "alice@localhost/r"
    auth = next(parse(one.encode()) for one in did if one.startswith("<auth"))
    assert b64decode(auth.text) == b"\0alice\0secret"


@pytest.mark.parametrize(
    ("answers", "condition"),
    [
        (
            [b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"],
            "host-unknown",
        ),
        ([b"<stream:features/>"], "no-mechanism"),
        ([PLAIN, f"<failure {SASL}><not-authorized/></failure>".encode()], "not-authorized"),
        ([PLAIN, SUCCESS, BIND, b"<iq type='result' id='bind'/>"], "not-bound"),
        (
            [
                PLAIN,
                SUCCESS,
                BIND,
                b"<iq type='error' id='bind'><error type='cancel'>"
                b"<conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
            ],
            "conflict",
        ),
    ],
)
def test_refusals_have_names(answers: list[bytes], condition: str) -> None:
    with pytest.raises(ScriptError) as failed:
        play(login(Session(ACCOUNT), "r", "auto", starttls=False, keys={}), answers)
    assert failed.value.condition == condition


def test_no_starttls_is_no_login() -> None:
    with pytest.raises(ScriptError, match="no-starttls"):
        play(login(Session(ACCOUNT), "r", "auto", starttls=True, keys={}), [PLAIN])


def test_an_old_session_is_asked_for_unless_optional() -> None:
    features = BIND.replace(b"</stream", b"<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></stream")
    answers = [PLAIN, SUCCESS, features, BOUND, b"<iq type='result' id='session'/>"]
    did = play(login(Session(ACCOUNT), "r", "PLAIN", starttls=False, keys={}), answers)
    assert any("xmpp-session" in one for one in did)
    optional = features.replace(b"session'/>", b"session'><optional/></session>")
    did = play(
        login(Session(ACCOUNT), "r", "PLAIN", starttls=False, keys={}), [*answers[:2], optional, BOUND]
    )
    assert not any("xmpp-session" in one for one in did)


def test_a_question_waits_for_its_own_answer() -> None:
    def script() -> Script:
        yield from ask("1", "get", "<q/>")

    others = [b"<presence/>", b"<iq type='result' id='2'/>", b"<iq type='set' id='1'/>"]
    assert len(play(script(), [*others, b"<iq type='result' id='1'/>"])) == 1


def test_of_several_requests_the_first_error_ends_the_script() -> None:
    script = ask_all("many", "set", ["<a/>", "<b/>"])
    error = b"<iq type='error' id='many1'><error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    with pytest.raises(ScriptError, match="conflict"):
        play(script, [b"<iq type='result' id='other'/>", b"<iq type='result' id='many0'/>", error])

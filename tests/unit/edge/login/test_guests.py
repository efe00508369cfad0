"""Streams of a domain of guests (XEP-0175, RFC 4505)."""

from __future__ import annotations

from base64 import b64encode

import pytest
from tests.unit.edge.login.test_external import asked, opened
from tests.unit.edge.login.test_inline import authenticate, of
from tests.unit.edge.login.test_negotiation import OPEN, Stream

from rookery.edge.login.effects import AskLogin
from rookery.shared.bus.messages import LoginChecked

GUEST = "0b8b2b50-5a0c-4d5e-8a3c-7f6f0f0b7e55@far.example"
AUTH = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'>{}</auth>"


@pytest.mark.parametrize("trace", ["", "=", b64encode("bücher@far.example".encode()).decode()])
def test_a_guest_comes_in_with_or_without_a_trace(monkeypatch: pytest.MonkeyPatch, trace: str) -> None:
    stream = opened(monkeypatch, "ANONYMOUS")
    written = stream.feed(AUTH.format(trace))
    if not trace:  # RFC 4505 section 2: the first message is the client's; without one it is asked for
        assert "<challenge" in written
        stream.feed("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    ask = asked(stream)
    assert (ask.domain, ask.account, ask.mechanism) == ("far.example", "", "ANONYMOUS")
    assert "cher" not in ask.secret
    assert "<success" in stream.take(stream.machine.authentication.login(LoginChecked(GUEST)))


def test_a_guest_comes_in_by_sasl2(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = opened(monkeypatch, "ANONYMOUS")
    stream.feed(authenticate(mechanism="ANONYMOUS", initial=""))
    asked(stream)
    said = stream.take(stream.machine.authentication.login(LoginChecked(GUEST)))
    assert f"<authorization-identifier>{GUEST}" in said


@pytest.mark.parametrize("trace", [b"\xff", b"a\0b", b"a" * 256, "a\u200f".encode()])
def test_a_trace_that_is_none(monkeypatch: pytest.MonkeyPatch, trace: bytes) -> None:
    stream = opened(monkeypatch, "ANONYMOUS")
    assert "<malformed-request" in stream.feed(AUTH.format(b64encode(trace).decode()))
    assert of(stream, AskLogin) == []


def test_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = opened(monkeypatch, "ANONYMOUS")
    stream.feed(AUTH.format("="))
    said = stream.take(stream.machine.authentication.login(LoginChecked(failed="temporary-auth-failure")))
    assert "<temporary-auth-failure" in said


def test_who_has_an_account_is_no_guest() -> None:
    stream = Stream()
    assert "ANONYMOUS" not in stream.feed(OPEN.format("example.org"))
    assert "<invalid-mechanism" in stream.feed(AUTH.format("="))

"""Streams of a domain whose passwords are kept elsewhere: what is offered, and what an account worker is asked."""

from __future__ import annotations

from base64 import b64encode

import pytest
from tests.unit.edge.login.test_inline import authenticate, of
from tests.unit.edge.login.test_negotiation import DOMAINS, OPEN, Stream, plain

from rookery.edge.login.effects import AskCredentials, AskLogin, AuthEnded, Close
from rookery.edge.policy import HostedDomain
from rookery.shared.bus.messages import LoginChecked

BEARER = b64encode(b"n,,\x01auth=Bearer dG9rZW4=\x01\x01").decode()


def opened(monkeypatch: pytest.MonkeyPatch, *logins: str) -> Stream:
    monkeypatch.setitem(DOMAINS, "far.example", HostedDomain("far.example", logins=logins))
    stream = Stream()
    written = stream.feed(OPEN.format("far.example"))
    assert "SCRAM" not in written.partition("<authentication")[0]
    for name in logins:
        assert f"<mechanism>{name}</mechanism>" in written
    return stream


def asked(stream: Stream) -> AskLogin:
    (ask,) = of(stream, AskLogin)
    assert isinstance(ask, AskLogin)
    return ask


def test_a_password_goes_to_its_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = opened(monkeypatch, "PLAIN")
    stream.feed(plain("a", "pw"))
    assert asked(stream) == AskLogin("far.example", "a@far.example", "PLAIN", "pw")
    assert of(stream, AskCredentials) == []
    assert "<success" in stream.take(stream.machine.authentication.login(LoginChecked("a@far.example")))


@pytest.mark.parametrize("condition", ["not-authorized", "temporary-auth-failure", "account-disabled"])
def test_what_the_keeper_refuses(monkeypatch: pytest.MonkeyPatch, condition: str) -> None:
    stream = opened(monkeypatch, "PLAIN")
    stream.feed(plain("a", "pw"))
    assert f"<{condition}" in stream.take(stream.machine.authentication.login(LoginChecked(failed=condition)))
    (ended,) = of(stream, AuthEnded)
    assert isinstance(ended, AuthEnded)
    assert (ended.result, ended.account) == (condition, "a@far.example")


def test_mechanisms_of_other_domains_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = opened(monkeypatch, "OAUTHBEARER")
    assert "<invalid-mechanism" in stream.feed(plain("a"))
    stream = Stream()
    stream.feed(OPEN.format("example.org"))
    assert "<invalid-mechanism" in stream.feed(authenticate(mechanism="OAUTHBEARER", initial=BEARER))
    assert of(stream, AskLogin) == []


def test_a_token_says_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = opened(monkeypatch, "OAUTHBEARER")
    stream.feed(authenticate(mechanism="OAUTHBEARER", initial=BEARER))
    assert asked(stream) == AskLogin("far.example", "", "OAUTHBEARER", "dG9rZW4=")
    written = stream.take(stream.machine.authentication.login(LoginChecked("a@far.example")))
    assert "<authorization-identifier>a@far.example</" in written


def test_a_token_that_is_not_good_is_told_why_and_then_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = opened(monkeypatch, "OAUTHBEARER")
    stream.feed(authenticate(mechanism="OAUTHBEARER", initial=BEARER))
    written = stream.take(stream.machine.authentication.login(LoginChecked(failed="not-authorized")))
    told = b64encode(b'{"status":"invalid_token"}').decode()
    assert f">{told}</challenge>" in written
    written = stream.feed("<response xmlns='urn:xmpp:sasl:2'>AQ==</response>")
    assert "<failure" in written
    assert "<not-authorized" in written
    # A client that only asks is told the same, and nobody is asked.
    empty = b64encode(b"n,,\x01auth=\x01\x01").decode()
    assert "<challenge" in stream.feed(authenticate(mechanism="OAUTHBEARER", initial=empty))
    assert of(stream, AskLogin) + of(stream, Close) == []
    assert "<malformed-request" in stream.feed("<response xmlns='urn:xmpp:sasl:2'>AA==</response>")

"""An invitation on a stream: its token is shown first, then an account may be made although registration is closed (XEP-0445)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rookery.edge.login.effects import AskInvited, AskRegister, Wait
from rookery.edge.login.framing import TCP
from rookery.edge.login.negotiation import Negotiation
from rookery.edge.policy import HostedDomain, Security
from rookery.shared.xmpp.errors import StanzaError

from .test_negotiation import OPEN, POLICY, Stream, want

PREAUTH = "<iq type='set' id='p'><preauth xmlns='urn:xmpp:pars:0' token='T'/></iq>"
ACCOUNT = (
    "<iq type='set' id='r'><query xmlns='jabber:iq:register'>"
    "<username>bob</username><password>pw</password></query></iq>"
)


def opened(*, invitations: bool = True, secure: bool = True) -> tuple[Stream, str]:
    """A stream to a domain whose registration is closed, and its features."""
    stream = Stream()
    domains = {"closed.example": HostedDomain("closed.example")}
    policy = replace(POLICY, invitations=invitations, find=domains.get)
    stream.machine = Negotiation(policy, Security(secure=secure), TCP, lambda: "token")
    return stream, stream.feed(OPEN.format("closed.example"))


def test_a_good_token_lets_an_account_be_made() -> None:
    stream, features = opened()
    assert "<register xmlns='urn:xmpp:ibr-token:0'/>" in features
    assert "iq-register" not in features
    stream.feed(PREAUTH)
    assert want(stream, AskInvited) == AskInvited("closed.example", "T")
    assert stream.take(stream.machine.registering.invited(None)) == "<iq type='result' id='p'/>"
    assert want(stream, Wait).seconds == POLICY.form_seconds
    stream.feed(ACCOUNT)
    assert want(stream, AskRegister) == AskRegister(
        "bob@closed.example", "closed.example", "bob", "pw", "", "T"
    )


def test_a_bad_token_does_not() -> None:
    stream, _ = opened()
    stream.feed(PREAUTH)
    written = stream.take(stream.machine.registering.invited(StanzaError("item-not-found")))
    assert "<item-not-found " in written
    assert "<not-authorized " in stream.feed(ACCOUNT)


def test_a_token_that_was_good_stays_so_after_a_bad_one() -> None:
    stream, _ = opened()
    stream.feed(PREAUTH)
    stream.take(stream.machine.registering.invited(None))
    stream.feed(PREAUTH.replace("'T'", "'U'"))
    stream.take(stream.machine.registering.invited(StanzaError("item-not-found")))
    stream.feed(ACCOUNT)
    assert want(stream, AskRegister).token == "T"


@pytest.mark.parametrize(
    ("invitations", "secure", "request_"),
    [
        (False, True, PREAUTH),
        (True, False, PREAUTH),
        (True, True, PREAUTH.replace("'set'", "'get'")),
        (True, True, PREAUTH.replace(" id='p'", "")),
        (True, True, ACCOUNT),
    ],
)
def test_what_is_not_for_strangers(invitations: bool, secure: bool, request_: str) -> None:
    stream, _ = opened(invitations=invitations, secure=secure)
    assert "<not-authorized " in stream.feed(request_)


def test_an_empty_token() -> None:
    stream, _ = opened()
    assert "<bad-request " in stream.feed(PREAUTH.replace("'T'", "''"))


def test_guessing_ends_the_stream() -> None:
    stream, _ = opened()
    for _ in range(10):
        stream.feed(PREAUTH)
        written = stream.take(stream.machine.registering.invited(StanzaError("item-not-found")))
    assert "<policy-violation " in written

"""Tokens inside of SASL2 (XEP-0484): what is offered, what an account worker is asked, and what attackers try."""

from __future__ import annotations

import hmac
from base64 import b64encode

import pytest
from tests.unit.edge.login.test_inline import AGENT, BIND, RESUME, SASL2, authenticate, of, opened
from tests.unit.edge.login.test_negotiation import KEYS, OPEN, Stream

from rookery.edge.login.effects import AskBind, AskRedeem, AskResume, AskToken, AuthEnded
from rookery.edge.policy import Security
from rookery.shared.bus.messages import IssueToken, LoginToken, Redeem
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.sasl import ht

FAST = "urn:xmpp:fast:0"
ACCOUNT = "a@example.org"
CLIENT = f"<user-agent id='{AGENT}'><software>Tester</software><device> Desk </device></user-agent>"
WANTED = f"<request-token xmlns='{FAST}' mechanism='{ht.NONE}'/>"
PROOF = hmac.digest(b"token", b"Initiator", "sha256")


def claim(
    *children: str, mechanism: str = ht.NONE, fast: str = f"<fast xmlns='{FAST}'/>", name: bytes = b"a"
) -> str:
    first = b64encode(name + b"\0" + PROOF).decode()
    return authenticate(fast, *children, mechanism=mechanism, initial=first)


def asked(stream: Stream) -> Redeem:
    (ask,) = of(stream, AskRedeem)
    assert isinstance(ask, AskRedeem)
    return ask.request


def results(stream: Stream) -> list[tuple[str, str]]:
    return [(one.mechanism, one.result) for one in of(stream, AuthEnded) if isinstance(one, AuthEnded)]


def test_mechanisms_are_offered_inline_where_tls_is_and_only_what_can_be_bound() -> None:
    bound = Stream().feed(OPEN.format("example.org"))
    assert (
        f"<fast xmlns='{FAST}'><mechanism>{ht.END_POINT}</mechanism><mechanism>{ht.NONE}</mechanism></fast></inline>"
        in bound
    )
    free = Stream(Security(secure=True)).feed(OPEN.format("example.org"))
    assert f"<fast xmlns='{FAST}'><mechanism>{ht.NONE}</mechanism></fast>" in free
    for text in (bound, free):
        assert (
            "HT-" not in text.replace(f"<fast xmlns='{FAST}'>", "\n").split("\n")[0]
        )  # not beside the password's
        assert "0rtt" not in text
    assert FAST not in Stream(Security(plaintext=True)).feed(OPEN.format("example.org"))


def test_a_password_gets_a_token_and_then_what_else_was_wanted() -> None:
    stream = opened()
    stream.feed(authenticate(CLIENT, WANTED, BIND.format("")))
    stream.take(stream.machine.authentication.credentials(KEYS))
    assert stream.take(stream.machine.authentication.checked(True)) == ""
    (ask,) = of(stream, AskToken)
    assert isinstance(ask, AskToken)
    assert ask.request == IssueToken(ACCOUNT, AGENT, ht.NONE, b"salt", "Tester", "Desk")
    assert of(stream, AskBind) == []
    stream.take(stream.machine.inline.issued(LoginToken("secret", 1_800_000_000)))
    assert len(of(stream, AskBind)) == 1
    written = stream.take(stream.machine.inline.refused(StanzaError("resource-constraint")))
    assert f"<token xmlns='{FAST}' token='secret' expiry='2027-01-15T08:00:00Z'/>" in written


@pytest.mark.parametrize(
    "children",
    [
        [WANTED],  # no client
        ["<user-agent id='none'/>", WANTED],
        [CLIENT, f"<request-token xmlns='{FAST}' mechanism='HT-SHA-256-EXPR'/>"],  # not offered
        [CLIENT, f"<request-token xmlns='{FAST}' mechanism='PLAIN'/>"],
        [CLIENT, f"<request-token xmlns='{FAST}'/>"],
    ],
)
def test_no_token_for_who_may_not_have_one(children: list[str]) -> None:
    stream = opened()
    stream.feed(authenticate(*children))
    stream.take(stream.machine.authentication.credentials(KEYS))
    assert "<success" in stream.take(stream.machine.authentication.checked(True))
    assert of(stream, AskToken) == []


def test_a_login_without_a_token_goes_on_when_none_could_be_made() -> None:
    stream = opened()
    stream.feed(authenticate(CLIENT, WANTED))
    stream.take(stream.machine.authentication.credentials(KEYS))
    stream.take(stream.machine.authentication.checked(True))
    written = stream.take(stream.machine.inline.issued(None))
    assert "<success" in written
    assert "<token" not in written


def test_a_token_lets_a_client_in_in_one_step() -> None:
    stream = opened(ACCOUNT)
    written = stream.feed(
        claim(CLIENT, WANTED, RESUME, fast=f"<fast xmlns='{FAST}' count='3' invalidate='true'/>")
    )
    assert written == ""
    assert asked(stream) == Redeem(ACCOUNT, AGENT, ht.NONE, b"", PROOF, 3, True, ht.NONE, "Tester", "Desk")
    stream.take(stream.machine.authentication.redeemed(LoginToken("next", 1_800_000_000, b"proof")))
    assert results(stream) == [(ht.NONE, "success")]
    (ask,) = of(stream, AskResume)
    assert isinstance(ask, AskResume)
    assert ask.account == ACCOUNT


def test_success_has_the_servers_proof_and_the_next_token() -> None:
    stream = opened()
    stream.feed(claim(CLIENT))
    written = stream.take(stream.machine.authentication.redeemed(LoginToken("next", 1_800_000_000, b"proof")))
    assert f"<additional-data>{b64encode(b'proof').decode()}</additional-data>" in written
    assert "token='next'" in written


def test_what_the_channel_is_bound_to_goes_with_a_bound_mechanism_alone() -> None:
    stream = opened()
    stream.feed(claim(CLIENT, mechanism=ht.END_POINT))
    assert asked(stream).binding == b"hash"
    stream = opened()
    stream.feed(claim(CLIENT))
    assert asked(stream).binding == b""


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        # A mechanism with a binding that this stream has not, or that nobody has.
        (claim(CLIENT, mechanism="HT-SHA-256-EXPR"), "invalid-mechanism"),
        (claim(CLIENT, mechanism="HT-SHA-256-UNIQ"), "invalid-mechanism"),
        # A token without <fast/>, or without the id of its client (sections 3.4 and 4.1).
        (claim(CLIENT, fast=""), "malformed-request"),
        (claim(), "malformed-request"),
        (claim("<user-agent id='none'/>"), "malformed-request"),
        # Bad counts.
        *(
            (claim(CLIENT, fast=f"<fast xmlns='{FAST}' count='{bad}'/>"), "malformed-request")
            for bad in ("0", "-1", "x", "", "9" * 20)
        ),
        (claim(CLIENT, fast=f"<fast xmlns='{FAST}' invalidate='perhaps'/>"), "malformed-request"),
        # Bad messages.
        (
            authenticate(
                CLIENT, f"<fast xmlns='{FAST}'/>", mechanism=ht.NONE, initial=b64encode(b"a\0short").decode()
            ),
            "malformed-request",
        ),
        (
            authenticate(
                CLIENT,
                f"<fast xmlns='{FAST}'/>",
                mechanism=ht.NONE,
                initial=b64encode(b"\0" + PROOF).decode(),
            ),
            "malformed-request",
        ),
        (claim(CLIENT, name=b"a b"), "not-authorized"),
        (claim(CLIENT, name=b"\xff"), "malformed-request"),
    ],
)
def test_attempts_that_ask_nobody(text: str, condition: str) -> None:
    stream = opened()
    assert f"<{condition} " in stream.feed(text)
    assert of(stream, AskRedeem) == []


def test_the_header_says_whose_token_it_is() -> None:
    stream = opened("b@example.org")
    assert "<invalid-authzid" in stream.feed(claim(CLIENT))
    assert of(stream, AskRedeem) == []


def test_tokens_are_of_sasl2_alone_and_of_tls() -> None:
    first = b64encode(b"a\0" + PROOF).decode()
    stream = opened()
    old = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{ht.NONE}'>{first}</auth>"
    assert "<invalid-mechanism" in stream.feed(old)
    stream = Stream(Security(plaintext=True))
    stream.feed(OPEN.format("example.org"))
    assert "<encryption-required" in stream.feed(claim(CLIENT))


@pytest.mark.parametrize("condition", ["credentials-expired", "not-authorized"])
def test_a_refused_token_does_nothing_inline_and_a_password_may_follow(condition: str) -> None:
    stream = opened()
    stream.feed(claim(CLIENT, RESUME, BIND.format("")))
    written = stream.take(stream.machine.authentication.redeemed(LoginToken(failed=condition)))
    assert written.startswith(f"<failure xmlns='{SASL2}'><{condition} ")
    assert of(stream, AskResume) + of(stream, AskBind) == []
    assert results(stream) == [(ht.NONE, condition)]
    stream.feed(authenticate())
    stream.take(stream.machine.authentication.credentials(KEYS))
    # and nothing of the token's answer is left
    assert "<token" not in stream.take(stream.machine.authentication.checked(True))
    assert results(stream) == [("PLAIN", "success")]

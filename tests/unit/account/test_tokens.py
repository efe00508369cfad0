"""Login tokens (XEP-0484): what is kept of one, and which proofs are good."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from rookery.shared.bus.messages import Redeem
from rookery.shared.xmpp.sasl import ht
from rookery.workers.account import tokens
from rookery.workers.account.tokens import Kept, Seal, judge, owner

ACCOUNT, AGENT = "alice@one.org", "d4565fa7-4d72-4749-b3d3-740edbf87770"
WHOSE = owner(ACCOUNT, AGENT)
SEAL = Seal([b"s" * 32])
CHANNEL = b"hash of a certificate"


def kept(
    token: str, mechanism: str = ht.NONE, *, serial: int = 1, counter: int = 0, live: bool = True
) -> Kept:
    return Kept(
        serial, mechanism, SEAL.verifier(token, mechanism, WHOSE), b"salt", True, counter, live, False
    )


def redeem(token: str, mechanism: str = ht.NONE, binding: bytes = b"", counter: int = -1) -> Redeem:
    # The draft's formula, written out.
    proof = hmac.new(token.encode(), b"Initiator" + binding, hashlib.sha256).digest()
    return Redeem(ACCOUNT, AGENT, mechanism, binding, proof, counter, False, "", "", "")


def test_a_proof_is_answered_with_a_proof() -> None:
    verdict = judge(SEAL, [kept("one", serial=7)], redeem("one"))
    assert verdict.failed == ""
    assert verdict.kept is not None
    assert verdict.kept.serial == 7
    assert verdict.proof == hmac.new(b"one", b"Responder", hashlib.sha256).digest()


def test_a_bound_proof_is_good_on_its_channel_alone() -> None:
    token = kept("one", ht.END_POINT)
    verdict = judge(SEAL, [token], redeem("one", ht.END_POINT, CHANNEL))
    assert verdict.proof == hmac.new(b"one", b"Responder" + CHANNEL, hashlib.sha256).digest()
    # A proof that was made for another channel, and has been carried to this one.
    carried = redeem("one", ht.END_POINT, b"another certificate")._replace(binding=CHANNEL)
    assert judge(SEAL, [token], carried).failed == "credentials-expired"
    assert judge(SEAL, [token], redeem("one", ht.END_POINT)).failed == "credentials-expired"


@pytest.mark.parametrize(("made_for", "used_with"), [(ht.END_POINT, ht.NONE), (ht.NONE, ht.END_POINT)])
def test_a_token_is_good_for_its_own_mechanism_alone(made_for: str, used_with: str) -> None:
    binding = CHANNEL if used_with == ht.END_POINT else b""
    assert (
        judge(SEAL, [kept("one", made_for)], redeem("one", used_with, binding)).failed
        == "credentials-expired"
    )


@pytest.mark.parametrize(
    ("tokens_", "request_", "failed"),
    [
        ([], redeem("one"), "credentials-expired"),
        ([kept("one")], redeem("two"), "credentials-expired"),
        ([kept("one", live=False)], redeem("one"), "credentials-expired"),
        (
            [kept("one")],
            redeem("one")._replace(agent=AGENT.replace("d", "e")),
            "",
        ),  # the rows were asked for by agent
        ([kept("one", counter=5)], redeem("one", counter=5), "not-authorized"),
        ([kept("one", counter=5)], redeem("one", counter=1), "not-authorized"),
        ([kept("one", counter=5)], redeem("one", counter=6), ""),
        ([kept("two", serial=2), kept("one")], redeem("one"), ""),
    ],
)
def test_verdicts(tokens_: list[Kept], request_: Redeem, failed: str) -> None:
    assert judge(SEAL, tokens_, request_).failed == failed


def test_at_rest_there_is_nothing_that_logs_in() -> None:
    token = tokens.fresh()
    verifier = SEAL.verifier(token, ht.NONE, WHOSE)
    for part in (verifier[:32], verifier[32:]):
        stolen = Redeem(ACCOUNT, AGENT, ht.NONE, b"", part, -1, False, "", "", "")
        assert judge(SEAL, [kept(token)], stolen).failed == "credentials-expired"
    bound = SEAL.verifier(token, ht.END_POINT, WHOSE)
    assert token.encode() not in bound
    assert bound != SEAL.verifier(token, ht.END_POINT, WHOSE)


def test_a_sealed_token_belongs_to_its_client_and_its_secret() -> None:
    sealed = kept("one", ht.END_POINT)
    request = redeem("one", ht.END_POINT, CHANNEL)
    # rows of one client, copied to another
    other = request._replace(agent=AGENT.replace("d", "e"))
    assert judge(SEAL, [sealed], other).failed == "credentials-expired"
    # without the operator's own key the shared secret is worth nothing
    assert judge(Seal([b"s" * 32], "extra"), [sealed], request).failed == "credentials-expired"
    # an older secret opens what it closed
    assert judge(Seal([b"new" * 8, b"s" * 32]), [sealed], request).failed == ""


def test_tokens_cannot_be_guessed() -> None:
    made = {tokens.fresh() for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 43

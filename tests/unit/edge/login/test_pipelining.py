"""Clients that speak before they have heard anything (XEP-0509), and what attackers make of that."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.unit.edge.login.test_inline import BIND, authenticate, of, opened
from tests.unit.edge.login.test_negotiation import KEYS, OPEN, POLICY, Stream
from tests.unit.edge.login.test_tokens import CLIENT, WANTED, claim

from rookery.edge.login.effects import AskBind, AskCredentials, AskRedeem, AuthEnded, Close
from rookery.edge.login.framing import TCP
from rookery.edge.login.negotiation import Negotiation
from rookery.edge.policy import HostedDomain, Policy, Security

VERSION = "<config-version xmlns='urn:xmpp:iap:0' value='{}'/>"


def offered(policy: Policy = POLICY, *, binding: bytes | None = None) -> str:
    """The value of a stream with this policy."""
    stream = Stream()
    # (a domain keeps what its streams were told)
    policy = replace(policy, find={"example.org": HostedDomain("example.org")}.get)
    stream.machine = Negotiation(policy, Security(secure=True, binding=binding), TCP, lambda: "token")
    found = re.search(
        "<config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='([^']+)'/></stream:features>",
        stream.feed(OPEN.format("example.org")),
    )
    assert found is not None
    return found[1]


def current() -> str:
    text = Stream().feed(OPEN.format("example.org"))
    found = re.search("config-version [^>]* value='([^']*)'", text)
    assert found is not None
    return found[1]


def test_the_value_stands_for_what_is_offered() -> None:
    assert offered() == offered()
    changed = [
        replace(POLICY, fast=False),
        replace(POLICY, upgrades=()),
        replace(POLICY, mechanisms=("SCRAM-SHA-1",)),
    ]
    assert len({offered(), offered(binding=b"x"), *map(offered, changed)}) == 5
    assert "urn:xmpp:iap:0" not in Stream(Security(plaintext=True)).feed(OPEN.format("example.org"))


def test_everything_in_one_flight() -> None:
    stream = Stream()
    stream.feed(OPEN.format("example.org") + authenticate(VERSION.format(current()), BIND.format("")))
    assert len(of(stream, AskCredentials)) == 1
    stream.take(stream.machine.authentication.credentials(KEYS))
    stream.take(stream.machine.authentication.checked(True))
    assert len(of(stream, AskBind)) == 1


@pytest.mark.parametrize("said", ["", "AAAA", "old'\"<>&"])
@pytest.mark.parametrize("attempt", [authenticate, claim])
def test_who_knows_other_features_has_not_tried(attempt: object, said: str) -> None:
    assert callable(attempt)
    stream = opened()
    escaped = said.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&apos;")
    for _ in range(POLICY.failures + 3):
        written = stream.feed(attempt(VERSION.format(escaped), CLIENT, WANTED))
        assert (
            "<aborted xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/><config-version-mismatch xmlns='urn:xmpp:iap:0'/>"
            in written
        )
    assert of(stream, AskCredentials) == of(stream, AskRedeem) == of(stream, Close) == []
    assert {one.result for one in of(stream, AuthEnded) if isinstance(one, AuthEnded)} == {"aborted"}
    # It is no way around the count of failures, and the next attempt is a whole one.
    stream.feed(authenticate(VERSION.format(current())))
    assert len(of(stream, AskCredentials)) == 1


def test_a_value_twice_is_a_mistake() -> None:
    stream = opened()
    assert "<bad-format " in stream.feed(authenticate(VERSION.format("x"), VERSION.format("x")))


@pytest.mark.parametrize(
    "second",
    [
        authenticate(),
        claim(CLIENT),
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
        "<response xmlns='urn:xmpp:sasl:2'>AA==</response>",
        "<abort xmlns='urn:xmpp:sasl:2'/>",
    ],
)
def test_a_second_attempt_behind_one_that_succeeds_ends_the_stream(second: str) -> None:
    # (a connection hands on nothing while an answer is awaited, so it comes when the first one has ended)
    stream = opened()
    stream.feed(authenticate())
    stream.take(stream.machine.authentication.credentials(KEYS))
    assert "<success" in stream.take(stream.machine.authentication.checked(True))
    assert "<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in stream.feed(second)
    assert len(of(stream, Close)) == 1

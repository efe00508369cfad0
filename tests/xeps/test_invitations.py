"""XEP-0401: what an invitation looks like."""

from __future__ import annotations

import pytest

from rookery.shared.xeps.invitations import Options, address, digest, page, uri, when


def test_addresses() -> None:
    assert uri("example.org", "juliet", "T-_1") == "xmpp:juliet@example.org?register;preauth=T-_1"
    assert uri("example.org", "", "T") == "xmpp:example.org?register;preauth=T"
    assert uri("example.org", "a&b ü", "T").startswith("xmpp:a%26b%20%C3%BC@example.org?")
    assert address("a.org", "juliet", "romeo@a.org", "T") == "xmpp:juliet@a.org?register;preauth=T"
    assert address("a.org", "", "romeo@a.org", "T") == "xmpp:romeo@a.org?roster;preauth=T;ibr=y"
    assert address("a.org", "", "", "T") == "xmpp:a.org?register;preauth=T"
    assert page(Options(), "example.org", 5280, "T") == "https://example.org:5280/invite?t=T"
    assert page(Options(), "example.org", 443, "T") == "https://example.org/invite?t=T"
    assert (
        page(Options(url="https://x.{domain}/"), "example.org", 1, "T") == "https://x.example.org/invite?t=T"
    )
    assert page(Options(), "example.org", 0, "T") == ""
    assert when(1_600_000_000.9) == "2020-09-13T12:26:40Z"


@pytest.mark.parametrize("token", ["", "short", "x" * 65, "has a blank in it ", "x" * 20 + "\n", "ü" * 20])
def test_what_is_surely_no_token(token: str) -> None:
    assert digest(token) is None


def test_a_token_has_one_digest() -> None:
    assert digest("x" * 27) == digest("x" * 27) != digest("y" * 27)

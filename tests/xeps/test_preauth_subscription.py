"""XEP-0379: the token of a request."""

from __future__ import annotations

import pytest

from rookery.shared.xeps.preauth_subscription import token
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza


@pytest.mark.parametrize(
    ("inside", "found"),
    [
        ("<preauth xmlns='urn:xmpp:pars:0' token='T'/>", "T"),
        ("<preauth xmlns='urn:xmpp:pars:0'/>", ""),
        ("<preauth xmlns='urn:x' token='T'/>", ""),
    ],
)
def test_the_token(inside: str, found: str) -> None:
    assert token(Stanza.build("presence", parse_element(inside.encode()), type="subscribe")) == found


def test_most_requests_have_none() -> None:
    assert token(Stanza.build("presence", type="subscribe")) == ""

"""XEP-0484: Fast Authentication Streamlining Tokens, its elements. The exchange is in tests/unit/edge/login/test_tokens.py."""

from __future__ import annotations

import pytest

from rookery.shared.xeps import fast, sasl2
from rookery.shared.xmpp.sasl import ht
from rookery.shared.xmpp.sasl.common import SaslFailure
from rookery.shared.xmpp.xml import Element

NS = "urn:xmpp:fast:0"


@pytest.mark.parametrize(
    ("attrs", "use"),
    [
        ({}, (-1, False)),
        ({"count": "1"}, (1, False)),
        ({"count": "2147483647", "invalidate": "1"}, (2147483647, True)),
        ({"invalidate": "true"}, (-1, True)),
        ({"invalidate": "false"}, (-1, False)),
    ],
)
def test_use(attrs: dict[str, str], use: tuple[int, bool]) -> None:
    assert fast.parse(Element(NS, "fast", attrs)) == use


@pytest.mark.parametrize(
    "attrs", [{"count": "0"}, {"count": "2147483648"}, {"count": "٣"}, {"invalidate": "yes"}]
)
def test_bad_use(attrs: dict[str, str]) -> None:
    with pytest.raises(SaslFailure, match="malformed-request"):
        fast.parse(Element(NS, "fast", attrs))


def test_what_is_offered_inside_of_sasl2() -> None:
    feature = sasl2.stream_feature(["PLAIN"], [ht.NONE])
    inline = feature.find(sasl2.NS, "inline")
    assert inline is not None
    offered = inline.find(NS, "fast")
    assert offered is not None
    assert [one.text for one in offered.elements()] == [ht.NONE]
    without = sasl2.stream_feature(["PLAIN"]).find(sasl2.NS, "inline")
    assert without is not None
    assert without.find(NS, "fast") is None


def test_token() -> None:
    assert fast.token("secret", 1_800_000_000) == Element(
        NS, "token", {"token": "secret", "expiry": "2027-01-15T08:00:00Z"}
    )

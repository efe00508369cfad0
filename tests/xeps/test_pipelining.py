"""XEP-0509: the value that stands for the features."""

from __future__ import annotations

from rookery.shared.xeps.pipelining import stream_feature, value
from rookery.shared.xmpp.xml import Element

ONE, TWO = Element("urn:x", "one"), Element("urn:x", "two", {"a": "b"})


def test_other_features_have_another_value() -> None:
    assert value([ONE, TWO]) == value([Element("urn:x", "one"), Element("urn:x", "two", {"a": "b"})])
    assert len({value([]), value([ONE]), value([ONE, TWO]), value([TWO, ONE]), value([TWO])}) == 5


def test_the_feature() -> None:
    feature = stream_feature([ONE])
    assert (feature.get("scheme"), feature.get("value")) == ("opaque", value([ONE]))

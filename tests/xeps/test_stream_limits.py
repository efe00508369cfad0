"""XEP-0478."""

from rookery.shared.xeps.stream_limits import stream_feature


def test_limits() -> None:
    assert stream_feature(262144, 300).xml() == (
        "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>262144</max-bytes><idle-seconds>300</idle-seconds></limits>"
    )
    assert "idle-seconds" not in stream_feature(1, 0).xml()

"""XEP-0440."""

from rookery.shared.xeps.channel_binding import stream_feature


def test_types() -> None:
    assert stream_feature(["tls-server-end-point"]).xml() == (
        "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-server-end-point'/>"
        "</sasl-channel-binding>"
    )

"""XEP-0368."""

from rookery.shared.xeps.direct_tls import ALPN_CLIENT


def test_the_alpn_name_of_client_streams() -> None:
    """Section 3, requirement 5."""
    assert ALPN_CLIENT == "xmpp-client"

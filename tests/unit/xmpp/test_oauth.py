"""OAUTHBEARER (RFC 7628): what clients send."""

from __future__ import annotations

import pytest

from rookery.shared.xmpp.sasl import oauth
from rookery.shared.xmpp.sasl.common import SaslFailure

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="


@pytest.mark.parametrize(
    ("message", "bearer"),
    [
        # The example of section 4.1.
        (
            f"n,a=user@example.org,\x01host=example.org\x01port=143\x01auth=Bearer {TOKEN}\x01\x01",
            ("user@example.org", TOKEN),
        ),
        (f"n,,\x01auth=Bearer {TOKEN}\x01\x01", ("", TOKEN)),
        (f"y,a=user,\x01auth=bearer {TOKEN}\x01\x01", ("user@example.org", TOKEN)),
        # Section 4.3: only to learn where tokens come from.
        ("n,,\x01auth=\x01\x01", ("", "")),
    ],
)
def test_messages(message: str, bearer: tuple[str, str]) -> None:
    assert oauth.parse(message.encode(), "example.org") == bearer


@pytest.mark.parametrize(
    ("message", "condition"),
    [
        (b"", "malformed-request"),
        (b"n,,\x01\x01", "malformed-request"),
        (f"n,,\x01auth=Bearer {TOKEN}\x01".encode(), "malformed-request"),
        (f"p=tls-exporter,,\x01auth=Bearer {TOKEN}\x01\x01".encode(), "malformed-request"),
        (f"n,,\x01auth=Basic {TOKEN}\x01\x01".encode(), "malformed-request"),
        (b"n,,\x01auth=Bearer a b\x01\x01", "malformed-request"),
        (f"n,,\x01auth=Bearer {TOKEN}\x01auth=Bearer {TOKEN}\x01\x01".encode(), "malformed-request"),
        (b"n,,\x01auth=Bearer \xff\x01\x01", "malformed-request"),
        (b"n,,\x01auth=Bearer " + b"a" * 20_000 + b"\x01\x01", "malformed-request"),
        (f"n,a=user@evil.example,\x01auth=Bearer {TOKEN}\x01\x01".encode(), "invalid-authzid"),
        (f"n,a=user@example.org/x,\x01auth=Bearer {TOKEN}\x01\x01".encode(), "invalid-authzid"),
        (f"n,a=a b,\x01auth=Bearer {TOKEN}\x01\x01".encode(), "invalid-authzid"),
    ],
)
def test_bad_messages(message: bytes, condition: str) -> None:
    with pytest.raises(SaslFailure, match=condition):
        oauth.parse(message, "example.org")

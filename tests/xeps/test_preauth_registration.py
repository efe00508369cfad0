"""XEP-0445: the stream feature; the rest is in tests/unit/edge/login/test_invited.py and tests/contracts/test_account_invitations.py."""

from __future__ import annotations

from rookery.shared.xeps.preauth_registration import stream_feature


def test_the_feature() -> None:
    assert stream_feature().xml("") == "<register xmlns='urn:xmpp:ibr-token:0'/>"

"""XEP-0402 (its rules are tested in tests/contracts/test_pubsub_conversions.py)."""

from rookery.shared.xeps._xep import Target
from rookery.shared.xeps.registry import features


def test_conversions_are_announced_on_accounts() -> None:
    """Sections 5.2 and 6."""
    assert {"urn:xmpp:bookmarks:1#compat", "urn:xmpp:bookmarks:1#compat-pep"} <= set(features(Target.ACCOUNT))

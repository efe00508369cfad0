"""XEP-0160."""

from rookery.shared.xeps import registry
from rookery.shared.xeps._xep import Target


def test_offline_storage_is_advertised() -> None:
    """Section 4 and the registrar's list of features."""
    assert "msgoffline" in registry.features(Target.DOMAIN)

"""XEP-0474; the hash and the attacks are in tests/unit/xmpp/test_sasl.py."""

from rookery.shared.config import Config
from rookery.shared.xeps.downgrade_protection import Options


def test_it_is_on_by_default() -> None:
    assert Config().options(Options).enabled

"""XEP-0049 (its rules are tested in tests/contracts/test_account_service.py)."""

from rookery.shared.xeps._xep import Forward, Target
from rookery.shared.xeps.private_xml import NS
from rookery.shared.xeps.registry import lookup


def test_the_account_worker_answers() -> None:
    for type in ("get", "set"):
        assert lookup(Target.ACCOUNT, type, NS, "query") == Forward("account")
    assert lookup(Target.DOMAIN, "get", NS, "query") is None

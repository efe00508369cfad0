"""XEP-0054 (its rules are tested in tests/contracts/test_account_service.py)."""

from rookery.shared.xeps._xep import Forward, Target
from rookery.shared.xeps.registry import lookup
from rookery.shared.xeps.vcard_temp import NS


def test_the_account_worker_answers() -> None:
    for type in ("get", "set"):
        assert lookup(Target.ACCOUNT, type, NS, "vCard") == Forward("account")
    assert lookup(Target.ACCOUNT, "get", NS, "vcard") is None

"""XEP-0077 (its rules are tested in tests/contracts/test_account_service.py)."""

from rookery.shared.xeps._xep import Forward, Target
from rookery.shared.xeps.registration import NS, blank_form, filled_form, stream_feature
from rookery.shared.xeps.registry import lookup


def test_a_stranger_is_asked_for_a_name_a_password_and_an_email() -> None:
    names = [field.name for field in blank_form("Say who you are.").elements()]
    assert names == ["instructions", "username", "password", "email"]


def test_who_is_registered_learns_so_but_never_the_password() -> None:
    assert filled_form("bill", "b@x").xml() == (
        "<query xmlns='jabber:iq:register'><registered/><username>bill</username><password/><email>b@x</email></query>"
    )


def test_the_stream_feature() -> None:
    assert stream_feature().xml() == "<register xmlns='http://jabber.org/features/iq-register'/>"


def test_the_account_worker_answers_for_domain_and_account() -> None:
    for target in (Target.DOMAIN, Target.ACCOUNT):
        for type in ("get", "set"):
            assert lookup(target, type, NS, "query") == Forward("account")

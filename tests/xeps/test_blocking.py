"""XEP-0191 (its effects are tested in tests/contracts/test_account_service.py)."""

import pytest

from rookery.shared.xeps._xep import Forward, Target
from rookery.shared.xeps.blocking import MARK, NS, items, matches, outbound_error
from rookery.shared.xeps.registry import lookup
from rookery.shared.xmpp.stanza import Stanza


@pytest.mark.parametrize(
    ("entry", "address", "covered"),
    [
        ("u@d/r", "u@d/r", True),  # section 4: only that resource
        ("u@d/r", "u@d/other", False),
        ("u@d/r", "u@d", False),
        ("u@d", "u@d/r", True),  # any resource
        ("u@d", "u@d", True),
        ("u@d", "v@d", False),
        ("d/r", "d/r", True),  # only that resource
        ("d/r", "d", False),
        ("d", "u@d/r", True),  # the domain itself and everybody in it
        ("d", "d/r", True),
        ("d", "d", True),
        ("d", "sub.d", False),
    ],
)
def test_what_an_entry_covers(entry: str, address: str, covered: bool) -> None:
    assert matches({entry}, address) == covered


def test_the_list_marks_who_asked_for_it() -> None:
    assert lookup(Target.ACCOUNT, "get", NS, "blocklist") == Forward("account", marks=MARK)
    assert lookup(Target.ACCOUNT, "set", NS, "block") == Forward("account")
    assert lookup(Target.ACCOUNT, "get", NS, "block") is None


def test_items() -> None:
    assert items("block", ["a@b"]).xml() == "<block xmlns='urn:xmpp:blocking'><item jid='a@b'/></block>"


def test_what_the_blocker_gets_who_sends_to_the_blocked() -> None:
    error = Stanza.build("message", to="a@b", from_="c@d/e").error(outbound_error())
    assert b"<error type='cancel'><not-acceptable" in error.inner
    assert b"<blocked xmlns='urn:xmpp:blocking:errors'/>" in error.inner

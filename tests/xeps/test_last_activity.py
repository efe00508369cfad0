"""XEP-0012."""

from rookery.shared.xeps._xep import Forward, Target
from rookery.shared.xeps.last_activity import NS, answer
from rookery.shared.xeps.registry import lookup

from .helpers import ask, context, iq

QUERY = "<query xmlns='jabber:iq:last'/>"


def test_a_domain_tells_its_uptime() -> None:
    assert ask(iq(QUERY)).inner == b"<query xmlns='jabber:iq:last' seconds='100'/>"


def test_an_account_tells_subscribers_only() -> None:
    entry = lookup(Target.ACCOUNT, "get", NS, "query")
    assert isinstance(entry, Forward)
    assert entry.subscribers_only


def test_an_account_with_a_resource_is_active_now() -> None:
    entry = lookup(Target.ACCOUNT, "get", NS, "query")
    assert isinstance(entry, Forward)
    assert entry.online is not None
    assert b"seconds='0'" in entry.online(iq(QUERY), context()).inner


def test_the_status_is_told_and_a_clock_that_went_back_is_not() -> None:
    assert answer(iq(QUERY), -5, "Heading <home>").inner == (
        b"<query xmlns='jabber:iq:last' seconds='0'>Heading &lt;home&gt;</query>"
    )

"""XEP-0199."""

from rookery.shared.xeps._xep import Target

from .helpers import ask, iq


def test_a_ping_has_an_empty_result() -> None:
    for target, to in ((Target.DOMAIN, "example.org"), (Target.ACCOUNT, "alice@example.org")):
        assert ask(iq("<ping xmlns='urn:xmpp:ping'/>", to=to), target).inner == b""

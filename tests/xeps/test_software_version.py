"""XEP-0092."""

from .helpers import ask, iq


def test_name_and_version_but_no_operating_system() -> None:
    assert ask(iq("<query xmlns='jabber:iq:version'/>")).inner == (
        b"<query xmlns='jabber:iq:version'><name>Rookery</name><version>1.2.3</version></query>"
    )

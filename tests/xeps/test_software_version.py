"""XEP-0092."""

from rookery.shared.config import Config
from rookery.shared.xeps.software_version import Options

from .helpers import ask, iq


def test_name_and_version_but_no_operating_system() -> None:
    assert ask(iq("<query xmlns='jabber:iq:version'/>")).inner == (
        b"<query xmlns='jabber:iq:version'><name>Rookery</name><version>1.2.3</version></query>"
    )


def test_the_version_may_be_kept_secret() -> None:
    config = Config(software_version=Options(show_version=False))
    answer = ask(iq("<query xmlns='jabber:iq:version'/>"), options=config.options)
    assert answer.inner == b"<query xmlns='jabber:iq:version'><name>Rookery</name><version/></query>"

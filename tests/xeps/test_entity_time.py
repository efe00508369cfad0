"""XEP-0202."""

from .helpers import ask, iq


def test_time_in_utc() -> None:
    assert ask(iq("<time xmlns='urn:xmpp:time'/>")).inner == (
        b"<time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>2020-09-13T12:28:20Z</utc></time>"
    )

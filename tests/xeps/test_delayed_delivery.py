"""XEP-0203."""

from rookery.shared.xeps.delayed_delivery import NS, delay, stamped
from rookery.shared.xmpp.stanza import Stanza


def test_a_stamp_is_utc_in_milliseconds() -> None:
    assert delay(1_600_000_000.0457, "example.org").attrs == {
        "from": "example.org",
        "stamp": "2020-09-13T12:26:40.045Z",
    }
    assert delay(0, "x", "Offline Storage").text == "Offline Storage"


def test_our_stamp_comes_after_those_of_others() -> None:
    message = Stanza.build("message", delay(1, "room@example.org"))
    twice = stamped(message, 2, "example.org")
    assert [e.get("from") for e in twice.elements()] == ["room@example.org", "example.org"]
    assert twice.payloads == ((NS, "delay"), (NS, "delay"))
    assert stamped(message, 2, "example.org").elements()[1].get("stamp") == "1970-01-01T00:00:02.000Z"

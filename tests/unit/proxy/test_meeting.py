"""Two connections of one name belong together, when the requester says so."""

from __future__ import annotations

import pytest

from rookery.shared.xmpp.errors import StanzaError
from rookery.workers.proxy.meeting import Meeting, stream_of


def test_the_name_of_a_stream() -> None:
    # XEP-0065 section 5.3.2: SHA-1 over sid, requester, target.
    assert stream_of("vxf9n471bn46", "requester@example.com/foo", "target@example.org/bar") == (
        "98b8d688d0f5d895fd41c5e7309a2e9e33ba32ff"
    )


def refused(meeting: Meeting[str], stream: str, account: str = "a") -> str:
    with pytest.raises(StanzaError) as error:
        meeting.activate(stream, account)
    return error.value.condition


def test_two_meet_and_a_third_may_not() -> None:
    meeting: Meeting[str] = Meeting(4)
    assert refused(meeting, "s") == "item-not-found"
    assert meeting.join("s", "target")
    assert refused(meeting, "s") == "not-allowed"
    assert meeting.join("s", "requester")
    assert not meeting.join("s", "third")
    assert meeting.activate("s", "a") == ("target", "requester")
    assert refused(meeting, "s") == "item-not-found"
    assert (meeting.waiting, meeting.active) == (0, 1)


def test_who_leaves_is_not_waited_for() -> None:
    meeting: Meeting[str] = Meeting(4)
    meeting.join("s", "target")
    meeting.leave("s", "other")
    meeting.leave("s", "target")
    meeting.leave("s", "target")
    assert refused(meeting, "s") == "item-not-found"


def test_an_account_has_so_many_streams_at_once() -> None:
    meeting: Meeting[str] = Meeting(1)
    for stream in ("s", "t"):
        meeting.join(stream, "target")
        meeting.join(stream, "requester")
    meeting.activate("s", "a")
    assert refused(meeting, "t") == "resource-constraint"
    meeting.ended("a")
    assert meeting.activate("t", "a")

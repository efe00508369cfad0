"""When a connection has to have done something."""

from __future__ import annotations

from rookery.edge.client.deadlines import HIBERNATE_SECONDS, LINGER_SECONDS, Deadlines, Silence
from rookery.shared.config import Limits
from rookery.shared.net.timers import NEVER

LIMITS = Limits(preauth_seconds=30, idle_seconds=300, idle_answer_seconds=30)


def test_negotiation_ends_at_an_absolute_time_and_a_handshake_before_it() -> None:
    deadlines = Deadlines(LIMITS, 100.0)
    assert deadlines.first == 130.0
    deadlines.handshake = 110.0
    assert deadlines.first == 110.0


def test_what_was_missed_is_not_missed_again() -> None:
    deadlines = Deadlines(LIMITS, 100.0)
    assert not deadlines.missed()
    assert deadlines.first == NEVER
    deadlines.handshake = 200.0
    assert deadlines.missed(), "nothing can be said in a handshake"


def test_a_stream_that_is_over_has_a_moment_to_close() -> None:
    deadlines = Deadlines(LIMITS, 100.0)
    assert deadlines.linger(500.0) == 500.0 + LINGER_SECONDS == deadlines.first


def test_silence_frees_the_parser_then_asks_then_is_death() -> None:
    deadlines = Deadlines(LIMITS, 0.0)
    assert deadlines.quiet(0.0) == HIBERNATE_SECONDS
    assert deadlines.silence(5.0) == (Silence.NOTHING, HIBERNATE_SECONDS)
    assert deadlines.silence(HIBERNATE_SECONDS) == (Silence.HIBERNATE, 300.0)
    assert deadlines.hibernates
    assert deadlines.silence(300.0) == (Silence.ASK, 330.0)
    assert deadlines.silence(329.0) == (Silence.NOTHING, 330.0)
    assert deadlines.silence(330.0) == (Silence.DEAD, 330.0)


def test_a_client_that_is_heard_after_it_was_asked_lives() -> None:
    deadlines = Deadlines(LIMITS, 0.0)
    deadlines.silence(300.0)
    deadlines.heard, deadlines.asked = 310.0, 0.0
    assert deadlines.silence(311.0) == (Silence.NOTHING, 310.0 + HIBERNATE_SECONDS)

"""When a client is notified (XEP-0357): bursts are one notification, failures wait, a client that is back is left alone."""

from __future__ import annotations

from rookery.shared.bus.messages import Missed
from rookery.shared.xeps.push import App, Options, Summary
from rookery.workers.pubsub.push.client import ANSWER_SECONDS, LONGEST_PAUSE, PAUSE, Client, Outcome

OPTIONS = Options()
WAIT = ("wait", "resource-constraint")


def client() -> Client:
    return Client(App("push.example", "n", b""), "phone")


def missed(urgent: bool = False) -> Missed:
    return Missed("a@b", ("phone",), 1, "c@d", "hi", urgent)


def test_a_burst_is_one_notification() -> None:
    one = client()
    assert [one.miss(missed(), 10.0 + i / 100, OPTIONS) for i in range(50)] == [True] + [False] * 49
    assert one.next == 11.0
    assert one.send("push:1", 11.0) == Summary(50, "c@d", "hi")
    assert one.next == 11.0 + ANSWER_SECONDS
    assert one.answered(None, 11.1, OPTIONS) is Outcome.DONE
    assert (one.due, one.next) == (False, float("inf"))
    # The next one keeps its distance.
    assert one.miss(missed(), 11.2, OPTIONS)
    assert one.next == 16.0


def test_what_comes_while_one_is_on_its_way_is_told_next() -> None:
    one = client()
    one.miss(missed(), 0.0, OPTIONS)
    one.send("push:1", 1.0)
    assert not one.miss(missed(), 1.5, OPTIONS)
    assert one.answered(None, 2.0, OPTIONS) is Outcome.AGAIN
    assert (one.due, one.next) == (True, 6.0)
    assert one.send("push:2", 6.0).messages == 2
    assert one.answered(None, 6.1, OPTIONS) is Outcome.DONE


def test_a_call_does_not_wait() -> None:
    one = client()
    one.miss(missed(), 0.0, OPTIONS)
    assert not one.miss(missed(urgent=True), 0.1, OPTIONS)
    assert one.next == 0.1


def test_failures_wait_longer_and_end() -> None:
    one = client()
    one.miss(missed(), 0.0, OPTIONS)
    pauses = []
    for _ in range(OPTIONS.failures - 1):
        one.send("push:1", 0.0)
        assert one.answered(WAIT, 0.0, OPTIONS) is Outcome.AGAIN
        pauses.append(one.next)
        assert not one.miss(missed(urgent=True), 0.0, OPTIONS)
        assert one.next == pauses[-1], "a call does not break the pause"
    assert pauses[:3] == [PAUSE, 2 * PAUSE, 4 * PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    one.send("push:1", 0.0)
    assert one.answered(WAIT, 0.0, OPTIONS) is Outcome.OVER


def test_a_final_error_ends_it_and_success_forgets_failures() -> None:
    one = client()
    one.miss(missed(), 0.0, OPTIONS)
    one.send("push:1", 0.0)
    one.answered(WAIT, 0.0, OPTIONS)
    one.send("push:2", 30.0)
    assert one.answered(None, 30.0, OPTIONS) is Outcome.DONE
    assert one.failures == 0
    one.miss(missed(), 40.0, OPTIONS)
    one.send("push:3", 41.0)
    assert one.answered(("cancel", "item-not-found"), 41.0, OPTIONS) is Outcome.OVER


def test_who_is_back_is_not_notified() -> None:
    one = client()
    assert not one.back(), "nothing to write"
    one.miss(missed(), 0.0, OPTIONS)
    assert one.back()
    assert (one.missed, one.due, one.next) == (0, False, float("inf"))
    one.miss(missed(), 0.0, OPTIONS)
    one.send("push:1", 1.0)
    one.back()
    assert one.answered(WAIT, 2.0, OPTIONS) is Outcome.DONE
    assert not one.due


def test_a_later_process_goes_on() -> None:
    one = Client(App("push.example", "n", b""), "phone", missed=3, due=True)
    one.resume(5.0, OPTIONS)
    assert one.next == 6.0
    assert one.send("push:1", 6.0).messages == 3

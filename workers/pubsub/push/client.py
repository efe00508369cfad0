"""One client that is notified: when its next notification goes out, and what an answer means. A pure machine; times are in seconds."""

from __future__ import annotations

from enum import Enum
from typing import Final

from rookery.shared.bus.messages import Missed
from rookery.shared.xeps.push import App, Options, Summary, final

#: An app server that has not answered for so long has failed.
ANSWER_SECONDS: Final = 60.0
#: How long to wait after the first failure; twice as long after each further one, up to the second number.
PAUSE: Final = 30.0
LONGEST_PAUSE: Final = 3600.0
#: The count that a notification shows at most.
MOST: Final = 9999


class Outcome(Enum):
    """What follows from an answer."""

    #: All is told.
    DONE = "done"
    #: There is more to tell, or the same again, at `Client.at`.
    AGAIN = "again"
    #: The client is notified no more.
    OVER = "over"


class Client:
    """A client, as the row of `push` has it, and what is under way."""

    __slots__ = (
        "_more", "app", "at", "body", "deadline", "due", "failures", "id", "last", "missed", "resource", "sender",
    )  # fmt: skip

    def __init__(
        self, app: App, resource: str, missed: int = 0, failures: int = 0, due: bool = False
    ) -> None:
        self.app = app
        self.resource = resource
        self.missed = missed
        self.failures = failures
        #: A notification has to go out, or waits for its answer; the row says the same.
        self.due = due
        self.sender = ""
        self.body = ""
        #: When it goes out; 0.0 when none is due.
        self.at = 0.0
        #: When the last one went out.
        self.last = float("-inf")
        #: The id of the one that has no answer yet, and when that is a failure.
        self.id = ""
        self.deadline = 0.0
        #: More was missed since that went out.
        self._more = False

    def miss(self, item: Missed, now: float, options: Options) -> bool:
        """It has missed something; whether it became due by that."""
        self.missed = min(MOST, self.missed + item.messages)
        self.sender, self.body = item.sender, item.body
        if self.id:
            self._more = True
            return False
        if not self.due:
            self.due = True
            self.at = now if item.urgent else self._next(now, options)
            return True
        if item.urgent and not self.failures:
            self.at = min(self.at, now)
        return False

    def resume(self, now: float, options: Options) -> None:
        """The row says that it is due: a former process has not heard the answer."""
        self.at = self._next(now, options)

    def back(self) -> bool:
        """The client is there: nothing is due any more; whether the row has to say so. What is on its way is not taken back."""
        changed = bool(self.missed or self.due)
        self.missed = 0
        self._more = False
        self.due = bool(self.id)
        self.at = 0.0
        return changed

    def _next(self, now: float, options: Options) -> float:
        return max(now + options.gather_seconds, self.last + options.interval_seconds)

    def send(self, id: str, now: float) -> Summary:
        """Its notification goes out now."""
        self.id, self.last, self.deadline = id, now, now + ANSWER_SECONDS
        self._more = False
        return Summary(self.missed, self.sender, self.body)

    def answered(self, error: tuple[str, str] | None, now: float, options: Options) -> Outcome:
        """The app server took it (None), or answered an error: its type and condition."""
        self.id = ""
        if error is None:
            self.failures = 0
            if self._more:
                self.at = self._next(now, options)
                return Outcome.AGAIN
            self.due = False
            self.at = 0.0
            return Outcome.DONE
        self.failures += 1
        if final(*error) or self.failures >= options.failures:
            return Outcome.OVER
        if not self.missed:
            self.due = False  # it came back meanwhile
            return Outcome.DONE
        self.at = now + min(LONGEST_PAUSE, PAUSE * 2 ** (self.failures - 1))
        return Outcome.AGAIN

    @property
    def next(self) -> float:
        """When it has to be looked at; infinity when nothing is due."""
        if self.id:
            return self.deadline
        return self.at if self.due else float("inf")

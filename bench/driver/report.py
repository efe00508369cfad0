"""What parent and driver processes tell each other: one JSON document a line, over the driver's standard input and output."""

from __future__ import annotations

from msgspec import Struct, field

from rookery.bench.plan import Plan
from rookery.bench.result import Dead, Messages


class Order(Struct, frozen=True):
    """The first line to a driver: what to run, and which of `of` processes it is."""

    plan: Plan
    number: int
    of: int


class Go(Struct, frozen=True, tag="go"):
    """All are ready: begin at this time of the monotonic clock (nanoseconds)."""

    at_ns: int


class Onward(Struct, frozen=True, tag="onward"):
    """The server was measured with a part of the users: let the others in."""


class Quit(Struct, frozen=True, tag="quit"):
    """End the connections and the process."""


class Progress(Struct, frozen=True, tag="progress"):
    """How far the preparation is: a phase, and users that are through it."""

    phase: str
    done: int
    of: int


class Landed(Struct, frozen=True, tag="landed"):
    """The first part of the users is there, and the others wait for `Onward`."""

    connected: int
    #: Users of that part who cannot take part.
    unable: int = 0


class Ready(Struct, frozen=True, tag="ready"):
    """The preparation is over. `failed`: what did not succeed, by condition, and how many users cannot take part for it."""

    connected: int
    failed: dict[str, int] = field(default_factory=dict)
    unable: int = 0
    #: What is known of a condition besides its name.
    why: dict[str, str] = field(default_factory=dict)
    #: A phase of the preparation that nobody came through: there is nothing to measure.
    hopeless: str = ""
    #: Why there is nothing to measure, as a line for the person who runs it.
    impossible: str = ""
    target: str = ""


class Part(Struct, frozen=True):
    """One operation in one second: (microseconds, count) pairs, and errors by condition."""

    counts: list[tuple[int, int]] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)


class Tick(Struct, frozen=True, tag="tick"):
    """One second of load. `second` counts from the beginning of the window; warm-up is negative.

    What comes after the window is over has the number of its second, too: those are the answers that were waited for.
    """

    second: int
    sent: int
    delivered: int
    connected: int
    cpu_ns: int
    parts: dict[str, Part] = field(default_factory=dict)
    #: (microseconds, count): how late operations began.
    late: list[tuple[int, int]] = field(default_factory=list)


class Waited(Struct, frozen=True):
    """How many of those who take turns (`pairs`, `users`) waited long for an answer at some time."""

    who: str
    waiting: int
    of: int


class Done(Struct, frozen=True, tag="done"):
    """The load is over and what was outstanding came or is lost."""

    messages: Messages
    #: Within the measured window.
    sent: int
    delivered: int
    cpu_ns: int
    window_ns: int
    waited: Waited | None = None
    notes: list[str] = field(default_factory=list)
    dead: tuple[Dead, ...] = ()


class Failed(Struct, frozen=True, tag="failed"):
    """The driver cannot go on; the text is for the person who runs it."""

    text: str


ToDriver = Go | Onward | Quit
ToParent = Progress | Landed | Ready | Tick | Done | Failed

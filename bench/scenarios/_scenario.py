"""The seam of scenarios: what one says of itself and what the driver asks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rookery.bench.driver.report import Waited
from rookery.bench.driver.script import Script
from rookery.bench.plan import Plan, PlanError
from rookery.bench.result import Dead, Messages

if TYPE_CHECKING:
    from rookery.bench.driver.client import Client
    from rookery.bench.driver.driver import Driver


class Window(NamedTuple):
    """Nanoseconds of the monotonic clock: load begins, the measured window begins and ends."""

    begin: int
    first: int
    last: int


class Phase(NamedTuple):
    """A step of the preparation that each client takes, once all have taken the one before; None: this one need not.

    `at_once` clients of a process take it at the same time; 0: as many as the driver likes.
    """

    name: str
    script: Callable[[Client], Script | None]
    at_once: int = 0


class Scenario:
    """One kind of load, in one driver process. Operations count when their (intended) begin lies in the window."""

    #: The operation whose count and latency stand for the scenario.
    operation: ClassVar[str]
    #: What else is measured, each with latencies of its own.
    parts: ClassVar[tuple[str, ...]] = ()
    #: One line for `rookery bench scenarios`.
    summary: ClassVar[str]
    #: Users are logged in, one after the other at the ramp rate, before the load begins.
    online: ClassVar[bool] = True
    #: `rate` is of use, and so is its absence.
    open_loop: ClassVar[bool] = True
    closed_loop: ClassVar[bool] = True
    #: All can begin at once (`storm`).
    storms: ClassVar[bool] = False

    #: It is made of operations of several kinds by chance: its CPU is told for all of them.
    several: ClassVar[bool] = False

    #: The driver plays other servers, which the server must find and believe.
    federates: ClassVar[bool] = False

    #: Clients come back with the session tickets of their former connections, which the server has to give.
    tickets: ClassVar[bool] = False

    #: One user in so many comes first, and the server is measured with those, too: what the others add is theirs alone.
    part: ClassVar[int] = 1

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.plan = driver.plan

    @classmethod
    def check(cls, plan: Plan) -> None:
        """Refuse a plan that this scenario cannot run. Raises PlanError."""
        if (plan.search or plan.rate) and not cls.open_loop:
            raise PlanError(f"{plan.scenario} has no rate: leave it out")
        if plan.closed_loop and not plan.search and not cls.closed_loop:
            raise PlanError(f"{plan.scenario} is an open loop: give a --rate")
        if plan.storm and not cls.storms:
            raise PlanError(f"{plan.scenario} is no storm: login, resume and mam can be")

    @classmethod
    def measures(cls) -> tuple[str, ...]:
        """Operations that a result of this scenario can have; connections that end too soon are told by all."""
        return (cls.operation, *cls.parts, "connection")

    @classmethod
    def numbers_messages(cls) -> bool:
        """Whether messages are numbered, so that lost, doubled and reordered ones are known."""
        return cls.messages is not Scenario.messages

    @classmethod
    def endings(cls, plan: Mapping[str, Any]) -> float:
        """Endings that are counted for each operation of `rate`, on the average; `plan` is that of a result."""
        return 1.0

    @classmethod
    def further_files(cls, plan: Plan) -> int:
        """Files that a driver process opens besides the users' connections."""
        return 0

    def login(self, client: Client) -> Script:
        """Authenticate and bind."""
        return self.driver.login_script(client)

    def setup(self, client: Client) -> Script:
        """What a client does at the end of its login."""
        yield from ()

    def phases(self) -> Iterable[Phase]:
        """What clients do once all are there and before the load: rosters, archives."""
        return ()

    def gather(self) -> None:
        """The users are there: begin what else must be there before the load."""

    def unsettled(self) -> int:
        """What is still missing of what the phases and `gather` began."""
        return 0

    def listen(self, client: Client, data: bytes) -> None:
        """The sink of clients until the load begins."""
        self.driver.passive(client, data)

    def begin(self, window: Window) -> None:
        """Begin the load now."""
        raise NotImplementedError

    def finish(self) -> None:
        """Begin no more operations."""

    def watch(self, now: int) -> None:
        """Called twice a second during the load: a closed loop goes on after what was lost."""

    def abandon(self) -> None:
        """No answer is waited for any more: count what never ended, unless `messages` tells it."""

    def outstanding(self) -> int:
        """Operations whose end is awaited."""
        return 0

    def complete(self) -> bool:
        """Whether nothing is left to do, before the window is over (`count`, `storm`)."""
        return False

    def waited(self) -> Waited | None:
        """Who waited so long that the figures are in doubt."""
        return None

    def messages(self) -> Messages:
        """What became of numbered messages, over the whole run."""
        return Messages()

    def dead(self) -> tuple[Dead, ...]:
        """Remote domains that were dead, and how often the server tried to reach them."""
        return ()

    def close(self) -> None:
        """The run is over: end what is not a user's connection."""

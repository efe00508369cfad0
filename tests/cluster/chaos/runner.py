"""Clients, traffic, faults and the verdict, put together."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.cluster.chaos import autopsy
from tests.cluster.chaos.client import Client
from tests.cluster.chaos.faults import Absent, Fault, Stage
from tests.cluster.chaos.ledger import Ledger, Message, Request, Verdict
from tests.cluster.chaos.loop import Loop, Script
from tests.cluster.chaos.outside import Outside
from tests.cluster.chaos.press import PressBook, PressVerdict
from tests.cluster.chaos.rooms import RoomBook, RoomVerdict, Spoken
from tests.cluster.chaos.stream import DOMAIN
from tests.cluster.chaos.table import deck
from tests.cluster.harness import Cluster

#: How long everybody may take to connect at the start, and again at the end.
CONNECT_SECONDS: Final = 60.0
#: Quiet before the verdict, and how long to wait for it at most.
QUIET_SECONDS: Final = 5.0
SETTLE_SECONDS: Final = 60.0
#: Stanzas that a client queues while it is not connected.
OFFLINE_QUEUE: Final = 10
#: Lost messages that are looked for in the database.
AUTOPSIES: Final = 20


@dataclass(frozen=True)
class Settings:
    """What a run is."""

    seed: int
    seconds: float
    pairs: int = 20
    rate: float = 80.0
    managed: bool = True
    edges: int = 3
    routers: int = 2
    workers: int = 2
    gap: tuple[float, float] = (1.0, 4.0)
    #: End after so many faults; 0: when the time is over.
    injections: int = 0
    #: Rooms, each with a share of the clients; and the part of the messages that goes to them.
    rooms: int = 6
    share: float = 0.25
    #: Clients who publish to nodes, of which all are told; and publications a second of all of them.
    publishers: int = 4
    publications: float = 4.0
    #: The next fault begins while the one before is still there, up to so many at once.
    overlap: int = 1


class Injected(NamedTuple):
    """A fault that was there from `began` to `ended`, on the loop's clock."""

    fault: Fault
    began: float
    ended: float


class Report(NamedTuple):
    """The result of a run."""

    verdict: Verdict
    injected: Sequence[Injected]
    resumes: Sequence[float]
    places: Sequence[str]
    complaints: Sequence[str]
    refusals: dict[str, int]
    started: float
    seconds: float
    messages: Sequence[Message]
    slowest_round: float
    stuck: int
    #: (client, id, request) of what was not answered, too late, and more than once.
    unanswered: Sequence[tuple[int, str, Request]]
    late: Sequence[tuple[int, str, Request]]
    twice: Sequence[tuple[int, str, Request]]
    rooms: RoomVerdict
    #: (when it was said, seconds until the last occupant had it) of what was said to rooms.
    spoken: Sequence[tuple[float, float]]
    press: PressVerdict

    @property
    def good(self) -> bool:
        """Whether nothing was broken that was promised."""
        return self.verdict.zero and self.rooms.zero and self.press.zero and not self.complaints


class Runner:
    """One run on one cluster; implements `world.World`."""

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        faults: Sequence[Fault],
        say: Callable[[str], None] = print,
        outside: Outside | None = None,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._faults = faults
        self._say_line = say
        self.managed = settings.managed
        self.rng = random.Random(settings.seed)
        # Faults have dice of their own: how many messages there are must not change which fault comes when.
        self._dice = random.Random(settings.seed + 1)
        self.loop = Loop()
        self.ledger = self.make_ledger()
        self.rooms = RoomBook()
        self.press = PressBook()
        self.started = self.loop.now
        self.complaints: list[str] = []
        self.injected: list[Injected] = []
        self._resumes: list[float] = []
        self._ports: tuple[float, list[int]] = (0.0, [])
        self._talking = False
        self.stuck = 0
        self.clients = self.people()
        self.stage = Stage(cluster, self.loop, self._dice, self.clients, self.say, self.complain, outside)

    # --- what another sort of run does otherwise ---

    def make_ledger(self) -> Ledger:
        """Who judges."""
        return Ledger(managed=self._settings.managed)

    def people(self) -> list[Client]:
        """The clients, with accounts of their own."""
        accounts = self._cluster.add_users(2 * self._settings.pairs, DOMAIN)
        publishers = tuple(range(min(len(accounts), self._settings.publishers))) if self.managed else ()
        return [
            Client(self, index, user, password, accounts[index ^ 1][0], self._rooms_of(index), publishers)
            for index, (user, password) in enumerate(accounts)
        ]

    def stage_of(self, fault: Fault) -> Stage:
        """What this fault may touch."""
        return self.stage

    # --- what clients need ---

    def port(self) -> int:
        """The plain port of some edge that the ready file names."""
        at, ports = self._ports
        if self.loop.now - at > 0.1:
            try:
                listening = [edge["ports"].get("c2s", 0) for edge in self._cluster.processes("edge")]
                ports = [port for port in listening if port]
            except (OSError, ValueError):
                ports = []
            self._ports = (self.loop.now, ports)
        return self.rng.choice(ports) if ports else 0

    def _rooms_of(self, index: int) -> tuple[int, ...]:
        """The rooms of a client: one for each, two for every third."""
        count = self._settings.rooms if self.managed else 0
        if not count:
            return ()
        return tuple({index % count, (index + 1) % count} if index % 3 == 0 else {index % count})

    def chain_of(self, client: int) -> int:
        """The session that this client has now, 0 for none."""
        chain = self.clients[client].chain if 0 <= client < len(self.clients) else None
        return 0 if chain is None else chain.number

    def cut(self) -> int:
        """After how many bytes the next log-in is cut."""
        return self.stage.cuts.pop(0) if self.stage.cuts else 0

    def resumed(self, client: Client, seconds: float) -> None:
        """Collect how long streams were broken."""
        self._resumes.append(seconds)

    # --- telling ---

    def say(self, text: str) -> None:
        """One line with the time since the start."""
        self._say_line(f"{self.loop.now - self.started:8.2f}  {text}")

    def complain(self, text: str) -> None:
        """Something that was promised did not happen."""
        self.complaints.append(text)
        self.say(f"COMPLAINT: {text}")

    # --- the run ---

    def run(self) -> Report:
        """All of it."""
        began = time.monotonic()
        loop = self.loop
        for number, client in enumerate(self.clients):
            loop.after(number * 0.01, client.connect)
        self._wait(lambda: all(client.up for client in self.clients), CONNECT_SECONDS, "everybody to connect")
        self._wait(self._all_inside, CONNECT_SECONDS, "everybody to be in the rooms and subscribed")
        self.started = self.rooms.started = self.press.started = loop.now
        self.say(f"{len(self.clients)} clients are connected")
        self._talking = True
        loop.spawn(self._traffic())
        loop.spawn(self._publishing())
        finished: list[bool] = []
        loop.spawn(self._faulting(), lambda: finished.append(True))
        loop.run(lambda: bool(finished))
        self._talking = False
        self._end()
        seconds = loop.now - self.started
        verdict = self.ledger.verdict()
        rooms = self.rooms.verdict(self._archives())
        press = self.press.verdict(self._nodes())
        places = self._autopsy(verdict)
        refusals: dict[str, int] = {}
        for client in self.clients:
            for why in client.refusals:
                refusals[why] = refusals.get(why, 0) + 1
            client.stopped = True
            if client.stream is not None:
                client.stream.close("")
        self.say(f"done in {time.monotonic() - began:.0f} s")
        loop.close()
        return Report(
            verdict,
            self.injected,
            sorted(self._resumes),
            places,
            self.complaints,
            refusals,
            self.started,
            seconds,
            list(self.ledger.messages.values()),
            loop.longest,
            self.stuck,
            self.ledger.open_requests(),
            self.ledger.late(),
            self.ledger.answered_again(),
            rooms,
            [(one.sent, one.last - one.sent) for one in self.rooms.fates.values() if one.last],
            press,
        )

    def _all_inside(self) -> bool:
        return all(client.inside.ready and client.press.ready for client in self.clients)

    def _wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = self.loop.now + seconds
        self.loop.run(lambda: condition() or self.loop.now > deadline)
        if not condition():
            self.complain(f"waited {seconds:.0f} s for {what}")

    def _traffic(self) -> Script:
        rng, settings = self.rng, self._settings
        while self._talking:
            client = rng.choice(self.clients)
            chain = client.chain
            connected = client.up and not client.silent
            if chain is not None and (connected or (settings.managed and len(chain.queue) < OFFLINE_QUEUE)):
                if client.inside.rooms and rng.random() < settings.share:
                    client.speak(rng.choice(client.inside.rooms))
                else:
                    client.talk()
                if rng.random() < 0.2:
                    client.ask()
            yield rng.expovariate(settings.rate)

    def _publishing(self) -> Script:
        # (dice of their own, as faults have)
        dice = random.Random(self._settings.seed + 2)
        publishers = [client for client in self.clients if client.press.own]
        while self._talking and publishers:
            client = dice.choice(publishers)
            if client.chain is not None and len(client.chain.queue) < OFFLINE_QUEUE:
                client.publish()
            yield dice.expovariate(self._settings.publications)

    def _faulting(self) -> Script:
        rng, settings = self._dice, self._settings
        end = self.started + settings.seconds
        yield 2.0
        under_way: list[Fault] = []
        for fault in deck(self._faults, rng):
            if self.loop.now >= end or 0 < settings.injections <= len(self.injected):
                break
            self.say(f"{fault.id} {fault.name}")
            under_way.append(fault)
            self.loop.spawn(self._inject(fault, under_way))
            yield lambda: len(under_way) < settings.overlap
            yield rng.uniform(*settings.gap)
        yield lambda: not under_way
        if not settings.injections:
            yield max(0.0, end - self.loop.now)

    def _inject(self, fault: Fault, under_way: list[Fault]) -> Script:
        began = self.loop.now
        stage = self.stage_of(fault)
        try:
            yield from fault.run(stage)
            self.injected.append(Injected(fault, began, self.loop.now))
        except Absent as exc:
            self.say(f"{fault.id} ends early: no {exc} runs")
        under_way.remove(fault)
        if not under_way:
            stage.go_on()

    def _end(self) -> None:
        """Whole again, connected again, quiet: then nothing more can come."""
        self.stage.go_on()
        for client in self.clients:
            if client.silent:
                client.silence(False)
            if client.stopped:
                client.come_back()
        self.say("faults and traffic have ended")
        self._wait(
            lambda: all(client.up for client in self.clients), CONNECT_SECONDS, "everybody to be connected"
        )
        self._wait(self._all_inside, CONNECT_SECONDS, "everybody to be in the rooms")
        for client in self.clients:
            client.inside.ping()
        self._wait(self._settled, SETTLE_SECONDS, "everything to be settled")
        if not self.ledger.settled():
            # Somebody hangs. What a session keeps without telling is stuck, not lost: see what comes after a resumption.
            self.stuck = len(list(self.ledger.undelivered())) + len(list(self.ledger.unacked()))
            self.say(f"{self.stuck} messages are stuck: everybody resumes")
            for client in self.clients:
                if client.stream is not None:
                    client.stream.close("reset", abort=True)
            self._wait(self.ledger.settled, SETTLE_SECONDS, "everything to be settled after resuming")
        quiet = self.loop.now + QUIET_SECONDS
        self.loop.run(lambda: self.loop.now > quiet)
        for client in self.clients:
            for what in client.inside.pings.values():
                if what != "result":
                    self.complain(f"client {client.index} asks whether it is in (XEP-0410): {what}")

    def _settled(self) -> bool:
        return (
            self.ledger.settled()
            and self.rooms.settled()
            and not self.press.unheard()
            and all(client.inside.answered for client in self.clients)
        )

    def _archives(self) -> dict[int, list[Spoken]] | None:
        """What the archives of the rooms have, in their order; None when the database cannot be asked."""
        if not self._settings.rooms or not self.managed:
            return {}
        try:
            return autopsy.room_archives(self._cluster)
        except Exception as exc:
            self.say(f"the database cannot be asked: {exc!r}")
            return None

    def _nodes(self) -> dict[str, list[int]] | None:
        """The items of each node; None when the database cannot be asked."""
        if not self.press.outcomes:
            return {}
        try:
            return autopsy.nodes(self._cluster)
        except Exception as exc:
            self.say(f"the database cannot be asked: {exc!r}")
            return None

    def _autopsy(self, verdict: Verdict) -> list[str]:
        broken: dict[str, Message] = {}
        for group in (verdict.lost, verdict.never_acked, verdict.duplicates, verdict.bounced_and_delivered):
            for message in group[:AUTOPSIES]:
                broken[message.name] = message
        for sender, n, _ in verdict.inversions[:AUTOPSIES]:
            broken[f"{sender}:{n}"] = self.ledger.messages[(sender, n)]
        if not broken:
            return []
        try:
            found = autopsy.rows(self._cluster, list(broken.values()))
        except Exception as exc:
            self.say(f"the database cannot be asked: {exc!r}")
            found = {}
        return [autopsy.tell(one, found.get(name, ()), self.started) for name, one in broken.items()]

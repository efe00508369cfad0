"""One driver process from its order to its last word: prepare the users, wait for the others, load, count, tell."""

from __future__ import annotations

import gc
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from rookery.bench.driver.client import Client, ignore
from rookery.bench.driver.login import Session, login, register
from rookery.bench.driver.loop import Loop
from rookery.bench.driver.recorder import Recorder
from rookery.bench.driver.report import Done, Landed, Order, Progress, Ready, ToParent
from rookery.bench.driver.scan import REQUEST, split
from rookery.bench.driver.scram import Keys
from rookery.bench.driver.script import Script, ScriptError, Send, answer, ask
from rookery.bench.driver.target import Target
from rookery.bench.scenarios import find
from rookery.bench.scenarios._scenario import Phase, Window
from rookery.bench.users import accounts, share

SECOND: Final = 1_000_000_000
_FOLD_NS: Final = 50_000_000
_SWEEP_NS: Final = 500_000_000
#: Logins of the preparation that are under way at once.
_AT_ONCE: Final = 200
VERSION: Final = "jabber:iq:version"

Tell = Callable[[ToParent], None]


class Driver:
    """What scenarios work with: `clients` by position, `loop`, `recorder`, `rng`; `tell` sends a report to the parent."""

    def __init__(self, order: Order, loop: Loop, tell: Tell) -> None:
        self.plan = order.plan
        self.order = order
        self.loop = loop
        self.recorder = Recorder()
        tickets = find(self.plan.scenario).tickets
        self.target = Target(self.plan, tickets=tickets)
        second = Target(self.plan, second=True, tickets=tickets) if self.plan.second_target else self.target
        self.keys: Keys = {}
        self.rng = random.Random(f"{self.plan.seed}/{order.number}")
        everybody = accounts(self.plan)
        #: All accounts of the run, also those of other processes.
        self.accounts = everybody
        mine = share(self.plan.users, order.of, order.number)
        self.clients = [
            Client(loop, second if index % 2 else self.target, Session(everybody[index]), self.gone)
            for index in mine
        ]
        self.scenario = find(self.plan.scenario)(self)
        self.window = Window(0, 0, 0)
        self.notes: list[str] = []
        self._tell = tell
        self._waiting: deque[Client] = deque()
        self._later: list[Client] = []
        self._done = self._total = self._under_way = 0
        self._failed: Counter[str] = Counter()
        #: Who cannot take part, and what is known of why.
        self._unable: set[Client] = set()
        self._why: dict[str, str] = {}
        #: Scripts of the present phase that began, and that came to a good end.
        self._begun = self._well = 0
        self._hopeless = ""
        #: Why there is no load to be made, for the person who runs it; a scenario may find out while it prepares.
        self.impossible = ""
        self._phase = self._version = ""
        self._told = 0
        self._active: set[Client] = set()
        self._marks: list[tuple[int, int, int, int]] = []
        self._over = self._loading = False
        self._phases = deque(self.scenario.phases())
        loop.at(loop.clock() + _SWEEP_NS, self._sweep)

    # -- scripts of single clients ---------------------------------------------------------------------------------

    @property
    def rate(self) -> float:
        """Operations per second of this process."""
        return self.plan.rate * len(self.clients) / self.plan.users

    def login_script(self, client: Client) -> Script:
        """Authenticate and bind."""
        return login(client.session, self.plan.resource, self.plan.mechanism, self.target.starttls, self.keys)

    def start(self, client: Client, script: Script, done: Callable[[Client, str], None]) -> None:
        """Run a script on a client, on a new connection unless it is open; `done(client, condition)` at its end."""
        self._active.add(client)

        def ended(client: Client, condition: str) -> None:
            self._active.discard(client)
            done(client, condition)

        if client.open:
            client.run(script, ended)
        else:
            client.connect(script, ended)

    def gone(self, client: Client, condition: str) -> None:
        """A connection ended that nobody had ended."""
        self.recorder.connected -= 1
        if not self._over:
            self.recorder.error("connection", condition)

    def other(self, client: Client, element: bytes) -> None:
        """What a scenario does not expect: requests are answered, errors of the stream counted, the rest dropped."""
        if element.startswith(b"<iq") and REQUEST.search(element):
            client.write(answer(element, client.xmlns))
        elif element.startswith(b"<stream:error"):
            self.recorder.error("connection", "stream-error")

    def passive(self, client: Client, data: bytes) -> None:
        """A sink for those who are only there."""
        whole, client.tail = split(client.tail + data)
        for element in whole:
            self.other(client, element)

    def _sweep(self, now: int) -> None:
        limit = now - int(self.plan.timeout * SECOND)
        for client in [client for client in self._active if client.started < limit]:
            if client.busy:
                client.expire()
        if self._loading:
            self.scenario.watch(now)
        self.loop.at(now + _SWEEP_NS, self._sweep)

    # -- preparation -----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Register if asked for, log everybody in unless the scenario does that; `Ready` is told at the end."""
        if self.plan.register:
            self._each("registering", self._register, self._log_in_all)
        else:
            self._log_in_all()

    def _log_in_all(self) -> None:
        if not self.scenario.online and not self._rehearses():
            self._ready()
            return
        first = len(self.clients) // self.scenario.part
        self._later = self.clients[first:]
        self._each("logging in", self._log_in, self._landed, self.clients[:first])

    def _landed(self) -> None:
        if self._later:
            self._tell(Landed(self.recorder.connected, len(self._unable)))
        else:
            self._next_phase()

    def onward(self) -> None:
        """Let those in who waited."""
        later, self._later = self._later, []
        self._each("logging in", self._log_in, self._landed, later)

    def _rehearses(self) -> bool:
        """Keys are derived before the load, which real clients do once in their life (RFC 5802 section 3)."""
        return self.plan.mechanism != "PLAIN"

    def _next_phase(self) -> None:
        if not self.scenario.online:
            for client in self.clients:
                client.leave()
            self.recorder.connected = 0
        elif self._begun and not self._well:
            self._hopeless = self._phase
            self._ready()
            return
        elif self._phases:
            self._begun = self._well = 0
            phase = self._phases.popleft()
            begin = partial(self._in_phase, phase)
            self._each(phase.name, begin, self._next_phase, at_once=phase.at_once or _AT_ONCE)
            return
        self.scenario.gather()
        self._settle(self.loop.clock(), 0)

    def _in_phase(self, phase: Phase, client: Client, now: int) -> None:
        def done(client: Client, condition: str) -> None:
            if condition:
                self._lost(client, f"{phase.name}: {condition}")
            else:
                self._well += 1
            self._passed()

        script = phase.script(client) if client.open else None
        if script is None:
            self._passed()
        else:
            self._begun += 1
            self.start(client, script, done)

    def _lost(self, client: Client, condition: str) -> None:
        """The client cannot take part for that reason, unless its login succeeds all the same."""
        self._failed[condition] += 1
        self._unable.add(client)
        if client.why:
            self._why.setdefault(condition, client.why)

    def _settle(self, since: int, before: int) -> None:
        """Wait until all that the preparation began is there, or nothing more of it comes."""
        left, now = self.scenario.unsettled(), self.loop.clock()
        if left != before:
            since = now
        if left and now - since < self.plan.timeout * SECOND:
            self.loop.at(now + _FOLD_NS, lambda _now: self._settle(since, left))
            return
        if left:
            self.notes.append(f"the preparation is not complete: {left} are missing")
        self._ready()

    def _each(
        self,
        phase: str,
        begin: Callable[[Client, int], None],
        following: Callable[[], None],
        clients: Sequence[Client] | None = None,
        *,
        at_once: int = _AT_ONCE,
    ) -> None:
        """Run `begin` for each client (of `clients`), at the ramp rate and `at_once` at most; then `following`."""
        self._waiting = deque(self.clients if clients is None else clients)
        self._phase, self._total, self._done, self._told = phase, len(self._waiting), 0, 0
        gap = int(SECOND * self.order.of / self.plan.ramp)
        total = self._total

        def due(now: int) -> None:
            if self._waiting and self._under_way < at_once:
                self._under_way += 1
                begin(self._waiting.popleft(), now)
            if self._done == total:
                self._progress(0)
                following()
            else:
                self.loop.at(now + (gap if self._waiting else _FOLD_NS), due)

        self._progress(0)
        due(self.loop.clock())

    def _progress(self, every: int) -> None:
        if self._done - self._told >= every:
            self._told = self._done
            self._tell(Progress(self._phase, self._done, self._total))

    def _passed(self) -> None:
        self._done += 1
        self._under_way -= 1
        self._progress(max(10, self._total // 50))

    def _register(self, client: Client, now: int) -> None:
        def done(client: Client, condition: str) -> None:
            if condition:
                self._lost(client, f"register: {condition}")
            client.leave()
            self._passed()

        self.start(client, register(client.session.account, self.target.starttls), done)

    def _log_in(self, client: Client, now: int) -> None:
        def script() -> Script:
            yield from self.scenario.login(client)
            yield Send(b"<presence%b/>" % client.xmlns)
            if client is self.clients[0]:
                yield from self._ask_version()
            yield from self.scenario.setup(client)

        def done(client: Client, condition: str) -> None:
            if condition:
                self._lost(client, condition)
                client.close()
            else:
                self._unable.discard(client)
                self.recorder.connected += 1
            self._passed()

        client.sink = self.scenario.listen
        self.start(client, script(), done)

    def _ask_version(self) -> Script:
        """What the server is (XEP-0092); most say it."""
        try:
            result = yield from ask("version", "get", f"<query xmlns='{VERSION}'/>", self.plan.domain)
        except ScriptError:
            return
        query = result.find(VERSION, "query")
        if query is not None:
            parts = (query.find_text(VERSION, "name"), query.find_text(VERSION, "version"))
            self._version = " ".join(part for part in parts if part)

    def _ready(self) -> None:
        self.recorder.forget()
        self._tell(
            Ready(
                connected=self.recorder.connected,
                failed=dict(self._failed),
                unable=len(self._unable),
                why=self._why,
                hopeless=self._hopeless,
                impossible=self.impossible,
                target=self._version,
            )
        )

    # -- load ------------------------------------------------------------------------------------------------------

    def go(self, at: int) -> None:
        """Load from that time on."""
        plan = self.plan
        first = at + int(plan.warmup * SECOND)
        self.window = Window(at, first, first + int(plan.duration * SECOND))
        gc.collect()
        gc.freeze()
        gc.disable()
        loop = self.loop
        loop.at(at, self._begin)
        loop.at(first, self._mark)
        loop.at(at + _FOLD_NS, self._fold)
        warm = -(-(first - at) // SECOND)
        loop.at(first - (warm - 1) * SECOND, lambda now: self._second(now, -warm))
        loop.at(self.window.last, self._stop)

    def _begin(self, _now: int) -> None:
        self._loading = True
        self.scenario.begin(self.window)

    def _mark(self, _now: int) -> None:
        recorder = self.recorder
        self._marks.append((self.loop.clock(), time.process_time_ns(), recorder.sent, recorder.delivered))

    def _fold(self, now: int) -> None:
        self.recorder.fold()
        if self._over:
            return
        if not self.window.last <= now and now > self.window.first and self.scenario.complete():
            self._stop(now)
        self.loop.at(now + _FOLD_NS, self._fold)

    def _second(self, now: int, number: int) -> None:
        if not self._over:
            self._tell(self.recorder.tick(number))
            self.loop.at(
                self.window.first + (number + 2) * SECOND, lambda later: self._second(later, number + 1)
            )

    def _stop(self, now: int) -> None:
        if len(self._marks) != 1:
            return
        self._mark(now)
        self._tell(self.recorder.tick(max(0, (min(now, self.window.last) - 1 - self.window.first) // SECOND)))
        self._loading = False
        self.scenario.finish()
        self._drain(now, self.loop.clock() + int(self.plan.drain * SECOND))

    def _drain(self, now: int, limit: int) -> None:
        if self.scenario.outstanding() > 0 and now < limit:
            self.loop.at(now + _FOLD_NS, lambda later: self._drain(later, limit))
            return
        self.scenario.abandon()
        self._over = True
        (first, cpu, sent, delivered), (last, cpu_last, sent_last, delivered_last) = self._marks
        self._tell(self.recorder.tick(max(0, (now - self.window.first) // SECOND)))
        self._tell(
            Done(
                messages=self.scenario.messages(),
                sent=sent_last - sent,
                delivered=delivered_last - delivered,
                cpu_ns=cpu_last - cpu,
                window_ns=last - first,
                waited=self.scenario.waited(),
                notes=self.notes,
                dead=self.scenario.dead(),
            )
        )

    def quit(self) -> None:
        """End all connections and the loop."""
        self._over = True
        self.scenario.close()
        for client in self.clients:
            client.sink = ignore
            client.leave()
        self.loop.stop()

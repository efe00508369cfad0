"""One run with two servers: who is where, who is broken, and the verdict."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from tests.cluster.chaos.abroad.faults import HARMLESS
from tests.cluster.chaos.abroad.judge import AbroadLedger
from tests.cluster.chaos.abroad.sides import OURS, THEIRS, Foreigner, Half, PeerServer, Side, names_of
from tests.cluster.chaos.cables import Cable
from tests.cluster.chaos.client import Client
from tests.cluster.chaos.faults import Fault, Stage
from tests.cluster.chaos.ledger import Got, Ledger
from tests.cluster.chaos.loop import Script
from tests.cluster.chaos.runner import Runner, Settings
from tests.cluster.federated import Lab
from tests.cluster.harness import Cluster
from tests.contracts.s2s_peers import Prosody

#: How often the witness is asked.
LOOK_SECONDS = 0.1
#: With XEP-0288 one stream serves both directions.
PEERS = ("rookery", "prosody", "prosody-bidi")
_ENVIRONMENT = {"ROOKERY_S2S__ACCOUNT_STANZAS_PER_MINUTE": "0", "ROOKERY_S2S__LONGEST_PAUSE_SECONDS": "5"}


class Grounds(NamedTuple):
    """Two servers that run, and the cables between them. `second` is the other cluster, or `prosody` the other server."""

    first: Cluster
    second: Cluster | None
    prosody: PeerServer | None
    cables: Sequence[Cable]
    #: (localpart, password) of as many at each.
    accounts: Sequence[tuple[Sequence[tuple[str, str]], ...]]


class AbroadRunner(Runner):
    """Clients with an even number are at our server, odd ones at the other."""

    ledger: AbroadLedger

    def __init__(
        self,
        grounds: Grounds,
        settings: Settings,
        faults: Sequence[Fault],
        say: Callable[[str], None] = print,
    ) -> None:
        self._grounds = grounds
        self._cuts: Callable[[], list[int]] = list
        super().__init__(grounds.first, settings, faults, say)
        self._halves = [self._half(grounds.first, OURS)]
        if grounds.second is not None:
            self._halves.append(self._half(grounds.second, THEIRS))
        for half in self._halves:
            half.first = self._halves[0]
        self.stage = self._halves[0]
        self._cuts = lambda: self._halves[-1].cuts
        if grounds.prosody is not None:
            self.ledger.kills = grounds.prosody.killed
            self.loop.spawn(self._witnessed(grounds.prosody))

    def _half(self, cluster: Cluster, domain: str) -> Half:
        half = Half(cluster, self.loop, self._dice, self.clients, self.say, self.complain)
        half.domain, half.cables, half.other = domain, self._grounds.cables, self._grounds.prosody
        return half

    def make_ledger(self) -> Ledger:
        """One that knows of the other server."""
        return AbroadLedger(foreign=self._grounds.prosody is not None)

    def people(self) -> list[Client]:
        """Pairs over both servers."""
        first, second = self._grounds.accounts
        there = Side(self, self._their_ports, lambda: self._cuts())
        found: list[Client] = []
        for number, ((here, word), (far, password)) in enumerate(zip(first, second, strict=True)):
            jids = f"{here}@{OURS}", f"{far}@{THEIRS}"
            found.append(Client(self, 2 * number, jids[0], word, jids[1]))
            sort = Client if self._grounds.prosody is None else Foreigner
            found.append(sort(there, 2 * number + 1, jids[1], password, jids[0]))
        return found

    def _their_ports(self) -> list[int]:
        grounds = self._grounds
        if grounds.prosody is not None:
            return [grounds.prosody.port]
        assert grounds.second is not None
        try:
            return [port for one in grounds.second.processes("edge") if (port := one["ports"].get("c2s", 0))]
        except (OSError, ValueError):
            return []

    def stage_of(self, fault: Fault) -> Stage:
        """Either of the two, by the dice."""
        return self._dice.choice(self._halves)

    def _inject(self, fault: Fault, under_way: list[Fault]) -> Script:
        began = self.loop.now
        yield from super()._inject(fault, under_way)
        if fault.name not in HARMLESS:
            self.ledger.breaks.append((began, self.loop.now))

    def _end(self) -> None:
        for half in self._halves:
            half.go_on()
        super()._end()

    def _witnessed(self, other: PeerServer) -> Script:
        while True:
            for sender, n in other.witness.look():
                self.ledger.got(sender ^ 1, sender, n, Got(self.loop.now, 0, False))
            yield LOOK_SECONDS


@contextmanager
def grounds(peer: str, settings: Settings) -> Iterator[Grounds]:
    """Start both servers. `peer`: one of PEERS."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab((OURS, THEIRS)))
        # Both ways between the servers pass a cable.
        listening = dict(lab.ports)
        if peer != "rookery":
            here = stack.enter_context(_cable(listening[OURS]))
            home = lab.home / "prosody"
            home.mkdir()
            names = stack.enter_context(names_of(here.port))
            made = Prosody(home, THEIRS, names.port)
            there = stack.enter_context(_cable(made.port))
            people = [(f"peer{number}", secrets.token_hex(6)) for number in range(settings.pairs)]
            other = PeerServer(lab, made, people, bidi=peer == "prosody-bidi")
            stack.callback(other.stop)
            other.start()
            first = _cluster(lab, OURS, settings, there.port)
            yield Grounds(first, None, other, (here, there), (first.add_users(settings.pairs, OURS), people))
            return
        cables = [stack.enter_context(_cable(listening[domain])) for domain in (OURS, THEIRS)]
        first = _cluster(lab, OURS, settings, cables[1].port)
        second = _cluster(lab, THEIRS, settings, cables[0].port)
        users = tuple(
            cluster.add_users(settings.pairs, domain) for cluster, domain in ((first, OURS), (second, THEIRS))
        )
        yield Grounds(first, second, None, cables, users)


def _cluster(lab: Lab, domain: str, settings: Settings, far: int) -> Cluster:
    other = THEIRS if domain == OURS else OURS
    return lab.cluster(
        domain,
        edges=settings.edges,
        routers=settings.routers,
        workers=settings.workers,
        options=("--allow-plaintext",),
        environment={**_ENVIRONMENT, "ROOKERY_S2S__ROUTES": f"{other}=127.0.0.1:{far}"},
    )


@contextmanager
def _cable(port: int) -> Iterator[Cable]:
    made = Cable(port)
    try:
        yield made
    finally:
        made.let_go()
        made.close()

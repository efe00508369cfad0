"""Servers in turn, several rounds: each round begins with another server, so that a drift of the machine hits all alike."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from rookery.bench.peers.machine import make_authority, make_certificate
from rookery.bench.peers.peer import Federation, Peer, PeerError, Running, Site
from rookery.bench.plan import Plan
from rookery.bench.result import Result
from rookery.bench.scenarios import find
from rookery.bench.server import Root
from rookery.bench.users import accounts
from rookery.embedded.child import EmbeddedError

#: Listener of each transport.
_PORTS: Final = {"plain": "c2s", "starttls": "c2s", "tls": "tls", "ws": "http", "bosh": "http"}


class RunError(Exception):
    """One run could not be made; the text says why."""


@dataclass(slots=True)
class Outcome:
    """What became of a comparison."""

    results: list[Result] = field(default_factory=list)
    #: Why servers have no figures, or fewer: name -> reasons.
    skipped: dict[str, list[str]] = field(default_factory=dict)


def order(peers: Sequence[Peer], round_number: int) -> list[Peer]:
    """The peers of a round: each begins one round in turn."""
    shift = round_number % len(peers) if peers else 0
    return [*peers[shift:], *peers[:shift]]


def plan_for(plan: Plan, running: Running, ready_file: Path, *, register: bool) -> Plan:
    """The plan aimed at a running server. Raises PeerError for a transport that not every server has."""
    port = _PORTS.get(plan.transport)
    if port is None:
        raise PeerError(f"transport {plan.transport}: peers are compared by {', '.join(_PORTS)}")
    return replace(
        plan,
        target=f"127.0.0.1:{getattr(running.ports, port)}",
        s2s_target=f"127.0.0.1:{running.ports.s2s}",
        path=running.path if plan.transport == "ws" else "",
        ready_file=str(ready_file),
        register=register,
    )


def write_processes(path: Path, roots: Sequence[Root]) -> None:
    """A ready file for the processes of a server."""
    path.write_bytes(msgspec.json.encode({"processes": [root._asdict() for root in roots]}))


class Campaign:
    """Runs a plan on peers, `repeat` times each. `run` makes one run and raises RunError; `tell` gets a line for people."""

    def __init__(self, plan: Plan, run: Callable[[Plan], Result], tell: Callable[[str], None]) -> None:
        self._plan = plan
        self._run = run
        self._tell = tell
        self._sites: dict[str, Site] = {}
        self._outcome = Outcome()

    def compare(self, peers: Sequence[Peer], repeat: int) -> Outcome:
        """All rounds; what a server cannot do is told and left out. The folder with all data is removed at the end."""
        able = [peer for peer in peers if self._able(peer)]
        base = Path(tempfile.mkdtemp(prefix="rookery-bench-"))
        base.chmod(0o711)  # servers of another account look for their own folder in it, and cannot list it
        try:
            federation = None
            if find(self._plan.scenario).federates:
                ca, certificate, key = make_authority(base / "tls", self._plan.domain)
                self._plan = replace(self._plan, ca=str(ca))
                federation = Federation(ca, self._plan.dns, self._plan.auth != "external")
            else:
                certificate, key = make_certificate(base / "tls", self._plan.domain)
            for peer in able:
                folder = base / peer.name
                folder.mkdir()
                folder.chmod(0o711)  # the account of Rookery's Postgres goes through it
                self._sites[peer.name] = Site(
                    folder,
                    self._plan.domain,
                    certificate,
                    key,
                    self._plan.users,
                    federation,
                    find(self._plan.scenario).tickets,
                )
            for round_number in range(repeat):
                for peer in order(able, round_number):
                    self._tell(f"round {round_number + 1} of {repeat}: {peer.name} ({peer.settings})")
                    self._one(peer, base, first=round_number == 0)
        except KeyboardInterrupt:
            self._tell(f"interrupted after {len(self._outcome.results)} runs")
        finally:
            shutil.rmtree(base, ignore_errors=True)
        return self._outcome

    def _able(self, peer: Peer) -> bool:
        try:
            peer.check()
        except PeerError as error:
            self._skip(peer, str(error))
            return False
        return True

    def _skip(self, peer: Peer, why: str) -> None:
        reasons = self._outcome.skipped.setdefault(peer.name, [])
        if why not in reasons:
            self._tell(f"{peer.name} left out: {why}")
        reasons.append(why)

    def _one(self, peer: Peer, base: Path, *, first: bool) -> None:
        processes = base / f"{peer.name}.processes.json"
        try:
            with peer.start(self._sites[peer.name]) as running:
                write_processes(processes, running.roots)
                if running.add_users is not None and first:
                    running.add_users(self._users(base / "users.csv"))
                plan = plan_for(self._plan, running, processes, register=running.add_users is None)
                result = self._run(plan)
        except (PeerError, EmbeddedError, RunError) as error:
            self._skip(peer, str(error))
            return
        said = {**result.plan, "settings": peer.settings}
        if peer.durable is not None:
            said["durable"] = peer.durable
        self._outcome.results.append(replace(result, label=peer.name, plan=said))

    def _users(self, path: Path) -> Path:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("username", "password"))
            writer.writerows((account.localpart, account.password) for account in accounts(self._plan))
        path.chmod(0o600)
        return path

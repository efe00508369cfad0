"""A rollout as Kubernetes does it: processes as pods, with the replicas, order, pauses and grace of an overlay, under a light load.

Every Deployment is rolled at the same time, as `kubectl apply` does: new pods up to `maxSurge`, `minReadySeconds` after `/readyz` an old one
gets `preStop` and SIGTERM; clients connect to what is ready and not ending, as a Service sends them. It fails when a client has to connect
more than once again, or when a message is missing, doubled or out of order::

    python -m tests.cluster.rollout --clients 20 --pace 0.2
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import trio
from tests.cluster.harness import end_with_parent
from tests.cluster.managed import Device, Refused
from tests.k8s.kustomize import build

from rookery.embedded.child import free_ports
from rookery.embedded.nats import Nats, start_nats
from rookery.embedded.postgres import Postgres, start_postgres

ROOT = Path(__file__).parents[2]
#: What a client needs; other kinds are rolled in the same way, and cost the machine more.
KINDS = ("edge", "router", "account", "roster", "presence", "offline")

#: How long a pod may take to be ready: `startupProbe` gives it 120 s.
READY_SECONDS = 180.0


class Rules:
    """What a Deployment of the overlay says."""

    def __init__(self, deployment: dict[str, Any], pace: float, autoscaled: dict[str, int]) -> None:
        spec = deployment["spec"]
        pod = spec["template"]["spec"]
        container = pod["containers"][0]
        self.kind = deployment["metadata"]["name"].removeprefix("rookery-")
        self.command: list[str] = container["args"][: container["args"].index("--config")]
        self.replicas: int = spec.get("replicas") or autoscaled[deployment["metadata"]["name"]]
        surge = spec["strategy"]["rollingUpdate"]["maxSurge"]
        self.surge = math.ceil(self.replicas * int(surge[:-1]) / 100) if isinstance(surge, str) else surge
        self.ready_seconds: float = spec["minReadySeconds"] * pace
        self.stop_seconds: float = container["lifecycle"]["preStop"]["sleep"]["seconds"] * pace
        self.grace: float = pod["terminationGracePeriodSeconds"]


class Pod:
    """One process."""

    def __init__(self, rules: Rules, environment: dict[str, str], log: Path) -> None:
        self.rules = rules
        self.admin, self.c2s = free_ports(2)
        self.ending = False
        own = {
            "ROOKERY_ADMIN__PORT": str(self.admin),
            "ROOKERY_EDGE__C2S_PORT": str(self.c2s),
            "ROOKERY_EDGE__HTTP_PORT": "0",
        }
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rookery", *rules.command],
                env=environment | own,
                stdout=file,
                stderr=file,
                preexec_fn=end_with_parent,
            )

    async def ready(self) -> None:
        """Wait until /readyz answers 200."""
        with trio.fail_after(READY_SECONDS):
            while not await trio.to_thread.run_sync(self.answers):  # noqa: ASYNC110  it is asked, as by a kubelet
                await trio.sleep(0.1)

    def answers(self) -> bool:
        """Whether it is ready now."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    async def end(self) -> float:
        """preStop, SIGTERM, and SIGKILL when the grace is over; returns how long it took. Raises TimeoutError when it had to be killed."""
        self.ending = True
        since = trio.current_time()
        await trio.sleep(self.rules.stop_seconds)
        self.process.send_signal(signal.SIGTERM)
        while self.process.poll() is None:
            if trio.current_time() - since > self.rules.grace:
                self.process.kill()
                raise TimeoutError(f"{self.rules.kind} outlived its grace of {self.rules.grace:.0f} s")
            await trio.sleep(0.05)
        return trio.current_time() - since


class Deployment:
    """The pods of one kind."""

    def __init__(self, rules: Rules, environment: dict[str, str], log: Path) -> None:
        self.rules = rules
        self._make = lambda: Pod(rules, environment, log)
        self.pods = [self._make() for _ in range(rules.replicas)]
        self.ended: list[float] = []
        #: After how many seconds of the roll each new pod was ready.
        self.readied: list[float] = []

    async def roll(self) -> None:
        """Replace every pod."""
        old, room = list(self.pods), trio.CapacityLimiter(self.rules.surge)
        order, since = iter(old), trio.current_time()

        async def one() -> None:
            async with room:
                new = self._make()
                self.pods.append(new)
                await new.ready()
                self.readied.append(trio.current_time() - since)
                await trio.sleep(self.rules.ready_seconds)
                leaving = next(order)
                self.ended.append(await leaving.end())
                self.pods.remove(leaving)

        async with trio.open_nursery() as nursery:
            for _ in old:
                nursery.start_soon(one)


class Load:
    """Clients that write to one another, and come back when their edge lets them go."""

    def __init__(self, accounts: list[tuple[str, str]], edges: Deployment) -> None:
        self.devices = [Device(*account) for account in accounts]
        self.edges = edges
        self.again: Counter[int] = Counter()
        self.sent: Counter[int] = Counter()
        #: Why attempts to come back failed.
        self.refused: Counter[str] = Counter()
        #: Seconds that a client was away.
        self.away: list[float] = []
        self.done = False

    def port(self) -> int:
        """An edge that a Service sends clients to."""
        return random.choice([pod for pod in self.edges.pods if not pod.ending and pod.answers()]).c2s

    async def run(self, index: int) -> None:
        """One client: it sends to the next one twice a second, and resumes when its stream is over."""
        one, peer = self.devices[index], self.devices[(index + 1) % len(self.devices)]
        while not self.done or one.queue:
            try:
                if not self.done:
                    self.sent[index] += 1
                    await one.chat(f"{peer.bare}/d", f"{index}-{self.sent[index]}")
                await one.idle(0.5)
            except (EOFError, trio.BrokenResourceError, trio.ClosedResourceError):
                await self._back(index, one)

    async def _back(self, index: int, one: Device) -> None:
        since = trio.current_time()
        self.again[index] += 1
        for _ in range(20):
            try:
                await one.resume(await trio.to_thread.run_sync(self.port))
            except (OSError, EOFError, Refused, trio.BrokenResourceError, trio.TooSlowError) as error:
                self.refused[f"{type(error).__name__} {str(error)[:200]}"] += 1
                await trio.sleep(0.3)
            else:
                self.away.append(trio.current_time() - since)
                return
        raise AssertionError(f"client {index} could not come back: {self.refused}")

    def judge(self) -> list[str]:
        """What is not as promised."""
        wrong = [
            f"client {index} connected {times} times again"
            for index, times in self.again.items()
            if times > 1
        ]
        for index, peer in enumerate(self.devices[1:] + self.devices[:1]):
            wanted = [f"{index}-{number}" for number in range(1, self.sent[index] + 1)]
            if peer.bodies != wanted:
                missing, twice = set(wanted) - set(peer.bodies), len(peer.bodies) - len(set(peer.bodies))
                wrong.append(
                    f"from client {index}: {len(missing)} missing, {twice} doubled, of {len(wanted)}"
                )
        return wrong


def environment(postgres: Postgres, nats: Nats) -> dict[str, str]:
    """What the ConfigMap and Secrets of the overlay say here."""
    return {
        **os.environ,
        "ROOKERY_DATABASE__URL": postgres.url,
        "ROOKERY_BUS__URL": nats.url,
        "ROOKERY_EDGE__HOST": "127.0.0.1",
        "ROOKERY_EDGE__ALLOW_PLAINTEXT": "true",
        "ROOKERY_LOG__FORMAT": "json",
    }


def command(settings: dict[str, str], *arguments: str, text: str | None = None) -> None:
    """Run `rookery ARGUMENTS`. Raises CalledProcessError."""
    subprocess.run(
        [sys.executable, "-m", "rookery", *arguments],
        env=settings,
        input=text,
        text=True,
        check=True,
        capture_output=True,
    )


async def rollout(
    overlay: str, kinds: tuple[str, ...], clients: int, pace: float, settings: dict[str, str], log: Path
) -> bool:
    """Roll everything once and print what became of it; whether all is as promised."""
    objects = build(ROOT / "k8s" / "overlays" / overlay)
    autoscaled = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]["minReplicas"]
        for one in objects
        if one["kind"] == "HorizontalPodAutoscaler"
    }
    rules = [
        Rules(one, pace, autoscaled)
        for one in objects
        if one["kind"] == "Deployment" and one["metadata"]["name"].removeprefix("rookery-") in kinds
    ]
    accounts = [(f"roll{number}", "secret-of-a-roll") for number in range(clients)]
    deployments = [Deployment(each, settings, log) for each in rules]
    try:
        for pod in itertools.chain.from_iterable(each.pods for each in deployments):
            await pod.ready()
        edges = next(each for each in deployments if each.rules.kind == "edge")
        load = Load(accounts, edges)
        for index, device in enumerate(load.devices):
            await device.login(edges.pods[index % len(edges.pods)].c2s)
            await device.send("<presence/>")
        since = time.monotonic()
        async with trio.open_nursery() as nursery:
            for index in range(clients):
                nursery.start_soon(load.run, index)
            await trio.sleep(1)
            async with trio.open_nursery() as rolling:
                for each in deployments:
                    rolling.start_soon(each.roll)
            print(
                f"rolled {sum(len(each.pods) for each in deployments)} pods in {time.monotonic() - since:.1f} s"
            )
            await trio.sleep(2)
            load.done = True
            await trio.sleep(3)
    finally:
        for pod in itertools.chain.from_iterable(each.pods for each in deployments):
            pod.process.kill()
            pod.process.wait()
    for each in deployments:
        print(
            f"{each.rules.kind:10} surge {each.rules.surge}, ended within {max(each.ended):.1f} s of {each.rules.grace:.0f}"
        )
    print(
        f"clients {clients}, messages {sum(load.sent.values())}, connected again {dict(Counter(load.again.values()))}"
    )
    if load.away:
        print(
            f"away for {sorted(load.away)[len(load.away) // 2]:.2f} s at p50, at most {max(load.away):.2f} s"
        )
    for what, times in load.refused.items():
        print(f"refused {times} times: {what}")
    for each in deployments:
        spread = max(each.readied) - min(each.readied)
        print(f"{each.rules.kind:10} new pods ready within {max(each.readied):.1f} s, {spread:.1f} s apart")
    wrong = load.judge()
    print("\n".join(wrong) or "nothing lost, nothing doubled, at most one connection again for each client")
    return not wrong


def main() -> int:
    """The command; 1 when something is not as promised."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--overlay", default="prod")
    parser.add_argument("--kinds", default=",".join(KINDS), help="Deployments that run, separated by commas.")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument(
        "--pace", type=float, default=1.0, help="Pauses of the manifests are so much of themselves."
    )
    given = parser.parse_args()
    postgres, nats = start_postgres(ephemeral=True), start_nats()
    try:
        settings = environment(postgres, nats)
        command(settings, "migrate")
        command(settings, "domain", "add", "localhost")
        table = "".join(f"roll{number},secret-of-a-roll\n" for number in range(given.clients))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "users.csv"
            file.write_text("username,password\n" + table)
            command(settings, "user", "import", str(file), "--domain", "localhost")
            kinds = tuple(given.kinds.split(","))
            log = Path(tempfile.gettempdir()) / f"rollout-{os.getpid()}.log"
            fine = trio.run(rollout, given.overlay, kinds, given.clients, given.pace, settings, log)
        print(f"log: {log}")
        return 0 if fine else 1
    finally:
        nats.stop()
        postgres.stop()


if __name__ == "__main__":
    sys.exit(main())

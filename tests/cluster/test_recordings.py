"""`bench record` and `bench replay` as a whole, between two clusters: one seed, and the same set is delivered, at any speed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

import pytest
from tests.cluster.federated import Lab

from rookery.bench.recording.tape import load
from rookery.embedded.child import free_ports

ONE, TWO = "one.example", "two.example"
USERS, COUNT = 6, 12
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


class Between(NamedTuple):
    """Two clusters; ONE reaches TWO by way of the port `between`, which a recording listens to."""

    lab: Lab
    between: int
    authority: Path

    def port(self, domain: str) -> int:
        """Where clients of a domain connect to."""
        return self.lab.clusters[domain].endpoint(0, "plain").port

    def place(self, domain: str) -> str:
        return f"127.0.0.1:{self.port(domain)}"


@pytest.fixture(scope="module")
def there() -> Iterator[Between]:
    """Each direction has streams of its own, so the tape in between has one."""
    with Lab((ONE, TWO)) as lab:
        [between] = free_ports(1)
        routes = {ONE: f"{TWO}=127.0.0.1:{between}", TWO: f"{ONE}=127.0.0.1:{lab.ports[ONE]}"}
        users = lab.home / "users.csv"
        for domain in (ONE, TWO):
            cluster = lab.cluster(
                domain,
                options=("--allow-plaintext",),
                environment={"ROOKERY_S2S__ROUTES": routes[domain], "ROOKERY_S2S__BIDI": "false"},
            )
            users.write_text(
                "jid,password\n" + "".join(f"user{n:06}@{domain},secret{n:06}\n" for n in range(USERS))
            )
            cluster.cli("user", "import", str(users))
        authority = lab.home / "bench.pem"
        shutil.copy(lab.authority.ca_file, authority)
        shutil.copy(lab.authority.ca_file.with_suffix(".key"), f"{authority}.key")
        yield Between(lab, between, authority)


def bench(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "rookery", "bench", *arguments]


@contextmanager
def recording(tape: Path, listen: int, target: int, *more: str) -> Iterator[None]:
    """Record while the block lasts."""
    process = subprocess.Popen(
        bench(
            "record", str(tape), "--listen", f"127.0.0.1:{listen}", "--target", f"127.0.0.1:{target}", *more
        ),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        assert "listening" in said, said
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def ran(*arguments: str) -> dict[str, Any]:
    """Run a load to its end; its result. Nothing of it is lost, doubled or out of order."""
    with NamedTemporaryFile("r") as file:
        command = bench(*arguments, "--json", file.name, "--quiet")
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(Path(file.name).read_text())
    messages = result["messages"]
    assert (messages["lost"], messages["duplicated"], messages["reordered"]) == (0, 0, 0), messages
    assert messages["sent"] == messages["delivered"] > 0, result["notes"]
    return result


def delivered(tape: Path, speed: float, *more: str) -> str:
    """Replay a tape; the digest of what was delivered."""
    result = ran("replay", str(tape), "--speed", str(speed), *more)
    [note] = [one for one in result["notes"] if one.startswith("delivered set")]
    assert note.endswith(f" of {len(load(tape).events)} messages"), note
    return str(note)


def flows(tape: Path) -> dict[tuple[str, str], int]:
    """How many messages each person sent to each."""
    return dict(Counter((event.sender, event.receiver) for event in load(tape).events))


def test_one_seed_gives_one_delivered_set(there: Between, tmp_path: Path) -> None:
    """Users of both servers are recorded at the port for clients of one, and between the servers, twice under one seed; each tape is replayed."""
    chat = ("--transport", "plain", "--target", f"127.0.0.1:{(listen := free_ports(1)[0])}", "--domain", ONE)
    chat += ("--second-target", there.place(TWO), "--second-domain", TWO)
    chat += ("--users", str(USERS), "--count", str(COUNT), "--warmup", "0", "--seed", "7")
    tapes: dict[str, list[Path]] = {"c2s": [], "s2s": []}
    for take in range(2):
        of_clients, of_servers = tmp_path / f"c2s{take}.tape", tmp_path / f"s2s{take}.tape"
        with (
            recording(of_clients, listen, there.port(ONE), "--seed", "a seed"),
            recording(
                of_servers,
                there.between,
                there.lab.ports[TWO],
                "--seed",
                "a seed",
                "--s2s-ca",
                str(there.authority),
            ),
        ):
            ran("run", "chat", *chat)
        tapes["c2s"].append(of_clients)
        tapes["s2s"].append(of_servers)
    for one, other in tapes.values():
        assert flows(one) == flows(other) != {}
        assert ONE not in one.read_text()
    # What clients of ONE said to people at TWO is what passed between the servers.
    assert flows(tapes["c2s"][0]) == flows(tapes["s2s"][0])
    there_and_back = ("--target", there.place(ONE), "--domain", ONE)
    there_and_back += ("--second-target", there.place(TWO), "--second-domain", TWO)
    for one, other in tapes.values():
        with recording(
            tmp_path / "unused.tape", there.between, there.lab.ports[TWO], "--s2s-ca", str(there.authority)
        ):
            digests = {
                delivered(one, 5, "--target", there.place(ONE), "--domain", ONE),
                delivered(other, 5, "--target", there.place(ONE), "--domain", ONE),
                delivered(one, 20, *there_and_back),
                delivered(other, 5, *there_and_back),
            }
        assert len(digests) == 1, digests

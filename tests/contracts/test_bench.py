"""The load tool against a real cluster: what it counts is exact, on every transport and in several processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from tests.cluster.harness import Cluster

from rookery.bench import result as results
from rookery.bench.remotes.authority import Authority
from rookery.bench.result import Messages, Result
from rookery.embedded.child import free_port, free_ports

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
USERS = 8
_PORTS = {"plain": "c2s", "starttls": "c2s", "tls": "c2s_tls", "ws": "http", "wss": "http"}


@pytest.fixture(scope="module")
def places() -> dict[str, str]:
    """Where the remote domains are, and the server's port for them."""
    names = ("s2s-target", "listen", "dns")
    return {name: f"127.0.0.1:{port}" for name, port in zip(names, free_ports(3), strict=True)}


@pytest.fixture(scope="module")
def cluster(places: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    authority = tmp_path_factory.mktemp("authority") / "remotes.pem"
    Authority.make().write(authority)
    places["ca"] = str(authority)
    with Cluster(
        edges=1,
        routers=1,
        workers=1,
        domains=["localhost"],
        options=[
            *("--allow-plaintext", "--registration", "open"),
            *("--s2s-port", places["s2s-target"].rpartition(":")[2], "--s2s-tls-port", "0"),
        ],
        environment={
            "ROOKERY_S2S__CA_FILE": str(authority),
            "ROOKERY_S2S__RESOLVER": places["dns"],
            "ROOKERY_S2S__ALLOW_NETS": "127.0.0.0/8",
            "ROOKERY_S2S__DIALBACK_DOMAINS": "*.example",
        },
    ) as cluster:
        numbers = (*range(USERS), *range(200, 204), *range(210, 214))
        rows = "".join(f"user{number:06d}@localhost,secret{number:06d}\n" for number in numbers)
        path = cluster.home / "bench.csv"
        path.write_text("jid,password\n" + rows)
        cluster.cli("user", "import", str(path))
        yield cluster


def bench(
    cluster: Cluster, tmp_path: Path, scenario: str, *options: str, transport: str = "plain", code: int = 0
) -> Result:
    """Run a scenario with 8 users and return its result."""
    port = cluster.processes("edge")[0]["ports"][_PORTS[transport]]
    file = tmp_path / "result.json"
    command = [sys.executable, "-m", "rookery", "bench", "run", scenario, "--quiet", "--json", str(file)]
    command += ["--target", f"127.0.0.1:{port}", "--transport", transport, "--users", str(USERS)]
    command += [
        "--ready-file",
        str(cluster.home / "ready.json"),
        "--duration",
        "20",
        "--ramp",
        "1000",
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr or done.stdout
    return results.read(file).runs[0]


@pytest.mark.parametrize("transport", sorted(_PORTS))
def test_every_message_is_counted_once(cluster: Cluster, tmp_path: Path, transport: str) -> None:
    options = (
        ["--count", "25", "--ca-file", str(cluster.home / "ca.pem")]
        if transport == "tls"
        else ["--count", "25"]
    )
    (cluster.home / "ca.pem").write_text(cluster.authority)
    made = bench(cluster, tmp_path, "chat", *options, transport=transport)
    assert made.connections == USERS
    assert made.messages == Messages(sent=100, delivered=100)
    assert made.operations["chat"].count == 100
    assert made.operations["chat"].errors == {}
    assert not [note for note in made.notes if "users" in note]
    assert made.environment.target.startswith("Rookery")


def test_processes_add_up(cluster: Cluster, tmp_path: Path) -> None:
    made = bench(cluster, tmp_path, "chat", "--count", "10", "--processes", "2", "--mechanism", "PLAIN")
    assert made.messages == Messages(sent=40, delivered=40)
    assert made.driver.processes == 2
    assert made.server is not None
    assert made.server.cpu_us_per_stanza
    assert {"edge", "router", "nats", "postgres"} <= {
        kind for one in made.server.processes for kind in one.kinds
    }


def test_an_open_loop_sends_what_was_intended(cluster: Cluster, tmp_path: Path) -> None:
    made = bench(
        cluster, tmp_path, "chat", "--rate", "200", "--duration", "2", "--warmup", "0", "--address", "bare"
    )
    assert made.messages == Messages(sent=400, delivered=400)
    assert made.operations["chat"].count == 400


def test_presence_reaches_each_contact(cluster: Cluster, tmp_path: Path) -> None:
    for _ in range(2):  # the second finds the rosters of the first
        made = bench(cluster, tmp_path, "presence", "--contacts", "4", "--count", "3")
        assert made.messages == Messages(sent=96, delivered=96)


def test_pings_are_answered(cluster: Cluster, tmp_path: Path) -> None:
    made = bench(cluster, tmp_path, "ping", "--count", "5")
    assert (made.operations["ping"].count, made.operations["ping"].failed) == (40, 0)


@pytest.mark.parametrize("transport", ["plain", "ws"])
def test_archives_are_read_whole(cluster: Cluster, tmp_path: Path, transport: str) -> None:
    first = {"plain": "200", "ws": "210"}[transport]
    options = ["--first-user", first, "--users", "4", "--archive", "20", "--page", "8"]
    made = bench(cluster, tmp_path, "mam", *options, "--count", "2", transport=transport)
    assert not [note for note in made.notes if "users" in note], made.notes
    assert (made.operations["mam"].count, made.operations["mam"].failed) == (8, 0)
    assert made.operations["page"].count == 24
    assert made.messages == Messages(sent=160, delivered=160)
    again = bench(cluster, tmp_path, "mam", *options, "--count", "1", transport=transport)
    assert again.messages == Messages(sent=80, delivered=80)  # what is there is not filled again


@pytest.mark.parametrize("options", [["--storm"], ["--count", "5", "--concurrency", "3"]])
@pytest.mark.parametrize("transport", ["starttls", "ws"])
def test_every_session_is_resumed(
    cluster: Cluster, tmp_path: Path, transport: str, options: list[str]
) -> None:
    made = bench(cluster, tmp_path, "resume", *options, transport=transport)
    assert made.connections == USERS
    times = 1 if "--storm" in options else 5
    assert (made.operations["resume"].count, made.operations["resume"].errors) == (USERS * times, {})
    assert not made.notes or not [note for note in made.notes if "ended" in note or "users" in note]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_memory_per_connection_is_what_later_ones_cost(
    cluster: Cluster, tmp_path: Path, processes: str
) -> None:
    options = ["--duration", "1", "--warmup", "0.5", "--processes", processes]
    made = bench(cluster, tmp_path, "idle", *options, transport="tls")
    assert made.connections == USERS
    server = made.server
    assert server is not None
    # A fifth of each process's users came first.
    later = {"1": 7, "2": 8}[processes]
    assert server.pss_kib_per_connection == round((server.pss_kib - server.pss_kib_before) / later, 2)


def test_logins_by_part(cluster: Cluster, tmp_path: Path) -> None:
    made = bench(cluster, tmp_path, "login", "--storm", transport="starttls")
    assert {name: one.count for name, one in made.operations.items()} == dict.fromkeys(
        ("connect", "tls", "auth", "bind", "login"), USERS
    )


def test_who_is_not_registered_can_be(cluster: Cluster, tmp_path: Path) -> None:
    made = bench(
        cluster, tmp_path, "chat", "--count", "1", "--first-user", "100", "--users", "2", "--register"
    )
    assert made.messages == Messages(sent=1, delivered=1)
    assert not [note for note in made.notes if "users" in note]


def test_a_wrong_password_is_told(cluster: Cluster, tmp_path: Path) -> None:
    for scenario in ("ping", "login"):
        said = refused(cluster, scenario, "--password", "wrong", "--users", "2")
        assert said.startswith(
            "rookery: 2 of 2 users could not be prepared: 2 not-authorized; make the users first"
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "127.0.0.1:1"], "connection-refused; does the server listen at 127.0.0.1:1?"),
        (["--domain", "example.net"], "host-unknown; --domain example.net is none of the server's"),
        (["--transport", "tls", "--timeout", "2"], "is tls what"),
        (["--ca-file", "OTHER"], "4 tls (unable to get local issuer certificate)"),
        (["--ca-file", "EMPTY"], "holds no certificate"),
        (["--mechanism", "PLAIN", "--transport", "ws"], "is --path"),
    ],
)
def test_who_nobody_lets_in_is_told_at_once(
    cluster: Cluster, tmp_path: Path, options: list[str], said: str
) -> None:
    (tmp_path / "EMPTY").write_text("")
    (tmp_path / "OTHER").write_bytes(trustme.CA().cert_pem.bytes())
    named = {name: str(tmp_path / name) for name in ("EMPTY", "OTHER")}
    assert said in refused(cluster, "chat", *(named.get(option, option) for option in options))


def refused(cluster: Cluster, scenario: str, *options: str) -> str:
    """What a run says that cannot begin: one line and exit code 1."""
    port = cluster.processes("edge")[0]["ports"]["c2s"]
    command = [sys.executable, "-m", "rookery", "bench", "run", scenario, "--quiet", "--users", "4"]
    command += ["--target", f"127.0.0.1:{port}", "--warmup", "30", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    return done.stderr


def test_a_broken_objective_is_exit_code_3(cluster: Cluster, tmp_path: Path) -> None:
    made = bench(
        cluster, tmp_path, "ping", "--count", "1", "--slo", "ping.p99<1us", "--slo", "lost==0", code=3
    )
    assert [verdict.kept for verdict in made.slo] == [False, True]


def test_the_highest_rate_is_found(cluster: Cluster, tmp_path: Path) -> None:
    # A rule that is broken by the rate itself, whatever this machine can do.
    options = ["--search", "chat.rate<150", "--rate", "100", "--duration", "1", "--warmup", "0.2"]
    made = bench(cluster, tmp_path, "chat", *options, "--slo", "search.rate>=120")
    assert made.search is not None
    assert 120 <= made.search.rate < 150
    assert made.plan["rate"] == made.search.rate
    assert made.operations["chat"].count == pytest.approx(made.search.rate, abs=1)
    assert made.messages.lost == 0
    assert max(step.rate for step in made.search.steps) == 200


def test_messages_with_other_servers(cluster: Cluster, tmp_path: Path, places: dict[str, str]) -> None:
    options = [word for name, place in places.items() for word in (f"--{name}", place)]
    options += [
        "--remotes",
        "6",
        "--auth",
        "mixed",
        "--dead",
        "0.4",
        "--dead-kinds",
        "refused,silent",
        "--dead-every",
        # Each of them is written to in the first tenth of a second: the run may be over in a third.
        "0.1",
    ]
    made = bench(cluster, tmp_path, "s2s", *options, "--count", "20")
    # Two or three users have each way; a round trip is two messages.
    assert made.messages == Messages(sent=200, delivered=200)
    assert {name: made.operations[name].count for name in ("in", "out", "round")} == {
        "in": 60,
        "out": 60,
        "round": 40,
    }
    assert {dead.manner: dead.domains for dead in made.dead} == {"refused": 1, "silent": 1}
    assert all(1 <= max(dead.questions, dead.connections) <= 8 for dead in made.dead)
    assert not [note for note in made.notes if "could not" in note]


def test_a_wrong_port_for_servers_is_one_line(cluster: Cluster, places: dict[str, str]) -> None:
    command = [
        sys.executable,
        "-m",
        "rookery",
        "bench",
        "run",
        "s2s",
        "--quiet",
        "--users",
        "2",
        "--remotes",
        "2",
    ]
    command += [
        "--target",
        f"127.0.0.1:{cluster.processes('edge')[0]['ports']['c2s']}",
        "--transport",
        "plain",
    ]
    command += ["--ca", places["ca"], "--listen", places["listen"], "--dns", places["dns"]]
    command += ["--s2s-target", f"127.0.0.1:{free_port()}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "2 of 2 remote domains could not open a stream: 2 connection-refused" in line

"""Servers in turn: the order of rounds, what is left out and why, and the settings that make the comparison fair."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from rich.console import Console

from rookery.bench.cli_peers import all_peers, planned, summary
from rookery.bench.html import report
from rookery.bench.peers import ejabberd, prosody, rookery
from rookery.bench.peers.campaign import Campaign, RunError, order, plan_for
from rookery.bench.peers.machine import make_certificate
from rookery.bench.peers.peer import Peer, PeerError, Ports, Running, Site, choose
from rookery.bench.peers.postgres import Archive
from rookery.bench.plan import Plan, make
from rookery.bench.result import Messages, Operation, Result, Runs
from rookery.bench.server import Root, read_ready_file
from rookery.bench.tables import MIXED, servers_table

PORTS = Ports(5222, 5223, 5280)
ARCHIVE = Archive("mine", "me", 5432, "/run/pg", (), 'pass"word', lambda _: "1")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, "localhost", tmp_path / "tls/localhost/fullchain.pem", tmp_path / "key.pem", 100)


def fine() -> None:
    pass


def missing() -> None:
    raise PeerError("apt install it")


class Fakes:
    """Peers that only write down what happens to them."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.users: list[str] = []
        self.folders: set[Path] = set()

    def peer(self, name: str, *, able: bool = True, imports: bool = False, broken: bool = False) -> Peer:
        def add_users(path: Path) -> None:
            self.users.append(path.read_text())

        @contextmanager
        def start(site: Site) -> Iterator[Running]:
            self.events.append(f"{name} starts")
            self.folders.add(site.folder)
            assert site.folder.is_dir()
            assert site.certificate.exists()
            if broken:
                raise PeerError("it ended with code 1")
            yield Running(PORTS, "/ws", (Root(7, name, ("edge",)),), add_users if imports else None)
            self.events.append(f"{name} stops")

        return Peer(name, f"settings of {name}", fine if able else missing, start)

    def run(self, plan: Plan) -> Result:
        self.events.append(f"run {plan.target} register={plan.register}")
        assert read_ready_file(Path(plan.ready_file))[0].pid == 7
        return Result(scenario=plan.scenario, started="", seconds=1.0, plan={"users": plan.users})


def plan(**more: object) -> Plan:
    return make({"scenario": "chat", "users": 2, "transport": "plain"}, more)


def test_rounds_begin_with_another_server_each() -> None:
    fakes = Fakes()
    peers = [fakes.peer(name) for name in "abc"]
    assert ["".join(peer.name for peer in order(peers, number)) for number in range(4)] == [
        "abc",
        "bca",
        "cab",
        "abc",
    ]
    assert order([], 1) == []


def test_a_comparison() -> None:
    fakes, told = Fakes(), []
    outcome = Campaign(plan(), fakes.run, told.append).compare(
        [fakes.peer("a"), fakes.peer("gone", able=False), fakes.peer("b", imports=True)], 2
    )
    run = "run 127.0.0.1:5222 register="
    assert fakes.events == [
        *("a starts", f"{run}True", "a stops", "b starts", f"{run}False", "b stops"),
        *("b starts", f"{run}False", "b stops", "a starts", f"{run}True", "a stops"),
    ]
    assert [result.label for result in outcome.results] == ["a", "b", "b", "a"]
    assert outcome.results[0].plan == {"users": 2, "settings": "settings of a"}
    assert outcome.skipped == {"gone": ["apt install it"]}
    assert [users.split() for users in fakes.users] == [
        ["username,password", "user000000,secret000000", "user000001,secret000001"]
    ]
    assert "gone left out: apt install it" in told
    assert not any(folder.exists() for folder in fakes.folders)


def test_one_broken_server_does_not_stop_the_others() -> None:
    fakes = Fakes()
    outcome = Campaign(plan(), fakes.run, lambda _: None).compare(
        [fakes.peer("bad", broken=True), fakes.peer("a")], 1
    )
    assert [result.label for result in outcome.results] == ["a"]
    assert outcome.skipped == {"bad": ["it ended with code 1"]}


def test_a_failed_run_is_told_and_the_server_stopped() -> None:
    def run(_: Plan) -> Result:
        raise RunError("no driver")

    fakes = Fakes()
    outcome = Campaign(plan(), run, lambda _: None).compare([fakes.peer("a")], 2)
    assert outcome.skipped == {"a": ["no driver", "no driver"]}


@pytest.mark.parametrize(
    ("transport", "port"), [("plain", 5222), ("starttls", 5222), ("tls", 5223), ("ws", 5280)]
)
def test_each_transport_has_its_port(transport: str, port: int) -> None:
    aimed = plan_for(plan(transport=transport), Running(PORTS, "/ws", ()), Path("/x"), register=True)
    assert (aimed.target, aimed.path, aimed.register) == (
        f"127.0.0.1:{port}",
        "/ws" if transport == "ws" else "",
        True,
    )


def test_a_transport_that_peers_do_not_have() -> None:
    with pytest.raises(PeerError, match="transport wss"):
        plan_for(plan(transport="wss"), Running(PORTS, "/ws", ()), Path("/x"), register=True)


def test_choose() -> None:
    fakes = Fakes()
    peers = [fakes.peer("a"), fakes.peer("b")]
    assert [peer.name for peer in choose(peers, ["b", "a", "b"])] == ["b", "a"]
    with pytest.raises(PeerError, match="no server c: there are a, b"):
        choose(peers, ["a", "c"])
    with pytest.raises(PeerError, match="no server named"):
        choose(peers, [])


def test_names_are_unique() -> None:
    names = [peer.name for peer in (*rookery.peers(), *prosody.PEERS, *ejabberd.PEERS)]
    assert len(set(names)) == len(names) == 7


def test_prosody_is_fair(site: Site) -> None:
    text = prosody.configuration(site, PORTS)
    assert 'authentication = "internal_hashed"' in text
    assert '"limits"' not in text
    assert '"mam"' not in text
    assert "gc =" not in text
    assert "c2s_ports = { 5222 }" in text
    assert "/etc/prosody" not in text
    assert "/var/lib" not in text
    assert "gc = { threshold = 200 }" in prosody.configuration(site, PORTS, gc=200)


def test_prosody_with_an_archive(site: Site) -> None:
    text = prosody.configuration(site, PORTS, gc=200, database=ARCHIVE)
    assert '"mam"' in text
    assert 'storage = { archive = "sql" }' in text
    assert 'password = "pass\\"word"; host = "/run/pg"; port = 5432' in text


def test_ejabberd_is_fair(site: Site) -> None:
    config = ejabberd.configuration(site, PORTS)
    assert config["auth_password_format"] == "scram"
    assert not any("shaper" in key for key in config)
    assert all("shaper" not in listener and listener["ip"] == "127.0.0.1" for listener in config["listen"])
    assert not {"mod_mam", "mod_fail2ban", "mod_pres_counter"} & config["modules"].keys()
    assert config["loglevel"] != "debug"
    assert "sql_type" not in config
    assert ejabberd.SLEEPING[:2] == ("+sbwt", "none")


def test_ejabberd_with_an_archive(site: Site) -> None:
    config = ejabberd.configuration(site, PORTS, database=ARCHIVE)
    assert config["modules"]["mod_mam"] == {"db_type": "sql", "default": "always", "assume_mam_usage": True}
    assert (config["sql_type"], config["sql_port"], config["sql_password"]) == ("pgsql", 5432, 'pass"word')


def test_an_archive_without_rows_is_no_archive() -> None:
    ARCHIVE.prove("archive")
    empty = Archive("mine", "me", 5432, "", (), "", lambda _: "0")
    with pytest.raises(PeerError, match="it archived nothing in archive"):
        empty.prove("archive")
    assert "pass" not in repr(ARCHIVE)


def test_an_interruption_keeps_what_was_measured() -> None:
    def run(plan: Plan) -> Result:
        if len(fakes.events) > 3:
            raise KeyboardInterrupt
        return fakes.run(plan)

    fakes, told = Fakes(), []
    outcome = Campaign(plan(), run, told.append).compare([fakes.peer("a"), fakes.peer("b")], 3)
    assert [result.label for result in outcome.results] == ["a"]
    assert told[-1] == "interrupted after 1 runs"


def test_doubts_are_told_once() -> None:
    busy = ["others used 1.2 cores", "others used 0.9 cores", "odd"]
    runs = [Result(scenario="chat", started="", seconds=1.0, label="a", notes=(note,)) for note in busy]
    runs.append(Result(scenario="chat", started="", seconds=1.0, label="b", messages=Messages(3, 1, 2)))
    assert summary(runs) == ["a: others used 1.2 cores (and 1 more runs)", "a: odd", "b: 2 messages lost"]


def test_the_same_doubt_of_several_servers_is_one() -> None:
    note = "others used {} cores"
    runs = [
        Result(scenario="chat", started="", seconds=1.0, label=label, notes=(note.format(cores),))
        for label, cores in (("a", 1.2), ("b", 0.7), ("a", 1.1))
    ]
    assert summary(runs) == ["a, b: others used 1.2 cores (and 2 more runs)"]
    assert report(Runs(tuple(runs))).count("<li>a, b: others used 1.2 cores</li>") == 1


def test_durable_beside_volatile_is_said() -> None:
    operations = {"chat": Operation(5, 5.0)}
    runs = [
        Result("chat", "", 1.0, label=label, plan={"durable": durable}, operations=operations)
        for label, durable in (("rookery", True), ("prosody", False))
    ]
    assert summary(runs) == [MIXED]
    page = report(Runs(tuple(runs)))
    assert MIXED in page
    assert page.count("rookery (durable)") >= 2
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(servers_table(runs, width=160))
    text = console.export_text()
    assert "rookery (durable)" in text
    assert "prosody (volatile)" in text
    assert summary(runs[:1]) == []
    assert "(durable)" not in report(Runs((runs[0], runs[0])))


def test_every_server_says_whether_it_is_durable() -> None:
    known = {peer.name: peer.durable for peer in all_peers()}
    assert {name for name, durable in known.items() if durable} == {"rookery", "prosody-pg", "ejabberd-pg"}
    assert None not in known.values()


def test_another_version_of_rookery() -> None:
    version = rookery.Version(("env", "A=1", "python", "-m", "rookery"), ("--edges", "2"))
    assert rookery.peers(version)[0].settings == "defaults: durable (env A=1 python -m rookery up --edges 2)"
    assert rookery.peers()[0].settings == "defaults: durable"
    with pytest.raises(PeerError, match="cannot run /no/such/program: No such file"):
        rookery.check(rookery.Version(("/no/such/program",)), "relaxed")


def test_rookery_is_given_the_same_certificate(site: Site) -> None:
    ports = "[upload]\nport = 0\n[component]\nport = 0\n"
    assert rookery.configuration(site) == f'[tls]\ndirectory = "{site.folder}/tls"\n{ports}'
    assert 'durability = "relaxed"' in rookery.configuration(site, "relaxed")


def test_the_certificate(tmp_path: Path) -> None:
    chain, key = make_certificate(tmp_path / "tls", "bench.test")
    assert (chain.parent.name, chain.stat().st_mode & 0o777) == ("bench.test", 0o644)
    made = x509.load_pem_x509_certificate(chain.read_bytes())
    public = made.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256r1"
    assert key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY")


def test_a_profile_names_the_scenario() -> None:
    assert planned(None, None, quick=False, given={}).scenario == "chat"
    plan = planned(None, "idle", quick=False, given={})
    assert (plan.scenario, plan.users, plan.transport) == ("idle", 5000, "starttls")
    plan = planned("ping", "idle", quick=True, given={"duration": 2.0})
    assert (plan.scenario, plan.users, plan.transport, plan.duration) == ("ping", 100, "starttls", 2.0)

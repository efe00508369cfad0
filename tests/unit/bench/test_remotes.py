"""Remote domains that the driver plays: who is what, how streams begin in both directions, and what the dead do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest
from cryptography import x509

from rookery.bench.driver.loop import Loop
from rookery.bench.plan import Plan, PlanError, make
from rookery.bench.remotes import domains, grammar
from rookery.bench.remotes.authority import Authority
from rookery.bench.remotes.domains import DEAD
from rookery.bench.remotes.house import House
from rookery.bench.remotes.incoming import Incoming
from rookery.bench.remotes.outgoing import Outgoing
from rookery.bench.result import Dead, merge_dead
from rookery.embedded.child import free_port

SECOND = 1_000_000_000


def planned(**given: object) -> Plan:
    return make({"scenario": "s2s", "users": 4}, given)


def test_the_dead_and_the_flaky_are_spread_over_all() -> None:
    found = domains.domains(
        planned(remotes=20, dead=0.5, flaky=0.2, auth="mixed", processes=2, dead_kinds="refused, tls")
    )
    assert sum(domain.dead for domain in found) == 10
    assert [domain.manner for domain in found if domain.dead][:4] == ["refused", "tls", "refused", "tls"]
    assert sorted({domain.manner for domain in found if not domain.dead}) == ["", "flapping", "slow"]
    assert [domain.process for domain in found[:4]] == [0, 1, 0, 1]
    assert sum(domain.dialback for domain in found) == 10
    assert found[3].name == "r0003.example"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"remote_domain": "one.example"}, "is not a pattern"),
        ({"remote_domain": "r%d%d.example"}, "is not a pattern"),
        ({"dead": 0.5, "dead_kinds": "refsued"}, "there are nxdomain"),
        ({"dead": 0.5, "dead_kinds": "refused", "dns": ""}, "needs the tool's DNS server"),
        ({"dead": 0.5, "dead_kinds": ""}, "needs --dead-kinds"),
        ({"dead": 1.0}, "needs one that lives"),
        ({"remotes": 1, "processes": 2}, "needs one that lives"),
    ],
)
def test_what_cannot_be_played_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        domains.check(planned(**given))


def test_the_key_of_the_example() -> None:
    """XEP-0185 section 3."""
    found = grammar.key(b"s3cr3tf0rd14lb4ck", "example.org", "xmpp.example.com", "D60000229F")
    assert found == "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"


def test_an_authority_is_written_and_read(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    Authority.make().write(file)
    assert (tmp_path / "ca.pem.key").stat().st_mode & 0o777 == 0o600
    authority = Authority.load(str(file))
    one, other = (authority.issue(tmp_path, name) for name in ("a.example", "b.example"))
    certificate = x509.load_pem_x509_certificate(one.chain.read_bytes())
    certificate.verify_directly_issued_by(authority.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example"]
    assert one.key == other.key


def test_what_is_no_authority_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="No such file or directory; `rookery bench ca"):
        Authority.load(str(tmp_path / "none.pem"))
    Authority.make().write(tmp_path / "one.pem")
    Authority.make().write(tmp_path / "two.pem")
    (tmp_path / "one.pem.key").write_bytes((tmp_path / "two.pem.key").read_bytes())
    with pytest.raises(PlanError, match="is not its key"):
        Authority.load(str(tmp_path / "one.pem"))
    (tmp_path / "one.pem").write_text("nothing")
    with pytest.raises(PlanError, match="not a certificate with its key"):
        Authority.load(str(tmp_path / "one.pem"))


def test_the_dead_of_all_processes_are_one_table() -> None:
    one, other = Dead("tls", 2, 5, 7, 3, 4), Dead("tls", 1, 9, 0, 9, 0)
    assert merge_dead([(one,), (other, Dead("silent", 1))]) == (
        Dead("tls", 3, 14, 7, 9, 4),
        Dead("silent", 1),
    )


class World:
    """A house whose domains open streams to one another: r0000.example stands for the server."""

    def __init__(self, authority: Path, **given: object) -> None:
        port = free_port()
        place = f"127.0.0.1:{port}"
        defaults = {
            "dns": "",
            "ca": str(authority),
            "domain": "r0000.example",
            "listen": place,
            "s2s_target": place,
        }
        self.loop = Loop()
        self.got: list[bytes] = []
        self.lost: list[str] = []
        self.house = House(
            self.loop,
            planned(**{**defaults, **given}),
            0,
            self.take,
            lambda _stream, condition: self.lost.append(condition),
        )

    def take(self, stream: Incoming, data: bytes) -> None:
        self.got.append(data)
        for element in [part + b">" for part in data.split(b">") if part.startswith(b"<r ")]:
            stream.element(element)

    def run(self, done: Callable[[], object], seconds: float = 5.0) -> None:
        def look(now: int) -> None:
            if done() or now > limit:
                self.loop.stop()
            else:
                self.loop.at(now + SECOND // 200, look)

        limit = self.loop.clock() + int(seconds * SECOND)
        look(self.loop.clock())
        self.loop.run()
        assert done()

    def open(self, number: int) -> tuple[Outgoing, list[str]]:
        said: list[str] = []
        stream = self.house.open(
            self.house.domains[number], lambda _stream, condition: said.append(condition)
        )
        return stream, said


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []
    Authority.make().write(tmp_path / "ca.pem")

    def build(**given: object) -> World:
        made.append(World(tmp_path / "ca.pem", **given))
        return made[-1]

    yield build
    for each in made:
        each.house.close()
        each.loop.close()


@pytest.mark.parametrize("auth", ["external", "dialback"])
def test_a_stream_in_both_directions(world: Callable[..., World], auth: str) -> None:
    here = world(auth=auth)
    stream, said = here.open(1)
    here.run(lambda: said)
    assert said == [""]
    assert stream.open
    assert stream.marks.keys() == {"connect", "tls", "auth"}
    assert all(each.wire.secure for each in here.house.streams)
    stream.write(b"<message to='a@r0000.example'><body>one</body></message>")
    here.run(lambda: here.got)
    assert here.got == [b"<message to='a@r0000.example'><body>one</body></message>"]
    (taker,) = [each for each in here.house.streams if each.ready]
    assert taker.names == {"r0000.example"}
    taker.close()
    here.run(lambda: here.lost)
    assert here.lost == ["closed"]


def test_a_key_of_somebody_else_is_not_confirmed(world: Callable[..., World]) -> None:
    here = world(auth="dialback")
    words: list[bool] = []
    here.house.ask(here.house.domains[1], "r0000.example", "id1", "0123", words.append)
    here.run(lambda: words)
    assert words == [False]


def test_a_domain_that_nobody_plays(world: Callable[..., World]) -> None:
    here = world(domain="elsewhere.example")
    _, said = here.open(1)
    here.run(lambda: said)
    assert said == ["host-unknown"]


def test_a_closed_port_is_told(world: Callable[..., World]) -> None:
    here = world(s2s_target=f"127.0.0.1:{free_port()}")
    _, said = here.open(1)
    here.run(lambda: said)
    assert said == ["connection-refused"]


@pytest.mark.parametrize("manner", ["silent", "tarpit", "tls"])
def test_the_dead_take_connections_and_never_a_stream(world: Callable[..., World], manner: str) -> None:
    here = world(remotes=2, dead=0.5, dead_kinds=manner, domain="r0001.example")
    _, said = here.open(0)
    here.run(lambda: here.house.dead()[0].connections)
    with pytest.raises(AssertionError):
        here.run(lambda: said, seconds=0.3)
    assert here.house.dead() == (Dead(manner, 1, 1, 0, 1, 0),)


def test_a_certificate_of_another(world: Callable[..., World]) -> None:
    here = world(remotes=2, dead=0.5, dead_kinds="certificate")
    healthy, broken = here.house.domains
    assert here.house.context(healthy) is here.house.context(healthy)
    assert here.house.context(broken) is not here.house.context(healthy)
    files = sorted(path.name for path in here.house._folder.iterdir())
    assert files == ["another.invalid.pem", "key.pem", "r0000.example.pem"]


def test_what_the_dns_says_of_the_dead(world: Callable[..., World]) -> None:
    number = free_port()
    here = world(remotes=2 * len(DEAD), dead=0.5, dead_kinds=",".join(DEAD), dns=f"127.0.0.1:{number}")

    def ask(name: str) -> dns.message.Message:
        query = dns.message.make_query(f"_xmpp-server._tcp.{name}", "SRV")
        return dns.query.udp(query, "127.0.0.1", timeout=0.3, port=number)

    by_manner = {domain.manner: domain.name for domain in here.house.domains}
    assert ask(by_manner["nxdomain"]).rcode() == dns.rcode.NXDOMAIN
    assert ask(by_manner["servfail"]).rcode() == dns.rcode.SERVFAIL
    with pytest.raises(dns.exception.Timeout):
        ask(by_manner["dns-silent"])
    for manner, error in (("refused", ConnectionRefusedError), ("blackhole", TimeoutError)):
        target = int(ask(by_manner[manner]).answer[0].to_text().split()[-2])
        with pytest.raises(error):
            socket.create_connection(("127.0.0.1", target), timeout=0.3)
    counted = {dead.manner: dead.questions for dead in here.house.dead()}
    assert (counted["servfail"], counted["refused"], counted["tls"]) == (1, 1, 0)


def test_ports_that_are_taken_are_one_line(world: Callable[..., World]) -> None:
    with socket.socket() as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        with pytest.raises(PlanError, match="choose another --listen"):
            world(listen=f"127.0.0.1:{sock.getsockname()[1]}")
        datagrams.bind(("127.0.0.1", 0))
        with pytest.raises(PlanError, match="choose another --dns"):
            world(dns=f"127.0.0.1:{datagrams.getsockname()[1]}")
    with pytest.raises(PlanError, match="bench ca FILE"):
        world(ca="")

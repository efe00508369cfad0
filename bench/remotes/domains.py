"""The remote domains of a run: their names, who plays them, how they prove themselves, and which are out of order. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from rookery.bench.plan import Plan, PlanError
from rookery.bench.remotes.dns import NXDOMAIN, SERVFAIL, SILENT, Record

#: How a domain can be dead, and what its server does.
DEAD: Final = {
    "nxdomain": "its name does not exist",
    "servfail": "its DNS server fails",
    "dns-silent": "its DNS server does not answer",
    "refused": "its port is closed",
    "blackhole": "connections to it are never accepted",
    "silent": "it accepts and says nothing",
    "tarpit": "it says a byte a second",
    "tls": "it stalls in the TLS handshake",
    "certificate": "its certificate is another's",
}
#: Those that the DNS alone can play.
BY_NAME: Final = frozenset({"nxdomain", "servfail", "dns-silent", "refused", "blackhole"})
#: How a domain that takes everything can be a burden.
FLAKY: Final = {"slow": "it reads slowly", "flapping": "it ends its streams every two seconds"}
AUTHS: Final = ("external", "dialback", "mixed")
#: Ports of loopback for what no connection comes to.
_TTL: Final = 300
#: Names of dead domains are asked for at each attempt, which is how attempts are counted.
_DEAD_TTL: Final = 1


class Domain(NamedTuple):
    """One remote domain. `manner` is "" or a key of DEAD or FLAKY; `process` is the driver process that plays it."""

    number: int
    name: str
    process: int
    dialback: bool
    manner: str

    @property
    def dead(self) -> bool:
        """Whether nothing can be delivered to it."""
        return self.manner in DEAD


def kinds(text: str) -> list[str]:
    """The words of a list with commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def domains(plan: Plan) -> list[Domain]:
    """All of a run. The dead and the flaky ones are spread evenly among them."""
    dead, flaky = kinds(plan.dead_kinds), list(FLAKY)
    found: list[Domain] = []
    spoiled = unsteady = 0
    for index in range(plan.remotes):
        manner = ""
        if int((index + 1) * plan.dead) > spoiled:
            manner = dead[spoiled % len(dead)]
            spoiled += 1
        elif int((index + 1) * plan.flaky) > unsteady:
            manner = flaky[unsteady % len(flaky)]
            unsteady += 1
        by_key = plan.auth == "dialback" or (plan.auth == "mixed" and index % 2 == 1)
        name = plan.remote_domain % index
        found.append(Domain(index, name, index % plan.processes, by_key, manner))
    return found


def check(plan: Plan) -> None:
    """Raises PlanError for what cannot be played."""
    try:
        names = {plan.remote_domain % 0, plan.remote_domain % 1}
    except (TypeError, ValueError):
        names = set()
    if len(names) != 2:
        raise PlanError(f"remote_domain {plan.remote_domain!r} is not a pattern such as r%04d.example")
    if plan.auth not in AUTHS:
        raise PlanError(f"auth {plan.auth!r}: there are {', '.join(AUTHS)}")
    for word in kinds(plan.dead_kinds):
        if word not in DEAD:
            raise PlanError(f"dead_kinds {word!r}: there are {', '.join(DEAD)}")
        if plan.dead and not plan.dns and word in BY_NAME:
            raise PlanError(f"dead_kinds {word}: needs the tool's DNS server (--dns HOST:PORT)")
    if plan.dead and not kinds(plan.dead_kinds):
        raise PlanError("dead needs --dead-kinds")
    if sum(not domain.dead for domain in domains(plan)) < plan.processes:
        raise PlanError(
            f"{plan.remotes} remotes with {plan.dead:g} of them dead: each of {plan.processes} processes needs one that lives"
        )


def records(domain: Domain, host: str, port: int, closed: int, hole: int) -> list[Record]:
    """What the DNS says of a domain that is served at `host` and `port`; `closed` is a closed port, `hole` one that never accepts."""
    name = domain.name
    failures = {"nxdomain": NXDOMAIN, "servfail": SERVFAIL, "dns-silent": SILENT}
    if domain.manner in failures:
        return [Record(f"{place}{name}", failures[domain.manner]) for place in ("_xmpp-server._tcp.", "")]
    ttl = _DEAD_TTL if domain.dead else _TTL
    port = {"refused": closed, "blackhole": hole}.get(domain.manner, port)
    kind = "AAAA" if ":" in host else "A"
    return [
        Record(f"_xmpp-server._tcp.{name}", "SRV", f"0 5 {port} xmpp.{name}.", ttl),
        Record(f"xmpp.{name}", kind, host, ttl),
        Record(name, kind, host, ttl),
    ]

"""What to run: one typed plan, made of a TOML profile and of options, checked before anything starts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

Transport = Literal["plain", "starttls", "tls", "ws", "wss", "bosh"]
Mechanism = Literal["auto", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]
#: Bytes of the mark at the beginning of each body; a body cannot be shorter.
MARK_BYTES: Final = 34
#: What each step of a search is unless it is told otherwise: there are many.
WINDOW: Final = {"duration": 5.0, "warmup": 2.0}
PROFILES: Final = Path(__file__).parent / "profiles"


class PlanError(ValueError):
    """A plan cannot be run: one line that says why and what to do."""


class Plan(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One run. Times are seconds, sizes bytes, rates per second of all driver processes together."""

    scenario: str
    target: str = "127.0.0.1:5222"
    domain: str = "localhost"
    #: Where every second user is: at another server, by the same transport ("": there is one server).
    second_target: str = ""
    second_domain: str = ""
    transport: Transport = "starttls"
    #: Path of the WebSocket (transports ws and wss) or of BOSH (transport bosh, without TLS); "" for the usual one.
    path: str = ""
    #: PEM file of the authority to trust; without it loopback targets are not checked, and others by the system's.
    ca_file: str = ""
    mechanism: Mechanism = "auto"

    users: int = 100
    #: Number of the first user of the pattern.
    first_user: int = 0
    user: str = "user%06d"
    #: May hold %d for the user's number; the same for all when it does not.
    password: str = "secret%06d"  # noqa: S105  a pattern for test accounts
    #: CSV file with the columns jid (or username) and password, instead of the patterns.
    users_file: str = ""
    #: Register the users first (XEP-0077); those who exist already are used as they are.
    register: bool = False
    resource: str = "bench"

    #: Operations per second; 0 is a closed loop: the end of one operation begins the next.
    rate: float = 0.0
    arrivals: Literal["even", "poisson"] = "even"
    #: Operations that each user (each pair) does; 0: as many as the duration allows.
    count: int = 0
    #: Logins under way at once in a closed loop of logins.
    concurrency: int = 32
    body: int = 200
    #: Address messages to the full or to the bare JID.
    address: Literal["full", "bare"] = "full"
    #: Contacts of each user (presence, mixed, pep), and nodes of each account (pep).
    contacts: int = 20
    nodes: int = 5
    #: Messages that are in the archive of each user (mam), and in one page.
    archive: int = 200
    page: int = 50
    #: Rooms that the users are in (muc), how they share them, who talks in each, and the service ("": conference.DOMAIN).
    rooms: int = 20
    sizes: Literal["even", "zipf"] = "even"
    talkers: int = 5
    muc: str = ""
    #: Where the server takes streams of other servers ("": port 5269 of the target's host), and the remote domains that are played (s2s).
    s2s_target: str = ""
    remotes: int = 10
    remote_domain: str = "r%04d.example"
    #: Where they listen (each further driver process one port higher), and where their DNS is; "" for a server with static routes.
    listen: str = "127.0.0.1:15269"
    dns: str = "127.0.0.1:15353"
    #: The authority of their certificates: a file of `rookery bench ca`.
    ca: str = ""
    auth: Literal["external", "dialback", "mixed"] = "external"
    #: Offer acknowledgements (XEP-0198) to the server.
    s2s_acks: bool = True
    #: What is done, one way for each user in turn.
    ways: str = "in,out,round"
    #: The share of remotes that are dead, of what, and the seconds between messages to each of them.
    dead: float = 0.0
    dead_kinds: str = "refused,nxdomain,silent,tls,certificate"
    dead_every: float = 5.0
    #: The share of remotes that read slowly or end their streams all the time.
    flaky: float = 0.0
    #: Messages per second of strangers at one remote domain, for the whole window.
    spam: float = 0.0
    #: A recording, and how many times as fast its messages are sent (replay).
    tape: str = ""
    speed: float = 1.0
    #: Everybody begins at once (login, resume).
    storm: bool = False

    duration: float = 30.0
    warmup: float = 5.0
    #: New connections per second before the load begins.
    ramp: float = 200.0
    #: How long answers are waited for after the last operation.
    drain: float = 10.0
    #: How long one operation may take before it counts as `timeout`.
    timeout: float = 30.0
    processes: int = 1
    seed: int = 1

    #: Process ids of the server, whose CPU and memory are measured.
    server_pids: tuple[int, ...] = ()
    #: JSON file with the server's processes, as `rookery up --ready-file` writes it.
    ready_file: str = ""
    slo: tuple[str, ...] = ()
    #: Rules like those of `slo`: the highest rate that keeps them is looked for; `rate` is where that begins.
    search: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """The target's host without the brackets of an IPv6 address."""
        return self.target.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The target's port."""
        return int(self.target.rpartition(":")[2])

    @property
    def at(self) -> str:
        """The path of HTTP requests."""
        return self.path or ("/http-bind" if self.transport == "bosh" else "/xmpp-websocket")

    @property
    def closed_loop(self) -> bool:
        """Whether operations begin when others end."""
        return self.rate == 0.0

    @property
    def foreign(self) -> str:
        """The first host of the targets that is not this machine, "" when all are."""
        places = (self.target, self.second_target, self.s2s_target)
        hosts = [place.rpartition(":")[0].strip("[]") for place in places if place]
        return next((host for host in hosts if not _is_loopback(host)), "")

    @property
    def loopback(self) -> bool:
        """Whether the targets are this machine."""
        return not self.foreign


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def names() -> list[str]:
    """The profiles that come with the tool."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def told_by(name: str) -> str:
    """What a profile of the tool says of itself, in its first line."""
    return (PROFILES / f"{name}.toml").read_text("utf-8").partition("\n")[0].removeprefix("# ")


def profile(name: str) -> dict[str, Any]:
    """The keys of a profile that comes with the tool, or of a TOML file. Raises PlanError."""
    path = Path(name) if name.endswith(".toml") or "/" in name else PROFILES / f"{name}.toml"
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        near = get_close_matches(name, names(), 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise PlanError(
            f"no profile {name!r}: {meant}there are {', '.join(names())}, or give the path of a TOML file"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PlanError(f"profile {path}: {error}") from None


def make(*layers: Mapping[str, Any]) -> Plan:
    """The plan of several layers of keys, the last one wins. Raises PlanError."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged.update(layer)
    unknown = sorted(merged.keys() - set(Plan.__struct_fields__))
    if unknown:
        known = sorted(Plan.__struct_fields__)
        near = get_close_matches(unknown[0].replace("-", "_"), known, 1, 0.7)
        meant = f"did you mean {near[0]}? " if near else ""
        raise PlanError(f"unknown key {', '.join(unknown)}: {meant}a plan has {', '.join(known)}")
    try:
        plan = msgspec.convert(merged, Plan)
    except msgspec.ValidationError as error:
        raise PlanError(f"not a plan: {error}") from None
    check(plan)
    if plan.count or plan.storm:
        # What is done once must not be over before it is measured.
        plan = msgspec.structs.replace(plan, warmup=0.0)
    return plan


def check(plan: Plan) -> None:
    """What types cannot tell. Raises PlanError."""
    _place("target", plan.target)
    if plan.second_target:
        _place("second_target", plan.second_target)
    if bool(plan.second_target) != bool(plan.second_domain):
        raise PlanError("a second server has both: --second-target and --second-domain")
    if plan.second_domain and plan.second_domain == plan.domain:
        raise PlanError(f"second_domain is {plan.domain}, too: users of two servers have two domains")
    if plan.second_target and plan.users_file:
        raise PlanError("users of two servers come by patterns: leave --users-file out")
    for name, low, high in _BOUNDS:
        value = getattr(plan, name)
        if not low <= value <= high:
            raise PlanError(f"{name} is {value:g}: it must be {low:g} to {high:g}")
    for name in ("user", "password"):
        try:
            shown = getattr(plan, name) % 1 if "%" in getattr(plan, name) else ""
        except (TypeError, ValueError):
            raise PlanError(f"{name} {getattr(plan, name)!r} is not a pattern such as user%06d") from None
        if name == "user" and not plan.users_file and not shown:
            raise PlanError("user needs a place for the number, such as user%06d")
    if plan.search and (plan.count or plan.storm):
        raise PlanError("search looks for a rate: leave count and storm out")
    if plan.users < 2 * plan.processes:
        raise PlanError(f"{plan.processes} processes need at least {2 * plan.processes} users")


def _place(name: str, text: str) -> None:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise PlanError(f"{name} {text!r} is not HOST:PORT, such as 127.0.0.1:5222")


_BOUNDS: Final[tuple[tuple[str, float, float], ...]] = (
    ("users", 2, 1_000_000),
    ("first_user", 0, 10_000_000),
    ("rate", 0, 10_000_000),
    ("count", 0, 10_000_000),
    ("concurrency", 1, 100_000),
    ("body", MARK_BYTES, 1_000_000),
    ("contacts", 1, 10_000),
    ("nodes", 1, 100),
    ("archive", 1, 100_000),
    ("page", 1, 10_000),
    ("rooms", 1, 100_000),
    ("talkers", 1, 10_000),
    ("remotes", 1, 100_000),
    ("dead", 0, 1),
    ("dead_every", 0.1, 86_400),
    ("flaky", 0, 1),
    ("spam", 0, 10_000_000),
    ("speed", 0.01, 10_000),
    ("duration", 0.1, 7 * 86_400),
    ("warmup", 0, 86_400),
    ("ramp", 0.1, 1_000_000),
    ("drain", 0, 3_600),
    ("timeout", 0.1, 3_600),
    ("processes", 1, 256),
)

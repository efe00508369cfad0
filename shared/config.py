"""Settings: TOML file, then environment (`ROOKERY_EDGE__C2S_PORT=5222`), then the command line; checked by this schema.

The loader is `shared.settings`, the form of a setting `shared.options`. Every field has a safe default and one line of help, from which
`rookery config` and `docs/settings.md` are made. Extensions (`shared/xeps/`) bring the sections of their own settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, cast

from msgspec import defstruct, field

from rookery.shared.admin_settings import Admin as Admin
from rookery.shared.component_settings import Component as Component
from rookery.shared.federation_settings import S2s as S2s
from rookery.shared.options import S, Section, about
from rookery.shared.tls_settings import Tls as Tls
from rookery.shared.xeps import registry


class Bus(Section, frozen=True):
    """NATS between the processes."""

    url: Annotated[str, about("Where NATS is: nats:// or tls://, several addresses separated by commas")] = (
        "nats://127.0.0.1:4222"
    )
    user: Annotated[str, about("User of NATS, with `password`")] = ""
    password: Annotated[str, about("Password of `user`", secret=True, live=True)] = ""
    token: Annotated[str, about("Token for NATS, in place of a user", secret=True, live=True)] = ""
    nkey_seed_file: Annotated[str, about("Credentials file for NATS: an nkey seed, or a JWT with one")] = ""
    ca_file: Annotated[
        str, about("Certificate authorities (PEM) for tls://; empty for those of the system")
    ] = ""
    prefix: Annotated[str, about("First token of every subject: clusters on one NATS differ in it")] = (
        "rookery"
    )
    window_items: Annotated[
        int, about("Credit that a receiver gives each sender: items that may be on the way", "items", ge=1)
    ] = 4096
    window_bytes: Annotated[
        int, about("Credit that a receiver gives each sender: bytes that may be on the way", "bytes", ge=1)
    ] = 2 * 1024 * 1024


class Database(Section, frozen=True):
    """Postgres, the only durable truth."""

    url: Annotated[str, about("Where Postgres is: postgresql://user@host:port/database")] = (
        "postgresql://rookery@127.0.0.1:5432/rookery"
    )
    password: Annotated[str, about("Password of the user in `url`", secret=True, live=True)] = ""
    pool_max: Annotated[int, about("Most connections of one process", "connections", ge=1)] = 4
    statement_cache: Annotated[
        int,
        about("Prepared statements of a connection; 0 behind a transaction-mode pooler", "statements", ge=0),
    ] = 200
    statement_timeout: Annotated[float, about("Postgres ends a statement after this", "seconds", ge=0)] = 5.0
    lock_timeout: Annotated[
        float, about("A statement waits for a lock no longer than this", "seconds", ge=0)
    ] = 2.0


class Cluster(Section, frozen=True):
    """Membership and leases."""

    lease_ttl: Annotated[
        float, about("A process that did not renew its lease for so long is taken over", "seconds", ge=0)
    ] = 3.0
    heartbeat: Annotated[
        float, about("How often a process renews its lease; at most half of `lease_ttl`", "seconds", ge=0)
    ] = 1.0
    silent_limit: Annotated[
        float,
        about("Take over after this even when the bus said nothing of the process's death", "seconds", ge=0),
    ] = 15.0
    drain_limit: Annotated[
        float,
        about(
            "A process that is to stop gives away what it holds within this time", "seconds", ge=0, live=True
        ),
    ] = 30.0
    drain_rate: Annotated[
        int,
        about(
            "Connections that an edge which is to stop ends in a second, as long as that takes; 0 for as many as drain_limit asks for",
            "connections",
            ge=0,
            live=True,
        ),
    ] = 0
    zone: Annotated[
        str,
        about(
            "Where this process runs, as failures see it (a zone of a cloud, a rack); partitions are spread"
        ),
    ] = ""
    host: Annotated[
        str, about("The machine on which this process runs; empty for the name that the system says")
    ] = ""
    speak_version: Annotated[
        int,
        about(
            "Speak and understand at most this version of the bus; 0 for the newest, the previous one rehearses an upgrade",
            ge=0,
        ),
    ] = 0


class Limits(Section, frozen=True):
    """What a client may cost (`docs/limits.md` tells each with its source)."""

    stanza_bytes: Annotated[int, about("Size of one stanza", "bytes", ge=1)] = 262_144
    stanza_elements: Annotated[int, about("Elements in one stanza", "elements", ge=1)] = 4096
    stanza_depth: Annotated[int, about("Elements within each other in one stanza", "levels", ge=1)] = 64
    element_attributes: Annotated[int, about("Attributes of one element", "attributes", ge=1)] = 256
    preauth_bytes: Annotated[
        int, about("Size of one element before authentication (RFC 6120 section 13.12)", "bytes", ge=10_000)
    ] = 10_000
    preauth_elements: Annotated[
        int, about("Elements in one element before authentication", "elements", ge=1)
    ] = 32
    preauth_depth: Annotated[
        int, about("Elements within each other before authentication", "levels", ge=1)
    ] = 8
    preauth_seconds: Annotated[
        float, about("From the first byte until the client has authenticated", "seconds", ge=0, live=True)
    ] = 30.0
    tls_seconds: Annotated[float, about("A TLS handshake", "seconds", ge=0, live=True)] = 10.0
    auth_failures: Annotated[int, about("Failed authentications of one stream", "attempts", ge=1)] = 5
    auth_failures_per_ip: Annotated[
        int, about("Failed authentications of one address in the window", "attempts", ge=1)
    ] = 20
    auth_failures_window: Annotated[
        float, about("How long failed authentications of an address or an account count", "seconds", ge=0)
    ] = 600.0
    logins_per_second: Annotated[
        int,
        about(
            "Logins of the whole cluster on average, shared by its edges; beyond it they wait, resumptions first; 0 for no limit",
            "logins",
            ge=0,
            live=True,
        ),
    ] = 1000
    login_wait_seconds: Annotated[
        float,
        about(
            "A login waits so long for its turn; then it is told to come back later",
            "seconds",
            ge=0,
            live=True,
        ),
    ] = 10.0
    auth_failures_per_account: Annotated[
        int, about("Failed authentications of one account before its answers are delayed", "attempts", ge=1)
    ] = 10
    bytes_per_second: Annotated[
        int, about("What a session may send on average; beyond it is read later", "bytes", ge=1, live=True)
    ] = 65_536
    bytes_burst: Annotated[int, about("What a session may send at once", "bytes", ge=1, live=True)] = 262_144
    stanzas_per_second: Annotated[
        int, about("What a session may send on average; beyond it is read later", "stanzas", ge=1, live=True)
    ] = 50
    stanzas_burst: Annotated[int, about("What a session may send at once", "stanzas", ge=1, live=True)] = 200
    connections_per_ip: Annotated[
        int,
        about(
            "Open connections of one IPv4 address or IPv6 /64, at one edge", "connections", ge=1, live=True
        ),
    ] = 100
    connections_per_ip_per_second: Annotated[
        int,
        about("New connections of one IPv4 address or IPv6 /64, at one edge", "connections", ge=1, live=True),
    ] = 10
    exempt_nets: Annotated[
        tuple[str, ...],
        about("Networks without connection limits, rates and a limit of registrations, as 192.0.2.0/24"),
    ] = ("127.0.0.0/8", "::1/128")
    resources_per_account: Annotated[int, about("Sessions of one account", "sessions", ge=1)] = 10
    roster_items: Annotated[int, about("Contacts of one account", "contacts", ge=1)] = 5000
    group_members: Annotated[int, about("Members of a shared group when somebody joins", "members", ge=2)] = (
        2000
    )
    uncommitted_stanzas: Annotated[
        int, about("Not yet accepted stanzas of one stream, before its socket is not read", "stanzas", ge=1)
    ] = 1024
    uncommitted_bytes: Annotated[int, about("The same, by their size", "bytes", ge=1)] = 1024 * 1024
    uncommitted_stanzas_per_edge: Annotated[
        int,
        about(
            "Not yet accepted stanzas of all streams of an edge; then each may have a few", "stanzas", ge=1
        ),
    ] = 32_768
    uncommitted_bytes_per_edge: Annotated[int, about("The same, by their size", "bytes", ge=1)] = (
        64 * 1024 * 1024
    )
    outbox_bytes: Annotated[
        int,
        about(
            "What a client's socket has not taken yet, before the stream is closed", "bytes", ge=1, live=True
        ),
    ] = 1024 * 1024
    outbox_seconds: Annotated[
        float,
        about("How long a client's socket may take nothing of what waits for it", "seconds", ge=0, live=True),
    ] = 60.0
    idle_seconds: Annotated[
        float, about("After so much silence the server asks whether the client is there", "seconds", ge=0)
    ] = 300.0
    idle_answer_seconds: Annotated[
        float, about("How long the client has to answer that", "seconds", ge=0)
    ] = 30.0
    iq_seconds: Annotated[
        float, about("A request without an answer gets remote-server-timeout after this", "seconds", ge=0)
    ] = 30.0


class Edge(Section, frozen=True):
    """Listeners of an edge."""

    host: Annotated[tuple[str, ...], about("IP addresses to listen on")] = (
        "0.0.0.0",  # noqa: S104  a server listens; limits stand at the door
        "::",
    )
    c2s_port: Annotated[int, about("Port for clients with STARTTLS; 0 picks a free one", ge=0, le=65535)] = (
        5222
    )
    c2s_tls_port: Annotated[
        int,
        about("Port for clients with TLS from the first byte (XEP-0368); 0 picks a free one", ge=0, le=65535),
    ] = 5223
    http_port: Annotated[
        int, about("Port for WebSocket, BOSH and host-meta; 0 picks a free one", ge=0, le=65535)
    ] = 5280
    allow_plaintext: Annotated[
        bool, about("Accept authentication and stanzas without TLS; on loopback addresses only")
    ] = False
    backlog: Annotated[int, about("Connections that may wait to be accepted", "connections", ge=1)] = 4096
    accepts_per_second: Annotated[
        int,
        about(
            "New connections that each port of an edge takes on average: what is more waits to be accepted; 0 for no limit",
            "connections",
            ge=0,
        ),
    ] = 500
    proxy_protocol_nets: Annotated[
        tuple[str, ...], about("Networks of load balancers that speak PROXY protocol v2 to the edge")
    ] = ()
    http_proxy_nets: Annotated[
        tuple[str, ...],
        about(
            "Networks of HTTP proxies that end TLS for WebSocket and BOSH; their X-Forwarded-For is believed"
        ),
    ] = ()
    websocket_origins: Annotated[
        tuple[str, ...], about('Origins of web pages that may open a WebSocket or use BOSH, "*" for any')
    ] = ()
    websocket_url: Annotated[
        str, about("Public URL of the WebSocket, for host-meta (XEP-0156); empty takes it from the request")
    ] = ""


class Router(Section, frozen=True):
    """Delivery rules that RFC 6121 leaves open."""

    resource_conflict: Annotated[
        Literal["replace", "generate", "refuse"],
        about("A client binds a resource that is bound (RFC 6120 section 7.7.2.2): what happens", live=True),
    ] = "replace"
    equal_priority: Annotated[
        Literal["all", "latest"],
        about(
            "Which of the resources with the highest priority get a chat message (RFC 6121 section 8.5.2.1.1)"
        ),
    ] = "all"
    durability: Annotated[
        Literal["durable", "relaxed"],
        about(
            "Messages are accepted after the commit, or on receipt, unless a domain says (`docs/durability.md`)"
        ),
    ] = "durable"
    commit_delay_ms: Annotated[
        float,
        about("How long a group commit may wait for more rows, while rows come often", "milliseconds", ge=0),
    ] = 16.0
    commit_rows: Annotated[int, about("Most rows of a group commit", "rows", ge=1)] = 512


class Account(Section, frozen=True):
    """Credentials."""

    mechanisms: Annotated[tuple[str, ...], about("SCRAM mechanisms that keys are kept for, best first")] = (
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
    )
    iterations: Annotated[
        int, about("PBKDF2 iterations of new passwords (RFC 7677)", "iterations", ge=4096)
    ] = 10_000


class Log(Section, frozen=True):
    """Structured logs."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        about("The least important lines that are written", live=True),
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "console"], about("`auto` is readable on a terminal and JSON elsewhere")
    ] = "auto"
    to: Annotated[
        str,
        about(
            "Where lines go: `stderr`, `syslog` (/dev/log), `journald`, or the path of a file, which is opened anew by a reload"
        ),
    ] = "stderr"
    modules: Annotated[
        tuple[str, ...],
        about("Levels of single parts, as `workers.s2s=debug`; a name counts for all below it", live=True),
    ] = ()
    client_lines_per_second: Annotated[
        int,
        about(
            "Lines about clients that a process writes of each event (docs/logs.md); what is more is counted; 0 for none",
            "lines",
            ge=0,
            le=100_000,
        ),
    ] = 100


class Core(Section, frozen=True):
    """The sections that are no extension's."""

    bus: Bus = field(default_factory=Bus)
    database: Database = field(default_factory=Database)
    cluster: Cluster = field(default_factory=Cluster)
    tls: Tls = field(default_factory=Tls)
    limits: Limits = field(default_factory=Limits)
    edge: Edge = field(default_factory=Edge)
    s2s: S2s = field(default_factory=S2s)
    component: Component = field(default_factory=Component)
    router: Router = field(default_factory=Router)
    account: Account = field(default_factory=Account)
    admin: Admin = field(default_factory=Admin)
    log: Log = field(default_factory=Log)

    def options(self, section: type[S], /) -> S:
        """What is set for an extension: `config.options(message_archive.Options)`. Raises LookupError for a class that is no section."""
        for name in self.__struct_fields__:
            found = getattr(self, name)
            if type(found) is section:
                return found
        raise LookupError(section)


def compose(sections: Mapping[str, type[Section]]) -> type[Core]:
    """The configuration with these sections beside those of the core. Raises ValueError for a name that has two meanings."""
    if taken := sections.keys() & set(Core.__struct_fields__):
        raise ValueError(f"{sorted(taken)} are sections of the core: name the extension's file otherwise")
    made = defstruct(
        "Config",
        [(name, section, field(default_factory=section)) for name, section in sorted(sections.items())],
        bases=(Core,),
        module=__name__,
        namespace={"__doc__": "The whole configuration."},
        frozen=True,
        forbid_unknown_fields=True,
    )
    return cast("type[Core]", made)


if TYPE_CHECKING:

    class Config(Core, frozen=True):
        """The whole configuration."""

else:
    Config = compose(registry.sections())

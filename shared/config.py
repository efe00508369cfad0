"""Settings: TOML file, then environment (`ROOKERY_EDGE__C2S_PORT=5222`), then the command line; checked by this schema.

The loader is `shared.settings`. Every field has a safe default; `rookery config show|check|schema` print and check them.
Sizes are bytes, times are seconds unless the name says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]


class Bus(Struct, forbid_unknown_fields=True, frozen=True):
    """NATS between the processes."""

    url: str = "nats://127.0.0.1:4222"
    #: Credentials file (nkey/JWT) or user and password; a secret may come from `ROOKERY_BUS__PASSWORD_FILE`.
    user: str = ""
    password: str = ""
    token: str = ""
    nkey_seed_file: str = ""
    ca_file: str = ""
    prefix: str = "rookery"
    #: Credit that a receiver gives each sender: items and bytes on the way.
    window_items: Positive = 4096
    window_bytes: Positive = 2 * 1024 * 1024


class Database(Struct, forbid_unknown_fields=True, frozen=True):
    """Postgres, the only durable truth."""

    url: str = "postgresql://rookery@127.0.0.1:5432/rookery"
    password: str = ""
    pool_max: Positive = 4
    #: 0 behind a transaction-mode pooler (prepared statements break there).
    statement_cache: Annotated[int, Meta(ge=0)] = 200
    statement_timeout: float = 5.0
    lock_timeout: float = 2.0


class Cluster(Struct, forbid_unknown_fields=True, frozen=True):
    """Membership and leases."""

    lease_ttl: float = 3.0
    heartbeat: float = 1.0
    #: Take over without a silent bus only after this long.
    silent_limit: float = 15.0
    drain_limit: float = 30.0
    #: Speak and understand at most this version of the bus; 0 for the newest. The previous one rehearses an upgrade: the process
    #: behaves as one that was not upgraded yet, and everybody writes what it reads for as long as it lives.
    speak_version: Annotated[int, Meta(ge=0)] = 0


class Tls(Struct, forbid_unknown_fields=True, frozen=True):
    """Certificates of the hosted domains: `<directory>/<domain>/fullchain.pem` and `privkey.pem`, read again on change."""

    directory: str = ""
    #: Served when the client names no domain (SNI) or one that has no certificate; "" for the first hosted domain.
    default_domain: str = ""
    reload_interval: float = 5.0
    handshake_threads: Positive = 2


class Limits(Struct, forbid_unknown_fields=True, frozen=True):
    """What a client may cost (`docs/limits.md` tells each with its source)."""

    stanza_bytes: Positive = 262_144
    stanza_elements: Positive = 4096
    stanza_depth: Positive = 64
    element_attributes: Positive = 256
    preauth_bytes: Annotated[int, Meta(ge=10_000)] = 10_000
    preauth_elements: Positive = 32
    preauth_depth: Positive = 8
    preauth_seconds: float = 30.0
    tls_seconds: float = 10.0
    auth_failures: Positive = 5
    auth_failures_per_ip: Positive = 20
    auth_failures_window: float = 600.0
    bytes_per_second: Positive = 65_536
    bytes_burst: Positive = 262_144
    stanzas_per_second: Positive = 50
    stanzas_burst: Positive = 200
    connections_per_ip: Positive = 100
    connections_per_ip_per_second: Positive = 10
    #: Networks without connection limits, shapers and a limit of registrations.
    exempt_nets: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    resources_per_account: Positive = 10
    roster_items: Positive = 5000
    offline_messages: Positive = 1000
    offline_bytes: Positive = 10 * 1024 * 1024
    #: Messages that nobody fetched for this long are given up.
    offline_days: Positive = 90
    #: How long archives keep messages, and how many of each account (the oldest go first).
    archive_days: Positive = 30
    archive_messages: Positive = 100_000
    #: What one stream may have unaccepted before its socket is not read.
    uncommitted_stanzas: Positive = 1024
    uncommitted_bytes: Positive = 1024 * 1024
    #: What all streams of an edge may have unaccepted together; beyond it each may have a few only.
    uncommitted_stanzas_per_edge: Positive = 32_768
    uncommitted_bytes_per_edge: Positive = 64 * 1024 * 1024
    #: What one stream may have unwritten, and for how long, before it is closed.
    outbox_bytes: Positive = 1024 * 1024
    outbox_seconds: float = 60.0
    idle_seconds: float = 300.0
    idle_answer_seconds: float = 30.0
    iq_seconds: float = 30.0
    #: How long a session lives without a socket, for its client to resume it (XEP-0198).
    resume_seconds: Positive = 600
    vcard_bytes: Positive = 65_536
    private_bytes: Positive = 262_144
    blocklist_items: Positive = 1000
    registrations_per_hour: Positive = 3


class Edge(Struct, forbid_unknown_fields=True, frozen=True):
    """Listeners of an edge. Port 0 picks a free one; -1 would be no port, which `enabled` flags say instead."""

    host: tuple[str, ...] = ("0.0.0.0", "::")  # noqa: S104  a server listens; limits stand at the door
    c2s_port: Port = 5222
    c2s_tls_port: Port = 5223
    http_port: Port = 5280
    #: Accept authentication and stanzas without TLS. Only works on loopback addresses.
    allow_plaintext: bool = False
    backlog: Positive = 4096
    #: Networks of load balancers that speak PROXY protocol v2 to us.
    proxy_protocol_nets: tuple[str, ...] = ()
    #: Networks of HTTP proxies that terminate TLS for WebSocket and whose X-Forwarded-For is believed.
    http_proxy_nets: tuple[str, ...] = ()
    #: Origins of web pages that may open a WebSocket; "*" for any. A request without Origin is no web page.
    websocket_origins: tuple[str, ...] = ()
    #: Public URL of the WebSocket endpoint for host-meta (XEP-0156); "" derives it from the request.
    websocket_url: str = ""


class Router(Struct, forbid_unknown_fields=True, frozen=True):
    """Delivery rules that RFC 6121 leaves open."""

    #: What happens when a resource is already bound (RFC 6120 section 7.7.2.2).
    resource_conflict: Literal["replace", "generate", "refuse"] = "replace"
    #: Equal highest priorities get a chat message all, or the most recently available one (RFC 6121 section 8.5.2.1.1).
    equal_priority: Literal["all", "latest"] = "all"
    #: When messages are accepted, where a domain's policy does not say: after the commit, or on receipt (`docs/durability.md`).
    durability: Literal["durable", "relaxed"] = "durable"
    #: How long a group commit may wait for more rows while rows come often: acceptance waits, delivery does not.
    commit_delay_ms: float = 16.0
    commit_rows: Positive = 512


class Account(Struct, forbid_unknown_fields=True, frozen=True):
    """Credentials and registration."""

    mechanisms: tuple[str, ...] = ("SCRAM-SHA-256", "SCRAM-SHA-1")
    iterations: Annotated[int, Meta(ge=4096)] = 10_000


class Admin(Struct, forbid_unknown_fields=True, frozen=True):
    """/livez, /readyz and /metrics of each process."""

    host: str = "127.0.0.1"
    port: Port = 0


class Log(Struct, forbid_unknown_fields=True, frozen=True):
    """Structured logs; `auto` is readable on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Config(Struct, forbid_unknown_fields=True, frozen=True):
    """The whole configuration."""

    bus: Bus = field(default_factory=Bus)
    database: Database = field(default_factory=Database)
    cluster: Cluster = field(default_factory=Cluster)
    tls: Tls = field(default_factory=Tls)
    limits: Limits = field(default_factory=Limits)
    edge: Edge = field(default_factory=Edge)
    router: Router = field(default_factory=Router)
    account: Account = field(default_factory=Account)
    admin: Admin = field(default_factory=Admin)
    log: Log = field(default_factory=Log)

"""Every metric of Rookery in one table; `docs/metrics.md` is generated from it.

On hot paths bind a child once (`SENT = STANZAS.labels("out", "message", "c2s")`) and call `inc` once a batch. What a module
counts in plain integers anyway is exported with `sample`, which costs nothing until somebody reads /metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

C = TypeVar("C", bound=Collector)
PREFIX: Final = "rookery_"
_FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES: Final = (100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 262_144)
_COUNTS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Metric(NamedTuple):
    """One row of the table, as the documentation shows it."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


# When a series was made says nothing that its first value does not.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY: Final = CollectorRegistry()
TABLE: Final[list[Metric]] = []
#: Each metric of one section of the table: its collector, and the kinds of process that have something to say with it.
_OWNERS: Final[list[tuple[Collector, tuple[str, ...]]]] = []
_section: tuple[str, ...] = ()


def _begin(*kinds: str) -> None:
    """What comes next in the table is of these kinds of process; of all when none is named."""
    global _section
    _section = kinds


def only(*kinds: str) -> None:
    """Expose from now on what these kinds of process count, and nothing that is always zero here."""
    for collector, owners in _OWNERS[:]:
        if owners and not set(owners) & set(kinds):
            REGISTRY.unregister(collector)
            _OWNERS.remove((collector, owners))


class Sampled(Collector):
    """A counter or gauge whose values are asked for when somebody reads them."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._sources: dict[tuple[str, ...], Callable[[], float]] = {}
        REGISTRY.register(self)
        _OWNERS.append((self, _section))

    def sample(self, source: Callable[[], float], *labels: str) -> None:
        """Read `source` for these label values; a later source for the same ones takes its place."""
        assert len(labels) == len(self._metric.labels)
        self._sources[labels] = source

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Called by the registry."""
        family = CounterMetricFamily if self._metric.type == "counter" else GaugeMetricFamily
        name = PREFIX + self._metric.name.removesuffix("_total")
        result = family(name, self._metric.help, labels=self._metric.labels)
        for labels, source in list(self._sources.items()):
            result.add_metric(labels, source())
        yield result

    def describe(self) -> Iterable[Any]:
        """Nothing is asked for at registration."""
        return ()


def _row(name: str, type_: str, labels: Sequence[str], text: str) -> Metric:
    metric = Metric(name, type_, tuple(labels), text)
    TABLE.append(metric)
    return metric


def _owned(collector: C) -> C:
    _OWNERS.append((collector, _section))
    return collector


def _counter(name: str, text: str, *labels: str) -> Counter:
    _row(name, "counter", labels, text)
    return _owned(Counter(PREFIX + name.removesuffix("_total"), text, labels, registry=REGISTRY))


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    _row(name, "gauge", labels, text)
    return _owned(Gauge(PREFIX + name, text, labels, registry=REGISTRY))


def _histogram(name: str, text: str, *labels: str, buckets: Sequence[float] = _FAST) -> Histogram:
    _row(name, "histogram", labels, text)
    return _owned(Histogram(PREFIX + name, text, labels, registry=REGISTRY, buckets=buckets))


def _sampled(name: str, type_: str, text: str, *labels: str) -> Sampled:
    return Sampled(_row(name, type_, labels, text))


# --- every process ----------------------------------------------------------------------------------------------------

BUILD_INFO: Final = _gauge("build_info", "Always 1; the labels say what runs.", "version", "kinds")
LOOP_LAG: Final = _gauge("loop_lag_seconds", "How late the event loop last woke up, once a second.")
LOOP_LAG_MAX: Final = _gauge("loop_lag_max_seconds", "The latest wake-up of the last minute.")
READY: Final = _gauge("ready", "1 when /readyz answers 200.")
COMPILED: Final = _gauge("compiled", "1 when the message path runs as machine code, 0 when from its sources.")

# --- edge -------------------------------------------------------------------------------------------------------------

_begin("edge")
C2S_CONNECTIONS: Final = _gauge(
    "c2s_connections", "Open client connections; transport is tcp, tls or ws.", "transport", "ip_family"
)
C2S_SESSIONS: Final = _gauge("c2s_sessions", "Client streams with a bound resource.")
SESSIONS_OPENED: Final = _counter("sessions_opened_total", "Resources bound.")
SESSIONS_CLOSED: Final = _counter("sessions_closed_total", "Bound streams that ended.", "reason")
LOGINS_WAITING: Final = _sampled(
    "logins_waiting",
    "gauge",
    "Logins that wait for their turn; rank is resume, fast, scram or register.",
    "rank",
)
LOGINS_REFUSED: Final = _counter(
    "logins_refused_total", "Logins that were told to come back later, since too many came at once.", "rank"
)
AUTH: Final = _counter("auth_total", "SASL exchanges that ended.", "mechanism", "result")
STANZAS: Final = _counter(
    "stanzas_total",
    "Stanzas; direction is in or out, kind message, presence or iq.",
    "direction",
    "kind",
    "conn",
)
C2S_BYTES: Final = _counter(
    "c2s_bytes_total", "Bytes read from and written to clients, before TLS.", "direction"
)
STANZA_BYTES: Final = _histogram("stanza_bytes", "Size of stanzas from clients.", buckets=_SIZES)
STREAM_ERRORS: Final = _counter("stream_errors_total", "Streams closed with an error.", "condition")
TLS_HANDSHAKES: Final = _counter(
    "tls_handshakes_total", "TLS handshakes that succeeded.", "protocol", "cipher"
)
TLS_RESUMPTIONS: Final = _counter("tls_resumptions_total", "TLS handshakes that a session ticket made short.")
TLS_FAILURES: Final = _counter("tls_handshake_failures_total", "TLS handshakes that failed.", "reason")
TLS_CERT_EXPIRY: Final = _gauge("tls_cert_expiry_timestamp_seconds", "When the certificate ends.", "name")
RATELIMIT: Final = _counter("ratelimit_total", "Times a limit held somebody back.", "scope")
UNACCEPTED: Final = _gauge(
    "unaccepted_stanzas", "Stanzas that this edge keeps until the cluster accepts them."
)

# --- router -----------------------------------------------------------------------------------------------------------

_begin("router")
ROUTE: Final = _counter("route_total", "What became of routed stanzas (RFC 6121 section 8).", "result")
ROUTER_SESSIONS: Final = _gauge("sm_sessions", "Sessions that this router holds.", "state")
DOMAIN_MESSAGES: Final = _sampled(
    "domain_messages_total",
    "counter",
    "Messages to accounts of a hosted domain; domains beyond the first 100 are told together as other.",
    "domain",
)
DOMAIN_SESSIONS: Final = _gauge(
    "domain_sessions",
    "Sessions of a hosted domain, counted anew every 16 s; domains as in domain_messages_total.",
    "domain",
)
COMMIT_ROWS: Final = _histogram(
    "commit_rows", "Rows of one group commit of the message store.", buckets=_COUNTS
)
COMMIT_SECONDS: Final = _histogram("commit_seconds", "Duration of one group commit of the message store.")
STORE_REFUSED: Final = _counter(
    "store_refused_total",
    "Messages that cannot be stored (reason is data or collision); their senders got an error.",
    "reason",
)

# --- workers ----------------------------------------------------------------------------------------------------------

_begin("roster")
ROSTER_OPS: Final = _counter("roster_ops_total", "Roster work done.", "op")
_begin("presence")
PRESENCE_FANOUT: Final = _counter("presence_fanout_total", "Recipients of presence broadcasts.")
_begin("router", "offline")
OFFLINE: Final = _counter(
    "offline_messages_total", "Offline messages; op is stored, delivered, expired or refused.", "op"
)
_begin("account")
REGISTRATIONS: Final = _counter(
    "registrations_total",
    "In-band registrations (XEP-0077); domains as in domain_messages_total.",
    "result",
    "domain",
)
_begin("upload")
UPLOADS: Final = _counter(
    "uploads_total",
    "Files over HTTP (XEP-0363); result is slot, stored, fetched, expired or refused.",
    "result",
)
UPLOAD_BYTES: Final = _counter("upload_bytes_total", "Bytes of files, in or out.", "direction")
_begin("proxy")
PROXY_STREAMS: Final = _counter(
    "proxy_streams_total", "Streams between two clients that were activated (XEP-0065)."
)
PROXY_BYTES: Final = _counter("proxy_bytes_total", "Bytes that were relayed.")

# --- bus, database, cluster -------------------------------------------------------------------------------------------

_begin()
BUS_ITEMS: Final = _sampled(
    "bus_items_total", "counter", "Items sent to and received from other processes.", "direction"
)
BUS_BATCHES: Final = _sampled("bus_batches_total", "counter", "NATS messages that carried them.", "direction")
BUS_DROPPED: Final = _sampled(
    "bus_dropped_total", "counter", "Items that no holder took in time, or that cannot be sent.", "reason"
)
NATS_RECONNECTS: Final = _sampled(
    "nats_reconnects_total", "counter", "Times the connection to NATS was made again."
)
NATS_PENDING: Final = _sampled("nats_pending_bytes", "gauge", "Bytes that wait for the connection to NATS.")
REQUEST_SECONDS: Final = _histogram(
    "nats_request_seconds", "Calls over the bus, until their answer or time limit.", "kind"
)
_begin("router", "roster", "presence", "offline", "account")
DB_SECONDS: Final = _histogram("db_seconds", "Units of work, with their wait for a connection.", "op")
DB_HEALTHY: Final = _sampled("db_healthy", "gauge", "1 when the last unit of work reached Postgres.")
LEASE_HELD: Final = _sampled("lease_held", "gauge", "Partitions that this process holds.", "kind")

# --- other servers ----------------------------------------------------------------------------------------------------

_begin("s2s")
S2S_DOMAINS: Final = _sampled(
    "s2s_domains",
    "gauge",
    "Remote domains known to their holder; state is idle, waiting, opening, open or paused.",
    "state",
)
S2S_WAITING: Final = _sampled(
    "s2s_waiting_stanzas", "gauge", "Stanzas that wait for other servers, or for their acknowledgement."
)
S2S_STREAMS: Final = _sampled("s2s_streams", "gauge", "Streams with other servers.", "direction")
S2S_STANZAS: Final = _sampled(
    "s2s_stanzas_total", "counter", "Stanzas from other servers, and for them.", "direction"
)
S2S_RETURNED: Final = _sampled(
    "s2s_returned_total", "counter", "Stanzas that went back to their senders as errors."
)

S2S_SLOWED: Final = _sampled(
    "s2s_slowed_accounts",
    "gauge",
    "Accounts here whose stanzas for other servers wait, since they send too many.",
)
S2S_SUBSCRIPTIONS_REFUSED: Final = _sampled(
    "s2s_subscriptions_refused_total",
    "counter",
    "Requests for subscriptions from other servers beyond their limit.",
)
S2S_LISTED: Final = _counter(
    "s2s_listed_total", "Messages and requests for subscriptions of listed senders that were refused."
)
S2S_STRANGERS: Final = _sampled(
    "s2s_strangers", "gauge", "Remote domains that nobody here has written to, and that were heard of lately."
)

# --- components -------------------------------------------------------------------------------------------------------

_begin("component")
COMPONENTS: Final = _sampled(
    "component_connections", "gauge", "Connections of components that have proved themselves."
)
COMPONENT_WAITING: Final = _sampled(
    "component_waiting_stanzas", "gauge", "Stanzas that wait for components, or for their acknowledgement."
)
COMPONENT_STANZAS: Final = _sampled(
    "component_stanzas_total", "counter", "Stanzas from components, and for them.", "direction"
)
COMPONENT_RETURNED: Final = _sampled(
    "component_returned_total", "counter", "Stanzas for components that went back to their senders as errors."
)

# --- the parent of an embedded cluster --------------------------------------------------------------------------------

_begin("up")
CHILDREN: Final = _gauge("processes", "Running children of `rookery up`.", "kind")
RESTARTS: Final = _counter(
    "process_restarts_total", "Children of `rookery up` that died and were started again.", "kind"
)

ProcessCollector(registry=REGISTRY)


def exposition(accept: str = "") -> tuple[bytes, str]:
    """All metrics of this process and their content type: OpenMetrics when `accept` asks for it, else the text format."""
    if "application/openmetrics-text" in accept:
        body: bytes = openmetrics.generate_latest(REGISTRY)  # type: ignore[no-untyped-call]
        return body, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(REGISTRY), "text/plain; version=0.0.4; charset=utf-8"


def document() -> str:
    """The text of docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "Generated by `make docs` from `shared/observe/metrics.py`; do not edit.",
        "Each process serves its own at `/metrics` of its admin port; the parent of `rookery up` serves all of them, told apart",
        "by the label `process`. The usual `process_*` metrics are there as well.",
        "",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    for name, type_, labels, text in sorted(TABLE):
        lines.append(
            f"| `{PREFIX}{name}` | {type_} | {', '.join(f'`{label}`' for label in labels)} | {text} |"
        )
    return "\n".join(lines) + "\n"

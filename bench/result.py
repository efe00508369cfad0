"""The result of a run as typed values and as JSON (schema 1), and how results of several driver processes become one.

Units are in the names; times without one are seconds. A result file holds one `Result` or a `Runs` of several.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from rookery.bench.histogram import Histogram

SCHEMA: Final = 1


class ResultError(Exception):
    """A result file cannot be read: the text says which and why."""


class Latency(Struct, frozen=True):
    """Percentiles in milliseconds; open-loop operations count from the intended time, closed-loop ones from the real one."""

    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    p99_9: float = 0.0
    max: float = 0.0
    mean: float = 0.0

    @classmethod
    def of(cls, histogram: Histogram) -> Latency:
        """The percentiles of a histogram."""
        p50, p90, p99, p99_9 = (round(histogram.percentile_ms(p), 3) for p in (50, 90, 99, 99.9))
        return cls(p50, p90, p99, p99_9, round(histogram.max_ms, 3), round(histogram.mean_ms, 3))


class Operation(Struct, frozen=True):
    """One kind of operation (chat, ping, connect, tls, auth, bind, login...) over the measured window."""

    #: How many succeeded.
    count: int
    #: Per second of the window.
    rate: float
    #: How many failed, by condition: a stanza or stream error's name, `timeout`, `closed`.
    errors: dict[str, int] = field(default_factory=dict)
    latency_ms: Latency = Latency()
    #: HDR V2, base64, microseconds; "" when nothing was counted.
    histogram: str = ""

    @classmethod
    def of(cls, histogram: Histogram, seconds: float, errors: Mapping[str, int] | None = None) -> Operation:
        """What a histogram and the error counts say about a window of `seconds`."""
        count = histogram.count
        rate = round(count / seconds, 3) if seconds > 0 else 0.0
        return cls(count, rate, dict(errors or {}), Latency.of(histogram), histogram.encode())

    @property
    def failed(self) -> int:
        """The errors of all conditions."""
        return sum(self.errors.values())


class Messages(Struct, frozen=True):
    """What became of the numbered messages; exact per (sender, receiver). `lost`: neither delivered nor refused."""

    sent: int = 0
    delivered: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    #: Came back to their sender as errors.
    refused: int = 0

    def __add__(self, other: Messages) -> Messages:
        """The sums."""
        return Messages(
            self.sent + other.sent,
            self.delivered + other.delivered,
            self.lost + other.lost,
            self.duplicated + other.duplicated,
            self.reordered + other.reordered,
            self.refused + other.refused,
        )


class Point(Struct, frozen=True):
    """One second of the window."""

    #: Seconds since the window began; warm-up is negative.
    t: float
    #: In this second; for scenarios without messages: operations begun and done.
    sent: int = 0
    delivered: int = 0
    p50: float = 0.0
    p99: float = 0.0
    #: Cores in use: CPU seconds of all server processes in this second; None when they are not known.
    server_cpu: float | None = None
    #: The same of the driver processes.
    driver_cpu: float = 0.0
    errors: int = 0
    connected: int = 0


class ServerProcess(Struct, frozen=True):
    """One process of the server and what it used in the window; its short-lived children are counted with it."""

    pid: int
    name: str
    kinds: tuple[str, ...] = ()
    cpu_s: float = 0.0
    pss_kib: int = 0


class Server(Struct, frozen=True):
    """What all processes of the server used in the window."""

    processes: tuple[ServerProcess, ...] = ()
    cpu_s: float = 0.0
    pss_kib: int = 0
    #: PSS before the connections whose cost is told: before the first one, or (idle) with a fifth of them.
    pss_kib_before: int = 0
    #: CPU microseconds per delivered stanza (per operation done where nothing is delivered); None when nothing was.
    cpu_us_per_stanza: float | None = None
    #: PSS gained per connection since then; None without connections.
    pss_kib_per_connection: float | None = None


class Driver(Struct, frozen=True):
    """What the load generator itself used, and whether it was the limit."""

    processes: int = 0
    cpu_us_per_stanza: float | None = None
    cpu_s: float = 0.0
    #: Share of one core that the busiest driver process used, 0 to 1.
    busiest: float = 0.0
    #: How late the driver itself began operations, 99th percentile.
    late_p99_ms: float = 0.0
    saturated: bool = False
    #: Why the figures are the driver's and not the server's; "" when they are the server's.
    why: str = ""


class Verdict(Struct, frozen=True):
    """One SLO rule: the measured value (None when the run has no such figure) and whether it was kept."""

    rule: str
    value: float | None
    kept: bool


class Step(Struct, frozen=True):
    """One rate that a search tried, and what became of it."""

    #: Operations per second.
    rate: float
    kept: bool
    #: Endings per second of the window, whenever the operations were meant to begin.
    passed: float
    verdicts: tuple[Verdict, ...] = ()
    #: What broke; "" when it was kept.
    why: str = ""
    server_cpu_us: float | None = None
    #: As in `Driver`.
    driver_busiest: float = 0.0
    driver_limit: str = ""


class Found(Struct, frozen=True):
    """What a search for the highest rate found; the result that it is a part of is the run at that rate."""

    rules: tuple[str, ...]
    #: The highest rate that kept all rules; 0 when none did.
    rate: float
    #: In the order in which they were tried.
    steps: tuple[Step, ...] = ()
    #: What broke the next higher rate.
    limit: str = ""


class Environment(Struct, frozen=True):
    """Where the figures come from."""

    python: str = ""
    kernel: str = ""
    cpu: str = ""
    cores: int = 0
    #: Open files per process.
    ulimit: int = 0
    #: Packages of the tool by name.
    versions: dict[str, str] = field(default_factory=dict)
    #: What the target answers to XEP-0092; "" when it does not.
    target: str = ""


class Dead(Struct, frozen=True):
    """How often the server tried to reach remote domains that are dead of the same cause (s2s)."""

    #: What they are dead of.
    manner: str
    domains: int
    #: Connections to them, and questions for their service records, of all together and of the one with the most.
    connections: int = 0
    questions: int = 0
    most_connections: int = 0
    most_questions: int = 0

    def __add__(self, other: Dead) -> Dead:
        """Two sets of domains as one."""
        return Dead(
            self.manner,
            self.domains + other.domains,
            self.connections + other.connections,
            self.questions + other.questions,
            max(self.most_connections, other.most_connections),
            max(self.most_questions, other.most_questions),
        )


class Result(Struct, frozen=True):
    """One run of one scenario."""

    scenario: str
    #: ISO 8601, UTC.
    started: str
    #: Length of the measured window.
    seconds: float
    schema: int = SCHEMA
    #: Who was measured when runs of several servers stand in one file: `ejabberd`, `rookery`...
    label: str = ""
    #: The plan as it was run; without passwords.
    plan: dict[str, Any] = field(default_factory=dict)
    environment: Environment = Environment()
    operations: dict[str, Operation] = field(default_factory=dict)
    messages: Messages = Messages()
    connections: int = 0
    series: tuple[Point, ...] = ()
    server: Server | None = None
    driver: Driver = Driver()
    #: Operations (of messages: deliveries) that ended well within the window, whenever they were meant to begin.
    ended: int = 0
    slo: tuple[Verdict, ...] = ()
    #: Set when the run is the answer of a search.
    search: Found | None = None
    #: Remote domains that were dead, by cause.
    dead: tuple[Dead, ...] = ()
    #: What a reader must know: a server that stopped, users that could not log in.
    notes: tuple[str, ...] = ()

    @property
    def deserted(self) -> bool:
        """Whether every connection ended by the server's will."""
        ended = self.operations.get("connection")
        return ended is not None and 0 < self.connections <= ended.failed

    @property
    def succeeded(self) -> bool:
        """Whether anything did: an operation, or where there is none, a connection."""
        if self.operations:
            return any(operation.count for operation in self.operations.values())
        return bool(self.connections)

    @property
    def broken(self) -> bool:
        """Whether a rule of the SLO was not kept, or no rate kept those of the search."""
        if self.search is not None and not self.search.rate:
            return True
        return not all(verdict.kept for verdict in self.slo)


class Runs(Struct, frozen=True):
    """Several runs in one file: repeated, or of several servers (then each has its label)."""

    runs: tuple[Result, ...]
    schema: int = SCHEMA


def merge_operations(parts: Iterable[Mapping[str, Operation]], seconds: float) -> dict[str, Operation]:
    """Operations of several driver processes over the same window of `seconds` as one: histograms added, errors summed."""
    histograms: dict[str, Histogram] = {}
    errors: dict[str, dict[str, int]] = {}
    for part in parts:
        for name, operation in part.items():
            histograms.setdefault(name, Histogram()).merge(operation.histogram)
            sums = errors.setdefault(name, {})
            for condition, count in operation.errors.items():
                sums[condition] = sums.get(condition, 0) + count
    return {name: Operation.of(histogram, seconds, errors[name]) for name, histogram in histograms.items()}


def merge_messages(parts: Iterable[Messages]) -> Messages:
    """Sums over the driver processes."""
    return sum(parts, Messages())


def merge_dead(parts: Iterable[tuple[Dead, ...]]) -> tuple[Dead, ...]:
    """Those of all driver processes, by cause."""
    found: dict[str, Dead] = {}
    for part in parts:
        for dead in part:
            known = found.get(dead.manner)
            found[dead.manner] = dead if known is None else known + dead
    return tuple(found.values())


def encode(result: Result | Runs) -> bytes:
    """JSON, indented: people read it too."""
    return msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n"


def decode(data: bytes) -> Runs:
    """The runs of a file; one `Result` is a `Runs` of one. Raises ResultError."""
    try:
        document = msgspec.json.decode(data)
    except msgspec.MsgspecError as error:
        raise ResultError(f"not a result file: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ResultError(
            f"not a result file of schema {SCHEMA}: write it again with this version of the tool"
        )
    try:
        if "runs" in document:
            return msgspec.convert(document, Runs)
        return Runs((msgspec.convert(document, Result),))
    except msgspec.ValidationError as error:
        raise ResultError(f"not a result file: {error}") from error


def read(path: Path) -> Runs:
    """The runs of the file `path`. Raises ResultError, also when there is no such file."""
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror}") from error
    except ResultError as error:
        raise ResultError(f"{path}: {error}") from error


def write(path: Path, result: Result | Runs) -> None:
    """Write the file `path`; its folder must exist."""
    path.write_bytes(encode(result))

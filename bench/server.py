"""What the server's processes use: CPU by their kernel clocks, memory by PSS; children that come and go are counted too.

Linux only. CPU of a process is its CPU clock (nanoseconds, threads that ended included), plus what its ended and awaited
children used (`cutime`, hundredths of a second), plus the living children, which belong to the nearest process named.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from rookery.bench.result import Server, ServerProcess

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
#: Fields of /proc/PID/stat behind the name (proc(5) counts from 1, the name is 2).
_PPID, _UTIME, _STIME, _CUTIME, _CSTIME = 1, 11, 12, 13, 14
#: The tree of children is read anew this often: reading it costs as much as a hundred clocks.
_TREE_SECONDS: Final = 2.0
#: Cores that others may use meanwhile before the figures are in doubt.
_FOREIGN_CORES: Final = 0.1


class ServerError(Exception):
    """The processes of the server cannot be measured: the text says why."""


class Root(NamedTuple):
    """A process of the server as it was named to us."""

    pid: int
    name: str = ""
    kinds: tuple[str, ...] = ()


class _Stat(NamedTuple):
    name: str
    #: A letter of proc(5); Z and X for those that ended and were not awaited by their parent.
    state: str
    ppid: int
    own_s: float
    children_s: float


class _ReadyProcess(msgspec.Struct):
    pid: int
    kinds: tuple[str, ...] = ()
    name: str = ""


class _Ready(msgspec.Struct):
    processes: tuple[_ReadyProcess, ...]


def read_ready_file(path: Path) -> tuple[Root, ...]:
    """The processes that a ready file names (`rookery up --ready-file`). Raises ServerError."""
    try:
        ready = msgspec.json.decode(path.read_bytes(), type=_Ready)
    except OSError as error:
        raise ServerError(f"cannot read the ready file {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ServerError(f"{path} is no ready file: {error}") from error
    return tuple(
        Root(found.pid, found.name or "+".join(found.kinds), found.kinds) for found in ready.processes
    )


def parse_stat(text: str) -> _Stat:
    """The fields of /proc/PID/stat that count here; the name may have spaces and parentheses. Raises ValueError."""
    opening, closing = text.index("("), text.rindex(")")
    fields = text[closing + 2 :].split()
    return _Stat(
        text[opening + 1 : closing],
        fields[0],
        int(fields[_PPID]),
        (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS,
        (int(fields[_CUTIME]) + int(fields[_CSTIME])) / _TICKS,
    )


def parse_busy(text: str) -> float:
    """CPU seconds of the whole machine in /proc/stat: all but idle and waiting; guests are in `user`. Raises ValueError."""
    name, *fields = text.partition("\n")[0].split()
    if name != "cpu":
        raise ValueError("no line cpu")
    user, nice, system, _idle, _waiting, *others = (int(field) for field in fields[:8])
    return (user + nice + system + sum(others)) / _TICKS


def owners(roots: Iterable[int], parents: dict[int, int]) -> dict[int, int]:
    """Which root each process belongs to: itself, or its nearest ancestor that is one; others are left out."""
    owned = {root: root for root in roots}
    for pid in parents:
        path = []
        while pid not in owned and pid in parents and pid not in path:
            path.append(pid)
            pid = parents[pid]
        if pid in owned:
            owned.update(dict.fromkeys(path, owned[pid]))
    return owned


class Probe:
    """Reads the clocks and the memory of some processes and of their children.

    It also knows whether others used the machine between two readings of `processes`: this process and its children, the
    load generator, are not others.
    """

    def __init__(self, roots: Sequence[Root]) -> None:
        """Raises ServerError when there is none, or one of them does not run or may not be read."""
        if not roots:
            raise ServerError(
                "no process of the server was named: --server-pids PID,... or --ready-file FILE"
            )
        self._roots = tuple({root.pid: root for root in roots}.values())
        #: What a process that is gone had used; its parent's `cutime` has it too when the parent is ours.
        self._last: dict[int, float] = {}
        self._owned: dict[int, int] = {}
        self._tree_at = -_TREE_SECONDS
        self._names: dict[int, str] = {}
        self._notes: set[str] = set()
        self._own = os.getpid()
        #: At the last reading: time, CPU seconds of the machine, CPU seconds of the server and of ourselves.
        self._reading: tuple[float, float, float] | None = None
        self._foreign = 0.0
        for root in self._roots:
            stat = _stat(root.pid)
            if stat is None:
                raise ServerError(f"the server's process {root.pid} does not run")
            self._names[root.pid] = root.name or stat.name

    @property
    def notes(self) -> list[str]:
        """What a reader of the figures must know."""
        notes = sorted(self._notes)
        if self._foreign > _FOREIGN_CORES:
            notes.append(
                f"other processes of this machine used {self._foreign:.1f} cores meanwhile: the figures are worse than they "
                "would be without them"
            )
        return notes

    def cpu_s(self) -> float:
        """CPU seconds of all processes since they began."""
        return sum(seconds for pid, seconds in self._cpu().items() if pid != self._own)

    def processes(self) -> tuple[ServerProcess, ...]:
        """Each named process with its children: CPU since it began, PSS now (RSS where PSS may not be read)."""
        self._tree_at = -_TREE_SECONDS
        cpu = self._cpu()
        self._look_around(sum(cpu.values()))
        pss = dict.fromkeys(cpu, 0)
        for pid, root in self._owned.items():
            if root != self._own:
                pss[root] += self._memory_kib(pid)
        return tuple(
            ServerProcess(root.pid, self._names[root.pid], root.kinds, cpu[root.pid], pss[root.pid])
            for root in self._roots
        )

    def _cpu(self) -> dict[int, float]:
        now = time.monotonic()
        if now - self._tree_at >= _TREE_SECONDS:
            self._tree_at = now
            parents = {pid: stat.ppid for pid in _pids() if (stat := _stat(pid)) is not None}
            self._owned = owners((self._own, *(root.pid for root in self._roots)), parents)
        used = {self._own: 0.0} | {root.pid: 0.0 for root in self._roots}
        for pid, root in self._owned.items():
            seconds = _process_cpu(pid)
            if seconds is not None:
                self._last[pid] = seconds
            if pid == root and _ended(pid):
                self._notes.add(f"the server's process {pid} ({self._names[pid]}) ended")
                seconds = self._last.get(pid, 0.0)
            used[root] += seconds or 0.0
        return used

    def _look_around(self, known_s: float) -> None:
        try:
            now = time.monotonic(), parse_busy((_PROC / "stat").read_text()), known_s
        except (OSError, ValueError):
            return
        if self._reading is not None and now[0] - self._reading[0] > 0.5:
            seconds, busy, known = (new - old for new, old in zip(now, self._reading, strict=True))
            self._foreign = (busy - known) / seconds
        self._reading = now

    def _memory_kib(self, pid: int) -> int:
        try:
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1])
        except PermissionError:
            self._notes.add(
                "memory is RSS, which counts shared pages again and again: PSS may not be read by this user"
            )
            try:
                pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
            except OSError:
                return 0
            return pages * os.sysconf("SC_PAGE_SIZE") // 1024
        except OSError:
            pass  # it ended, or it is a zombie
        return 0


def window(
    before: Sequence[ServerProcess],
    after: Sequence[ServerProcess],
    *,
    stanzas: int,
    connections: int = 0,
    idle: Sequence[ServerProcess] = (),
) -> Server:
    """What was used between two readings of a probe.

    `stanzas` were delivered meanwhile (or operations done); `idle` is the reading before `connections` came, without which
    memory per connection is not known.
    """
    began = {process.pid: process.cpu_s for process in before}
    processes = tuple(
        msgspec.structs.replace(
            process, cpu_s=round(max(process.cpu_s - began.get(process.pid, 0.0), 0.0), 6)
        )
        for process in after
    )
    cpu = sum(process.cpu_s for process in processes)
    pss = sum(process.pss_kib for process in processes)
    pss_before = sum(process.pss_kib for process in idle)
    return Server(
        processes=processes,
        cpu_s=round(cpu, 6),
        pss_kib=pss,
        pss_kib_before=pss_before,
        cpu_us_per_stanza=round(cpu * 1e6 / stanzas, 3) if stanzas else None,
        pss_kib_per_connection=round((pss - pss_before) / connections, 2) if connections and idle else None,
    )


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(_PROC) if name.isdigit()]


def _stat(pid: int) -> _Stat | None:
    try:
        return parse_stat((_PROC / str(pid) / "stat").read_text())
    except OSError:
        return None


def _ended(pid: int) -> bool:
    stat = _stat(pid)
    return stat is None or stat.state in "ZX"


def _process_cpu(pid: int) -> float | None:
    stat = _stat(pid)
    if stat is None:
        return None
    try:
        # The clock of another process, as clock_getcpuclockid(3) makes it; `stat` rounds to hundredths of a second.
        return time.clock_gettime((~pid << 3) | 2) + stat.children_s
    except OSError:
        return stat.own_s + stat.children_s

"""The fault table: each row in a run of its own, on a cluster of its own, so that its figures are its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.cluster.chaos.table import ALL

#: The rows that there are faults for.
ROWS: Final = tuple(sorted({fault.id for fault in ALL if fault.id.startswith("F")}))
_COMMON: Final = ("--pairs", "8", "--rate", "40", "--gap", "0.5", "1.5", "--minutes", "30")
#: What some rows need more, or less, of.
_SPECIAL: Final = {
    "F18": ("--pairs", "40"),
    "F19": ("--edges", "2", "--workers", "1"),
    "F21": ("--rate", "20"),
}
_COLUMNS: Final = (
    ("injected", "injections"),
    ("sent", "sent"),
    ("lost", "lost"),
    ("twice", "duplicates"),
    ("turned", "inversions"),
    ("bounced+got", "bounced_and_delivered"),
    ("no answer", "unanswered"),
    ("no ack", "never_acked"),
    ("stuck", "stuck"),
    ("breaches", "violations"),
    ("room lost", "rooms_lost"),
    ("room twice", "rooms_doubled"),
    ("room turned", "rooms_turned"),
    ("no archive", "rooms_missing_in_archive"),
    ("put out", "rooms_put_out"),
    ("untrue", "rooms_untrue"),
    ("room p99", "rooms_gap_p99"),
    ("ack max", "ack_stall"),
    ("way max", "delivery_stall"),
    ("resume p99", "broken_p99"),
    ("late iq", "late_answers"),
    ("load", "load"),
)


class Row(NamedTuple):
    """One run: the faults of a row that want the same servers."""

    id: str
    names: tuple[str, ...]


def run_rows(ids: Sequence[str], injections: int, jobs: int, seed: int) -> int:
    """Run them, `jobs` side by side, and print the table. 0 when all is as promised. Raises ValueError for an unknown row."""
    rows = _rows(ids)
    print(
        f"at least {injections} injections each, seed {seed}, {jobs} clusters side by side, {os.cpu_count()} cores"
    )
    print(f"{'row':<36}" + "".join(f"{title:>12}" for title, _ in _COLUMNS), flush=True)
    lock = threading.Lock()

    def run(row: Row) -> bool:
        figures, output = _run(row, injections, seed)
        with lock:
            print(_line(row, figures), flush=True)
            if not figures.get("good"):
                print("\n".join(f"    {line}" for line in output.splitlines()[-60:]), flush=True)
        return bool(figures.get("good"))

    with ThreadPoolExecutor(jobs) as pool:
        good = list(pool.map(run, rows))
    print(f"{'GOOD' if all(good) else 'BROKEN'}  {sum(good)} of {len(good)} rows")
    return 0 if all(good) else 1


def _rows(ids: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for id_ in ids:
        faults = [fault for fault in ALL if fault.id == id_]
        if not faults:
            raise ValueError(f"no such row: {id_}; there are {', '.join(ROWS)}")
        by_servers: dict[str, list[str]] = {}
        for fault in faults:
            by_servers.setdefault(fault.servers, []).append(fault.name)
        rows += [Row(id_, tuple(names)) for names in by_servers.values()]
    return rows


def _run(row: Row, injections: int, seed: int) -> tuple[dict[str, Any], str]:
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory) / "figures.json"
        command = [sys.executable, "-m", "tests.cluster.chaos", *_COMMON, *_SPECIAL.get(row.id, ())]
        command += ["--faults", ",".join(row.names), "--injections", str(injections)]
        command += ["--seed", str(seed), "--json", str(result)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        figures: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {}
        return figures, done.stdout


def _line(row: Row, figures: dict[str, Any]) -> str:
    text = f"{row.id + ' ' + '+'.join(row.names):<36}"
    for _, name in _COLUMNS:
        value = figures.get(name, "?")
        text += f"{value:>12.2f}" if isinstance(value, float) else f"{value:>12}"
    return text

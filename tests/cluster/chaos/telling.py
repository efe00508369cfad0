"""The result of a run, for people and for machines."""

from __future__ import annotations

import json
import os
from typing import Final

from tests.cluster.chaos import autopsy
from tests.cluster.chaos.runner import Injected, Report, Settings

#: Acknowledgements that are told one by one: so many, of those that took so long.
SLOWEST: Final = 8
SLOW_SECONDS: Final = 5.0
#: What must be zero for rooms: the verdict's field, and its name for people.
_ROOMS: Final = (
    ("lost", "acknowledged, not heard by all"),
    ("doubled", "heard twice in a stay"),
    ("turned", "heard in another order"),
    ("missing_in_archive", "not in the archive, or twice"),
    ("put_out", "put out, or refused"),
    ("untrue", "leaves that are not true, ghosts"),
    ("never_acked", "never acknowledged"),
    ("bounced", "bounced"),
)
#: The same for nodes.
_NODES: Final = (
    ("lost", "answered, not told to all"),
    ("doubled", "told twice in a session"),
    ("turned", "told in another order"),
    ("missing", "answered, not in the node"),
    ("invented", "told of what nobody published"),
)


def _rooms_by_fault(report: Report, by_fault: dict[str, list[Injected]]) -> list[str]:
    """How long what was said in rooms during each sort of fault took to the last occupant."""
    lines = ["", f"{'rooms, until the last occupant heard it, s':<44}{'longest':>10}"]
    for name, times in sorted(by_fault.items()):
        took = [took for at, took in report.spoken if any(one.began <= at <= one.ended for one in times)]
        if took:
            lines.append(f"{name:<44}{max(took):>10.2f}")
    return lines


def render(report: Report, settings: Settings) -> str:
    """The table."""
    verdict = report.verdict
    lines = [
        "",
        f"{'fault':<22}{'times':>6}{'ack stall':>11}{'delivery':>10}   (longest of a message sent meanwhile, s)",
    ]
    by_fault: dict[str, list[Injected]] = {}
    for one in report.injected:
        by_fault.setdefault(f"{one.fault.id} {one.fault.name}", []).append(one)
    for name, times in sorted(by_fault.items()):
        ack = delivery = 0.0
        for message in report.messages:
            if any(one.began <= message.sent <= one.ended for one in times):
                if message.acked:
                    ack = max(ack, message.acked - message.sent)
                if message.got:
                    delivery = max(delivery, message.got[0].at - message.sent)
        lines.append(f"{name:<22}{len(times):>6}{ack:>11.2f}{delivery:>10.2f}")
    if settings.rooms:
        lines += _rooms_by_fault(report, by_fault)
    lines += ["", f"{'must be zero':<40}{'':>8}"]
    rows: list[tuple[str, object]] = [
        ("lost acknowledged", len(verdict.lost)),
        ("duplicates inside a session", len(verdict.duplicates)),
        ("order inversions", len(verdict.inversions)),
        ("bounced and delivered", len(verdict.bounced_and_delivered)),
        ("unanswered requests", verdict.unanswered),
        ("never acknowledged", len(verdict.never_acked)),
        ("breaches of XEP-0198", len(verdict.violations)),
        ("stuck until their client resumed", report.stuck),
        ("complaints", len(report.complaints)),
        *((f"rooms: {title}", len(getattr(report.rooms, name))) for name, title in _ROOMS),
        *((f"nodes: {title}", len(getattr(report.press, name))) for name, title in _NODES),
    ]
    lines += [f"  {name:<38}{value:>8}" for name, value in rows]
    resumes = report.resumes
    middle = (
        f"{resumes[len(resumes) // 2]:.2f} / {resumes[-1 - len(resumes) // 100]:.2f} / {resumes[-1]:.2f} s"
        if resumes
        else "-"
    )
    rows = [
        ("messages sent", verdict.sent),
        ("acknowledged", verdict.acked),
        ("received", verdict.received),
        ("bounced", verdict.bounced),
        ("unknown (session lost before the ack)", verdict.unknown),
        ("  of these received", verdict.unknown_received),
        ("duplicates across sessions", verdict.duplicates_across),
        ("requests", verdict.requests),
        ("  answered later than 30 s", verdict.late_answers),
        ("  answered twice", verdict.answered_twice),
        ("faults injected", len(report.injected)),
        ("resumptions", len(resumes)),
        ("sessions lost", verdict.lost_chains),
        ("longest wait for an acknowledgement, s", f"{verdict.ack_stall:.2f}"),
        ("longest delivery, s", f"{verdict.delivery_stall:.2f}"),
        ("said in rooms", report.rooms.spoken),
        ("  deliveries", report.rooms.deliveries),
        ("  stays of sessions", report.rooms.stays),
        (
            "  gap of who is connected, p99 / longest",
            f"{report.rooms.gap_p99:.2f} / {report.rooms.gap_longest:.2f} s",
        ),
        ("published", report.press.published),
        ("  answered", report.press.answered),
        ("  refused", report.press.refused),
        ("  notifications", report.press.notifications),
        ("seconds", f"{report.seconds:.0f}"),
    ]
    lines += ["", "figures", *(f"  {name:<38}{value:>8}" for name, value in rows)]
    lines.append(f"  broken for (p50 / p99 / longest)      {middle}")
    if report.slowest_round > 0.5:
        lines.append(f"  the runner itself stalled for {report.slowest_round:.2f} s")
    slow = sorted((one for one in report.messages if one.acked), key=lambda one: one.sent - one.acked)[
        :SLOWEST
    ]
    for title, texts in (
        (
            "slowest acknowledgements",
            [
                autopsy.tell(one, (), report.started).removesuffix("; no row")
                for one in slow
                if one.acked - one.sent > SLOW_SECONDS
            ],
        ),
        (
            "late answers (id modulo 3: 0 to the server, 1 for the roster, 2 to the peer)",
            [
                f"client {client} {id} sent {one.sent - report.started:.2f} s, connected since "
                f"{one.up - report.started:.2f} s, answered {one.answered - report.started:.2f} s: {one.how}"
                for client, id, one in report.late[:SLOWEST]
            ],
        ),
        (
            "not answered",
            [
                f"client {client} {id} sent {one.sent - report.started:.2f} s in chain {one.chain}, connected since "
                f"{one.up - report.started:.2f} s"
                for client, id, one in report.unanswered[:SLOWEST]
            ],
        ),
        (
            "answered twice",
            [
                f"client {client} {id} sent {one.sent - report.started:.2f} s, answered {one.answered - report.started:.2f} s: "
                f"{one.how}, again {one.again_at - report.started:.2f} s: {one.again}"
                for client, id, one in report.twice[:SLOWEST]
            ],
        ),
        (
            "refused log-ins and resumptions",
            [f"{count} x {why}" for why, count in sorted(report.refusals.items())],
        ),
        (
            "breaches",
            [
                f"{one.at - report.started:.2f} s, client {one.client}: {one.what}"
                for one in verdict.violations[:20]
            ],
        ),
        (
            "inversions",
            [f"{sender}:{n} came after {sender}:{after}" for sender, n, after in verdict.inversions[:20]],
        ),
        ("last known places", report.places),
        *((f"rooms: {title}", list(getattr(report.rooms, name))[:60]) for name, title in _ROOMS),
        *((f"nodes: {title}", list(getattr(report.press, name))[:60]) for name, title in _NODES),
        ("complaints", report.complaints),
    ):
        if texts:
            lines += ["", title, *(f"  {text}" for text in texts)]
    verdict_line = "GOOD" if report.good else "BROKEN"
    lines += ["", f"{verdict_line}  seed {settings.seed}"]
    return "\n".join(lines)


def as_json(report: Report, settings: Settings) -> str:
    """The figures for machines. Times are in seconds, `broken` from a connection's end to its resumption."""
    verdict = report.verdict._asdict()
    for name in ("lost", "duplicates", "inversions", "bounced_and_delivered", "never_acked", "violations"):
        verdict[name] = len(verdict[name])
    rooms = report.rooms._asdict()
    for name, _ in _ROOMS:
        rooms[name] = len(rooms[name])
    faults: dict[str, int] = {}
    for one in report.injected:
        faults[one.fault.name] = faults.get(one.fault.name, 0) + 1
    resumes = report.resumes
    more = {
        "seed": settings.seed,
        "good": report.good,
        "faults": faults,
        "injections": len(report.injected),
        "stuck": report.stuck,
        "complaints": list(report.complaints),
        "resumptions": len(resumes),
        "broken_p99": resumes[-1 - len(resumes) // 100] if resumes else 0.0,
        "seconds": report.seconds,
        "load": os.getloadavg()[0],
    }
    nodes = report.press._asdict()
    for name, _ in _NODES:
        nodes[name] = len(nodes[name])
    in_nodes = {f"nodes_{name}": value for name, value in nodes.items()}
    in_rooms = {f"rooms_{name}": value for name, value in rooms.items()}
    return json.dumps({**more, **verdict, **in_rooms, **in_nodes}, indent=1)

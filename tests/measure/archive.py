"""What durability costs, and how fast an archive is read: CPU per message of every kind of process, and MAM pages of 100.

Starts a cluster of its own with `rookery up --ephemeral` for each mode, sends chat messages at a steady rate between pairs, then lets
one client read its archive from the beginning::

    python tests/measure/archive.py --rate 2000 --seconds 10
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.measure.idle import family, login, until

TICKS = os.sysconf("SC_CLK_TCK")
BODY = "x" * 120


def cpu(root: int, kinds: dict[int, str]) -> dict[str, float]:
    """CPU seconds by kind of process in the tree of `root`, dead children included."""
    used: dict[str, float] = defaultdict(float)
    for pid in family(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        kind = kinds.get(pid) or ("postgres" if "postgres" in name else "nats" if "nats" in name else "other")
        used[kind] += sum(int(one) for one in fields[11:13]) / TICKS
    return used


def drive(
    pairs: list[tuple[socket.socket, socket.socket, bytes]], rate: int, seconds: float
) -> tuple[int, float]:
    """Send at `rate` and wait until all has come; (messages, seconds)."""
    started = time.monotonic()
    receivers = [receiver for _, receiver, _ in pairs]
    sent = got = 0
    while got < sent or time.monotonic() - started < seconds:
        due = int(min(time.monotonic() - started, seconds) * rate) - sent
        for n in range(max(0, due)):
            sender, _, stanza = pairs[(sent + n) % len(pairs)]
            sender.sendall(stanza)
        sent += max(0, due)
        for receiver in select.select(receivers, [], [], 0.002)[0]:
            got += receiver.recv(1 << 20).count(b"</message>")
        if time.monotonic() - started > seconds + 60:
            raise TimeoutError(f"{got} of {sent} messages came")
    return sent, time.monotonic() - started


def read_archive(sock: socket.socket, page: int) -> tuple[int, float]:
    """Read the whole archive; (messages, seconds)."""
    started = time.monotonic()
    count, after, n = 0, b"", 0
    while True:
        n += 1
        sock.sendall(
            b"<iq type='set' id='q%d'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>"
            b"<max>%d</max>%b</set></query></iq>" % (n, page, after)
        )
        data = until(sock, b"</fin></iq>", b"</error></iq>")
        if b"type='error'" in data:
            raise RuntimeError(data[-400:].decode())
        count += data.count(b"</result>")
        last = re.search(rb"<last>(.*?)</last>", data)
        if b"complete='true'" in data or last is None:
            return count, time.monotonic() - started
        after = b"<after>%b</after>" % last[1]


def run(mode: str, args: argparse.Namespace) -> None:
    """One cluster in one mode."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready.json")
        command = [
            sys.executable,
            "-m",
            "rookery",
            "up",
            "--ephemeral",
            "--ready-file",
            str(ready),
            "--allow-plaintext",
        ]
        command += ["--c2s-port", "0", "--c2s-tls-port", "0", "--http-port", "0", "--admin-port", "0"]
        env = {**os.environ, "ROOKERY_ROUTER__DURABILITY": mode}
        up = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        try:
            while not ready.exists():
                if up.poll() is not None:
                    sys.exit("rookery up ended early")
                time.sleep(0.05)
            measure(mode, json.loads(ready.read_text()), up.pid, args, Path(folder))
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)


def measure(mode: str, info: dict[str, object], pid: int, args: argparse.Namespace, folder: Path) -> None:
    """Load, then catch up."""
    users = [f"user{i}" for i in range(2 * args.pairs)]
    table = folder / "users.csv"
    table.write_text("jid,password\n" + "".join(f"{user}@localhost,secret\n" for user in users))
    data = Path(str(info["ca_file"])).parents[1]
    subprocess.run(
        [sys.executable, "-m", "rookery", "user", "import", str(table), "--data", str(data)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    processes = info["processes"]
    assert isinstance(processes, list)
    kinds = {one["pid"]: "+".join(one["kinds"]) if len(one["kinds"]) == 1 else "workers" for one in processes}
    port = next(one["ports"]["c2s"] for one in processes if "edge" in one["kinds"])
    socks = [login(port, None, user) for user in users]
    for sock in socks:
        sock.sendall(b"<presence/>")
        until(sock, b"<presence")
    pairs = [
        (
            socks[2 * i],
            socks[2 * i + 1],
            f"<message to='user{2 * i + 1}@localhost' type='chat'><body>{BODY}</body></message>".encode(),
        )
        for i in range(args.pairs)
    ]
    drive(pairs, args.rate, 2.0)
    before = cpu(pid, kinds)
    sent, seconds = drive(pairs, args.rate, args.seconds)
    after = cpu(pid, kinds)
    each = {kind: (after[kind] - before[kind]) / sent * 1e6 for kind in sorted(after)}
    parts = ", ".join(f"{kind} {value:.0f}" for kind, value in each.items() if value >= 0.5)
    print(
        f"{mode:8} {sent / seconds:7.0f} messages/s  {sum(each.values()):6.0f} us CPU per message ({parts})",
        flush=True,
    )
    if mode == "durable":
        drive(pairs[:1], 5000, args.archive / 5000)
        before = cpu(pid, kinds)
        count, seconds = read_archive(pairs[0][1], 100)
        after = cpu(pid, kinds)
        used = sum(after.values()) - sum(before.values())
        print(
            f"catch-up of {count} messages by page of 100: {count / seconds:.0f} messages/s, {used / count * 1e6:.0f} us CPU each"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--rate", type=int, default=2000, help="messages a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--archive", type=int, default=10_000, help="messages of the archive that is read")
    parser.add_argument("--modes", default="relaxed,durable")
    args = parser.parse_args()
    for mode in args.modes.split(","):
        run(mode, args)


if __name__ == "__main__":
    main()

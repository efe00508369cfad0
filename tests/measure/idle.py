"""Server memory per idle connection: the slope between two numbers of connections, over all server processes.

Starts a cluster of its own with `rookery up --ephemeral`, logs in (PLAIN, bind, no presence) and leaves the streams alone::

    python tests/measure/idle.py                  # TLS
    python tests/measure/idle.py --plaintext
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

OPEN = b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
RESOURCES_PER_USER = 10


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for entry in Path(f"/proc/{pid}/task").iterdir():
        for child in (entry / "children").read_text().split():
            found += family(int(child))
    return found


def pss_kib(root: int) -> int:
    """Proportional set size of a process tree in KiB."""
    total = 0
    for pid in family(root):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def until(sock: socket.socket, *marks: bytes) -> bytes:
    """Read until one of the marks has come."""
    data = b""
    while not any(mark in data for mark in marks):
        chunk = sock.recv(65536)
        if not chunk:
            raise ConnectionError(f"closed after {data[-300:]!r}")
        data += chunk
    return data


def login(port: int, context: ssl.SSLContext | None, user: str) -> socket.socket:
    """One authenticated and bound stream."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.sendall(OPEN)
    until(sock, b"</stream:features>")
    if context is not None:
        sock.sendall(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        until(sock, b"<proceed")
        sock = context.wrap_socket(sock, server_hostname="localhost")
        sock.sendall(OPEN)
        until(sock, b"</stream:features>")
    token = base64.b64encode(f"\0{user}\0secret".encode())
    sock.sendall(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%b</auth>" % token)
    if b"<success" not in until(sock, b"<success", b"</failure>"):
        raise PermissionError(user)
    sock.sendall(OPEN)
    until(sock, b"</stream:features>")
    sock.sendall(b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    until(sock, b"</iq>")
    return sock


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plaintext", action="store_true", help="without TLS (default: STARTTLS)")
    parser.add_argument("--steps", default="1000,5000", help="numbers of connections, comma separated")
    parser.add_argument("--settle", type=float, default=8.0, help="seconds to wait before each reading")
    args = parser.parse_args()
    steps = [int(step) for step in args.steps.split(",")]
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready.json")
        command = [sys.executable, "-m", "rookery", "up", "--ephemeral", "--ready-file", str(ready)]
        command += ["--c2s-port", "0", "--c2s-tls-port", "0", "--http-port", "0", "--admin-port", "0"]
        up = subprocess.Popen(
            [*command, *(["--allow-plaintext"] if args.plaintext else [])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not ready.exists():
                if up.poll() is not None:
                    sys.exit("rookery up ended early")
                time.sleep(0.05)
            measure(json.loads(ready.read_text()), up.pid, steps, args, Path(folder))
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)


def measure(
    info: dict[str, object], pid: int, steps: list[int], args: argparse.Namespace, folder: Path
) -> None:
    """Open connections step by step and print the memory after each."""
    users = [f"idle{i}" for i in range(-(-steps[-1] // RESOURCES_PER_USER))]
    table = folder / "users.csv"
    table.write_text("jid,password\n" + "".join(f"{user}@localhost,secret\n" for user in users))
    data = Path(str(info["ca_file"])).parents[1]
    subprocess.run(
        [sys.executable, "-m", "rookery", "user", "import", str(table), "--data", str(data)], check=True
    )
    processes = info["processes"]
    assert isinstance(processes, list)
    port = next(p["ports"]["c2s"] for p in processes if "edge" in p["kinds"])
    context = None if args.plaintext else ssl.create_default_context(cafile=str(info["ca_file"]))
    held: list[socket.socket] = []
    readings = [(0, pss_kib(pid))]
    with ThreadPoolExecutor(8) as pool:
        for step in steps:
            started = time.monotonic()
            wanted = [users[i // RESOURCES_PER_USER] for i in range(len(held), step)]
            held += pool.map(lambda user: login(port, context, user), wanted)
            seconds = time.monotonic() - started
            time.sleep(args.settle)
            readings.append((step, pss_kib(pid)))
            print(
                f"{step:6} connections  {readings[-1][1] / 1024:8.1f} MiB  ({len(wanted) / seconds:.0f} logins/s)",
                flush=True,
            )
    (low, low_kib), (high, high_kib) = readings[-2:]
    print(
        f"slope {low} -> {high}: {(high_kib - low_kib) / (high - low):.1f} KiB per connection, "
        f"{'plaintext' if args.plaintext else 'TLS'}; empty cluster {readings[0][1] / 1024:.1f} MiB (PSS, all processes)"
    )
    for sock in held:
        sock.close()
    os.sync()


if __name__ == "__main__":
    main()

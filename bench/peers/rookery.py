"""Rookery itself: `rookery up` of the same installation, with its NATS and its Postgres, on data that is synced to disk."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rookery.bench.peers.peer import Peer, PeerError, Ports, Running, Site, await_stream
from rookery.bench.server import Root, read_ready_file
from rookery.embedded.child import spawn, stop, tail

_READY_SECONDS: Final = 120.0
#: The Rookery that this tool is a part of.
THIS: Final = (sys.executable, "-m", "rookery")


@dataclass(frozen=True, slots=True)
class Version:
    """Which Rookery is run: the words of its command, and further options of its `up`."""

    command: tuple[str, ...] = THIS
    arguments: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """What is special about it, for the report."""
        words = [] if self.command == THIS else list(self.command)
        if self.arguments:
            words += ["up", *self.arguments]
        return f" ({' '.join(words)})" if words else ""

    def run(
        self, *arguments: str, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; what it says is in `stdout`. Raises PeerError when there is no such program."""
        try:
            return subprocess.run(
                [*self.command, *arguments],
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                text=True,
            )
        except OSError as error:
            raise PeerError(f"cannot run {' '.join(self.command)}: {error.strerror}") from error


def configuration(site: Site, durability: str = "") -> str:
    """The TOML file: the certificate of all servers, and when a message is accepted ("" for the default)."""
    lines = ["[tls]", f'directory = "{site.certificate.parent.parent}"']
    if site.tickets:
        keys = site.folder / "tickets"
        keys.touch(0o600)
        keys.write_text(secrets.token_hex(32) + "\n")
        lines.append(f'ticket_secrets_file = "{keys}"')
    if durability:
        lines += ["[router]", f'durability = "{durability}"']
    # What listens by itself takes a port that is free.
    lines += ["[upload]", "port = 0", "[component]", "port = 0"]
    if site.federation is not None:
        lines += ["[s2s]", f'ca_file = "{site.federation.ca}"', f'resolver = "{site.federation.dns}"']
        lines += ['allow_nets = ["127.0.0.0/8"]']
        # What people would never send; the tool's domains come from loopback, where strangers are not limited.
        lines += ["account_stanzas_per_minute = 0", "subscriptions_per_minute = 0"]
        lines += ['dialback_domains = ["*.example"]'] if site.federation.dialback else []
    return "\n".join(lines) + "\n"


def check(version: Version, durability: str = "") -> None:
    """Raises PeerError when this version has no such durability."""
    if durability:
        done = version.run("config", "check", environment={"ROOKERY_ROUTER__DURABILITY": durability})
        if done.returncode:
            raise PeerError(
                f"this Rookery cannot be told router.durability = {durability}: {done.stdout.strip()}"
            )


@contextmanager
def start(version: Version, site: Site, *, durability: str = "") -> Iterator[Running]:
    """Run it until the end of the block. Raises PeerError, EmbeddedError."""
    config, ready, log = site.folder / "rookery.toml", site.folder / "ready.json", site.folder / "output.log"
    data = site.folder / "data"
    config.write_text(configuration(site, durability))
    ready.unlink(missing_ok=True)
    ports = Ports.free()
    argv = [*version.command, "up", "--data", str(data), "--domain", site.domain, "--config", str(config)]
    argv += ["--c2s-port", str(ports.c2s), "--c2s-tls-port", str(ports.tls), "--http-port", str(ports.http)]
    if site.federation is not None:
        argv += ["--s2s-port", str(ports.s2s), "--s2s-tls-port", str(ports.s2s_tls)]
    argv += ["--allow-plaintext", "--ready-file", str(ready), *version.arguments]
    with log.open("ab") as output:
        process = spawn(argv, cwd=site.folder, log=output, death_signal=signal.SIGTERM)
    try:
        _await_ready(process, ready, log)
        await_stream(process, ports.c2s, site.domain, log)
        roots = (Root(process.pid, "up", ("up",)), *read_ready_file(ready))
        yield Running(ports, "/xmpp-websocket", roots, partial(_import, version, data, site.domain))
    finally:
        stop(process, (signal.SIGTERM, 40.0))


def peers(version: Version | None = None) -> tuple[Peer, ...]:
    """Rookery with its defaults, and relaxed."""
    version = version or Version()
    return (
        Peer(
            "rookery",
            f"defaults: durable{version.said}",
            partial(check, version),
            partial(start, version),
            durable=True,
        ),
        Peer(
            "rookery-relaxed",
            f"router.durability = relaxed: nothing durable while it is delivered{version.said}",
            partial(check, version, "relaxed"),
            partial(start, version, durability="relaxed"),
            durable=False,
        ),
    )


def _await_ready(process: subprocess.Popen[bytes], ready: Path, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not ready.exists():
        if process.poll() is not None:
            raise PeerError(f"rookery up ended with code {process.returncode}: {tail(log)}")
        if time.monotonic() > deadline:
            raise PeerError(f"rookery up was not ready within {_READY_SECONDS:.0f} s: {tail(log)}")
        time.sleep(0.05)


def _import(version: Version, data: Path, domain: str, users: Path) -> None:
    done = version.run("user", "import", "--data", str(data), "--domain", domain, str(users))
    if done.returncode:
        raise PeerError(f"rookery user import ended with code {done.returncode}: {done.stdout.strip()}")

"""Rookery itself: `rookery up` of the same installation, with its NATS and its Postgres, on data that is synced to disk."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from rookery.bench.peers.peer import Peer, PeerError, Ports, Running, Site, await_stream
from rookery.bench.server import Root, read_ready_file
from rookery.embedded.child import spawn, stop, tail

_READY_SECONDS: Final = 120.0
_COMMAND: Final = (sys.executable, "-m", "rookery")


def configuration(site: Site, durability: str = "") -> str:
    """The TOML file: the certificate of all servers, and when a message is accepted ("" for the default)."""
    lines = ["[tls]", f'directory = "{site.certificate.parent.parent}"']
    if durability:
        lines += ["[router]", f'durability = "{durability}"']
    return "\n".join(lines) + "\n"


def check(durability: str = "") -> None:
    """Raises PeerError when this version has no such durability, or what `rookery up` needs is not installed."""
    if durability:
        done = _run("config", "check", environment={"ROOKERY_ROUTER__DURABILITY": durability})
        if done.returncode:
            raise PeerError(
                f"this Rookery cannot be told router.durability = {durability}: {done.stdout.strip()}"
            )


@contextmanager
def start(site: Site, *, durability: str = "", arguments: tuple[str, ...] = ()) -> Iterator[Running]:
    """Run it until the end of the block; `arguments` go to `rookery up`. Raises PeerError, EmbeddedError."""
    config, ready, log = site.folder / "rookery.toml", site.folder / "ready.json", site.folder / "output.log"
    data = site.folder / "data"
    config.write_text(configuration(site, durability))
    ready.unlink(missing_ok=True)
    ports = Ports.free()
    argv = [*_COMMAND, "up", "--data", str(data), "--domain", site.domain, "--config", str(config)]
    argv += ["--c2s-port", str(ports.c2s), "--c2s-tls-port", str(ports.tls), "--http-port", str(ports.http)]
    argv += ["--allow-plaintext", "--ready-file", str(ready), *arguments]
    with log.open("ab") as output:
        process = spawn(argv, cwd=site.folder, log=output, death_signal=signal.SIGTERM)
    try:
        _await_ready(process, ready, log)
        await_stream(process, ports.c2s, site.domain, log)
        roots = (Root(process.pid, "up", ("up",)), *read_ready_file(ready))
        yield Running(ports, "/xmpp-websocket", roots, partial(_import, data, site.domain))
    finally:
        stop(process, (signal.SIGTERM, 40.0))


def peers(arguments: tuple[str, ...] = ()) -> tuple[Peer, ...]:
    """Rookery with its defaults and relaxed; `arguments` go to `rookery up`."""
    said = f" (rookery up {' '.join(arguments)})" if arguments else ""
    return (
        Peer("rookery", f"defaults: durable{said}", check, partial(start, arguments=arguments)),
        Peer(
            "rookery-relaxed",
            f"router.durability = relaxed: nothing durable while it is delivered{said}",
            partial(check, "relaxed"),
            partial(start, durability="relaxed", arguments=arguments),
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


def _import(data: Path, domain: str, users: Path) -> None:
    done = _run("user", "import", "--data", str(data), "--domain", domain, str(users))
    if done.returncode:
        raise PeerError(f"rookery user import ended with code {done.returncode}: {done.stdout.strip()}")


def _run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_COMMAND, *arguments],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )

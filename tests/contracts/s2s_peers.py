"""Real servers of others (Debian packages), with a certificate of the lab and its DNS server: Prosody here."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen, run

import pytest

from rookery.bench.peers.machine import account, give
from rookery.embedded.child import free_ports, spawn, stop

#: What federation needs, and what answers without users.
MODULES = ("saslauth", "tls", "dialback", "disco", "ping", "smacks", "roster", "posix")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def need(program: str, package: str) -> str:
    """Its path; the test is skipped where the package is not installed."""
    found = shutil.which(program, path=_PATH)
    if found is None:
        pytest.skip(f"{program} is not installed: apt install {package}")
    return found


def need_prosody() -> str:
    """Its path; the test is skipped without it, or without the resolver that can be told whom to ask."""
    program = need("prosody", "prosody lua-unbound")
    lua = Path(program).read_text().partition("\n")[0].removeprefix("#!").split()
    if run([*lua, "-e", "require 'lunbound'"], capture_output=True, check=False).returncode:
        pytest.skip("lua-unbound is not installed: apt install lua-unbound")
    return program


class Prosody:
    """One Prosody with one domain. `log` is what it wrote."""

    def __init__(self, folder: Path, domain: str, dns: int) -> None:
        self.folder = folder
        self.domain = domain
        self.dns = dns
        self.port, self.tls_port, self.c2s = free_ports(3)
        self.process: Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """All lines so far."""
        path = self.folder / "prosody.log"
        return path.read_text() if path.exists() else ""

    def configuration(self, ca: Path, modules: tuple[str, ...], more: str, services: str = "") -> str:
        """The configuration file; `services` stands behind the domain."""
        names = "; ".join(f'"{name}"' for name in (*MODULES, *modules))
        return f"""
pidfile = "{self.folder}/prosody.pid"
data_path = "{self.folder}/data"
modules_enabled = {{ {names} }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.c2s} }}
c2s_direct_tls_ports = {{ }}
s2s_ports = {{ {self.port} }}
s2s_direct_tls_ports = {{ {self.tls_port} }}
http_ports = {{ }}
https_ports = {{ }}
authentication = "internal_plain"
ssl = {{ certificate = "{self.folder}/chain.pem"; key = "{self.folder}/key.pem"; cafile = "{ca}" }}
unbound = {{ resolvconf = false; hoststxt = false; forward = "127.0.0.1@{self.dns}"; options = {{ ["do-not-query-localhost:"] = "no"; ["module-config:"] = "iterator" }} }}
log = {{ debug = "{self.folder}/prosody.log" }}
{more}
VirtualHost "{self.domain}"
{services}
"""


@contextmanager
def prosody(
    made: Prosody,
    ca: Path,
    *,
    modules: tuple[str, ...] = (),
    more: str = "s2s_secure_auth = true",
    services: str = "",
) -> Iterator[Prosody]:
    """Run it, also again with the data that it has; `chain.pem` and `key.pem` are in its folder already."""
    program = need_prosody()
    made.folder.chmod(0o755)
    for parent in made.folder.parents:
        if parent.name.startswith("test_") or parent.name.startswith("pytest-"):
            parent.chmod(0o755)
    (made.folder / "data").mkdir(exist_ok=True)
    config = made.folder / "prosody.cfg.lua"
    config.write_text(made.configuration(ca, modules, more, services))
    user = account()
    give(made.folder, user)
    with (made.folder / "output.log").open("ab") as output:
        process = spawn(
            [program, "-F", "--config", str(config)],
            cwd=made.folder,
            log=output,
            death_signal=signal.SIGTERM,
            user=user and user.ids,
        )
    made.process = process
    try:
        yield made
    finally:
        stop(process, (signal.SIGTERM, 10.0))

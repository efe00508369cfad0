"""An ejabberd beside a whole cluster (`tests.cluster.theirs`): the Debian package, as an Erlang node of its own."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from subprocess import Popen

from tests.cluster.federated import Lab
from tests.cluster.theirs import THEIR_ROOMS, THEIRS

from rookery.bench.peers.ejabberd import asking, command
from rookery.bench.peers.machine import account, give
from rookery.embedded.child import free_ports, spawn, stop


class TheirEjabberd:
    """With rooms; it offers EXTERNAL and dialback, and shows the certificates of the lab's folder."""

    def __init__(self, home: Path, lab: Lab, dns: int) -> None:
        self._home = home
        self._process: Popen[bytes] | None = None
        self.c2s, self.port, self._http = free_ports(3)
        files = []
        for domain in (THEIRS, THEIR_ROOMS):
            issued = lab.authority.directory / domain
            both = home / f"{domain}.pem"
            both.write_bytes((issued / "fullchain.pem").read_bytes() + (issued / "privkey.pem").read_bytes())
            files.append(str(both))
        (home / "spool").mkdir()
        self._environment = asking(home, f"127.0.0.1:{dns}")
        (home / "ejabberd.yml").write_text(json.dumps(self._configuration(files, lab.authority.ca_file)))

    def _configuration(self, files: list[str], ca: Path) -> Mapping[str, object]:
        here = {"ip": "127.0.0.1"}
        modules: dict[str, dict[str, object]] = {
            name: {}
            for name in (
                "mod_blocking", "mod_disco", "mod_offline", "mod_ping", "mod_privacy", "mod_roster", "mod_vcard",
                "mod_caps", "mod_stream_mgmt", "mod_muc", "mod_admin_extra", "mod_last", "mod_version",
            )
        }  # fmt: skip
        modules["mod_s2s_dialback"] = {}
        return {
            "loglevel": "info",
            "hosts": [THEIRS],
            "certfiles": files,
            "ca_file": str(ca),
            "s2s_use_starttls": "required",
            "auth_method": "internal",
            "disable_sasl_mechanisms": ["digest-md5", "X-OAUTH2"],
            "modules": modules,
            "api_permissions": {
                "lab": {"from": ["mod_http_api"], "who": {"access": {"allow": "all"}}, "what": "*"}
            },
            "listen": [
                {**here, "module": "ejabberd_c2s", "port": self.c2s, "access": "all"},
                {**here, "module": "ejabberd_s2s_in", "port": self.port},
                {
                    **here,
                    "module": "ejabberd_http",
                    "port": self._http,
                    "request_handlers": {"/api": "mod_http_api"},
                },
            ],
        }

    def start(self) -> None:
        user = account()
        give(self._home, user)
        with (self._home / "output.log").open("ab") as output:
            self._process = spawn(
                command(self._home, self._home / "ejabberd.yml", self._environment),
                cwd=self._home,
                log=output,
                death_signal=signal.SIGTERM,
                user=user and user.ids,
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)  # its end in order takes seconds, and nobody reads what it would save

    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """All that it logged."""
        file = self._home / "ejabberd.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def output(self) -> str:
        return (self._home / "output.log").read_text(errors="replace") + self.log()[-4000:]

    def account(self, name: str) -> None:
        body = json.dumps({"user": name, "host": THEIRS, "password": name}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._http}/api/register", body)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

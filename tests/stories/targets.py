"""Servers that stories can be run against."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from xml.etree.ElementTree import Element

import trustme
from tests.cluster.harness import end_with_parent
from tests.stories.client import Endpoint, Mode, tls_context
from tests.stories.elements import CLIENT, serialise

from rookery.embedded.child import free_ports

DOMAIN = "localhost"
OTHER_DOMAIN = "other.localhost"


class Target(Protocol):
    """A running server with hosts `localhost` and `other.localhost`."""

    name: str

    def account(self, domain: str = DOMAIN) -> tuple[str, str]:
        """A fresh account: localpart and password."""

    def endpoint(self, index: int, mode: Mode) -> Endpoint:
        """Where the `index`-th client of a story connects."""

    def filter(self) -> Callable[[Element], bool]:
        """A predicate for one connection: True for what this server sends although the RFC asks for nothing."""

    def stop(self) -> None:
        """End it and all that it started."""


class UnavailableError(Exception):
    """The server cannot be had on this machine; the text says why."""


_CONFIG = """
run_as_root = true
daemonize = false
pidfile = "{dir}/prosody.pid"
data_path = "{dir}/data"
certificates = "{dir}"
interfaces = {{ "127.0.0.1" }}
local_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
c2s_direct_tls_ports = {{ {tls} }}
http_ports = {{ {http} }}
https_ports = {{ {https} }}
http_interfaces = {{ "127.0.0.1" }}
https_interfaces = {{ "127.0.0.1" }}
http_default_host = "localhost"
s2s_ports = {{ }}
ssl = {{ key = "{dir}/key.pem", certificate = "{dir}/chain.pem" }}
c2s_ssl = ssl
https_ssl = ssl
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
consider_websocket_secure = true
authentication = "internal_plain"
storage = "internal"
modules_enabled = {{
  "roster", "saslauth", "tls", "disco", "private", "blocklist", "vcard", "version", "uptime", "time", "ping",
  "register", "lastactivity", "offline", "websocket", "bosh", "http", "carbons", "smacks", "csi", "csi_simple"
}}
modules_disabled = {{ "s2s" }}
log = {{ info = "{dir}/prosody.log" }}
VirtualHost "localhost"
VirtualHost "other.localhost"
"""


class Prosody:
    """An installed Prosody on free loopback ports with a data folder of its own."""

    name = "prosody"

    def __init__(self) -> None:
        program = shutil.which("prosody")
        if program is None:
            raise UnavailableError("prosody is not installed")
        self._dir = Path(tempfile.mkdtemp(prefix="prosody-"))
        self._count = 0
        c2s, tls, http, https = free_ports(4)
        ports: dict[Mode, int] = {
            "plain": c2s,
            "starttls": c2s,
            "tls": tls,
            "websocket": https,
            "bosh": https,
        }
        authority = trustme.CA()
        leaf = authority.issue_cert(DOMAIN, OTHER_DOMAIN)
        leaf.private_key_pem.write_to_path(self._dir / "key.pem")
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(self._dir / "chain.pem", append=True)
        pem = authority.cert_pem.bytes().decode()
        self._ends: dict[Mode, Endpoint] = {
            mode: Endpoint("127.0.0.1", port, mode, tls_context(pem, mode)) for mode, port in ports.items()
        }
        (self._dir / "data").mkdir()
        config = self._dir / "prosody.cfg.lua"
        config.write_text(_CONFIG.format(dir=self._dir, c2s=c2s, tls=tls, http=http, https=https))
        with (self._dir / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [program, "--config", str(config), "-F"],
                stdout=output,
                stderr=output,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                preexec_fn=end_with_parent,
            )
        self._await(c2s)

    def _await(self, port: int) -> None:
        deadline = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError as exc:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    output = (self._dir / "output").read_text()
                    self.stop()
                    raise UnavailableError(f"prosody does not start: {output[-500:]}") from exc
                time.sleep(0.05)

    def account(self, domain: str = DOMAIN) -> tuple[str, str]:
        """Write the account file: what `prosodyctl adduser` does, without its start-up time."""
        self._count += 1
        user, password = f"story{self._count}", f"secret-{self._count}"
        folder = self._dir / "data" / domain.replace(".", "%2e") / "accounts"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{user}.dat").write_text(f'return {{ ["password"] = "{password}"; }};\n')
        return user, password

    def endpoint(self, index: int, mode: Mode) -> Endpoint:
        """The same ports for every client."""
        return self._ends[mode]

    def filter(self) -> Callable[[Element], bool]:
        """Harmless habits of Prosody that our stories do not tell.

        It answers a subscription request, and a probe when nobody is there, with unavailable presence from the bare JID (RFC 6121
        section 4.3.2 allows the latter), and it pushes a roster item again that did not change (with each new initial presence
        while a request is not answered). To a request or an approval that changes nothing it sends the known presence again, delayed.
        """
        known: dict[str, str] = {}
        seen: set[str] = set()

        def habit(node: Element) -> bool:
            if node.tag == f"{{{CLIENT}}}presence":
                sender = node.get("from", "")
                if node.get("type") == "unavailable":
                    seen.discard(sender)
                    return "/" not in sender
                again = sender in seen and node.find("{urn:xmpp:delay}delay") is not None
                seen.add(sender)
                return again
            if node.tag != f"{{{CLIENT}}}iq":
                return False
            items = node.findall("{jabber:iq:roster}query/{jabber:iq:roster}item")
            news = {item.get("jid", ""): serialise(item) for item in items}
            old = (
                node.get("type") == "set"
                and bool(news)
                and all(known.get(jid) == item for jid, item in news.items())
            )
            known.update(news)
            return old

        return habit

    def log(self) -> str:
        """What the server wrote."""
        return (self._dir / "output").read_text() + (self._dir / "prosody.log").read_text()

    def stop(self) -> None:
        """End the process and remove its folder."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._dir, ignore_errors=True)

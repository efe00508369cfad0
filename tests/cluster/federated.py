"""Servers that speak with each other, for tests: one authority, static routes on loopback, users on each."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self
from xml.etree.ElementTree import Element

import trio
from tests.cluster.harness import Cluster
from tests.stories.client import Client

from rookery.embedded.child import free_ports
from rookery.up.certificates import Authority

CLIENT: Final = "{jabber:client}"


def chat(to: str, text: str) -> str:
    """A chat message whose id is its text."""
    return f"<message to='{to}' type='chat' id='{text}'><body>{text}</body></message>"


async def heard(client: Client, count: int, kind: str = "message", seconds: float = 40.0) -> list[Element]:
    """The next stanzas of a kind; others are passed over."""
    found: list[Element] = []
    with trio.fail_after(seconds):
        while len(found) < count:
            stanza = await client.receive(seconds)
            if stanza.tag == f"{CLIENT}{kind}":
                found.append(stanza)
    return found


class Lab:
    """An authority for all domains, and a port for each: the clusters of a test find one another by routes."""

    def __init__(self, domains: Sequence[str]) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="rookery-lab-"))
        self.home.chmod(0o755)
        self.authority = Authority(self.home / "tls")
        for domain in domains:
            self.authority.ensure(domain)
        self.ports = dict(zip(domains, free_ports(len(domains)), strict=True))
        self.clusters: dict[str, Cluster] = {}

    @property
    def routes(self) -> str:
        """As the setting has them."""
        return ",".join(f"{domain}=127.0.0.1:{port}" for domain, port in self.ports.items())

    def cluster(
        self,
        domain: str,
        *,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        **counts: int,
    ) -> Cluster:
        """Start a cluster for a domain."""
        [tls_port] = free_ports(1)
        own = self.home / "own" / domain
        own.mkdir(parents=True)
        for folder in self.authority.directory.iterdir():  # its own, and those of its services
            if f".{folder.name}".endswith(f".{domain}"):
                shutil.copytree(folder, own / folder.name)
        made = self.clusters[domain] = Cluster(
            edges=counts.get("edges", 1),
            routers=counts.get("routers", 1),
            workers=workers,
            domains=(domain,),
            options=("--s2s-port", str(self.ports[domain]), "--s2s-tls-port", str(tls_port), *options),
            environment={
                "ROOKERY_TLS__DIRECTORY": str(own),
                "ROOKERY_S2S__CA_FILE": str(self.authority.ca_file),
                "ROOKERY_S2S__ROUTES": self.routes,
                **(environment or {}),
            },
            authority=self.authority.ca_file.read_text(),
        )
        return made

    async def client(self, domain: str, account: tuple[str, str], resource: str = "r") -> Client:
        """A user of a cluster's domain, logged in."""
        one = Client(self.clusters[domain].endpoint(0), domain)
        await one.connect()
        await one.login(*account, resource)
        return one

    def stop(self) -> None:
        """End everything."""
        for cluster in self.clusters.values():
            cluster.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

"""Servers of other domains in this process: `Streams` with certificates of a CA of the lab, found by routes or by a DNS server of the lab."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio.testing
import trustme

from rookery.shared.config import Config, Limits, S2s, Tls
from rookery.shared.net.certificates import CertificateStore
from rookery.shared.net.folder import CHAIN, KEY
from rookery.shared.net.handshakes import HandshakePool
from rookery.shared.net.listener import Listener, bind_sockets
from rookery.shared.net.reactor import Reactor
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.s2s.streams.api import Link, Trouble
from rookery.workers.s2s.streams.numbers import Number
from rookery.workers.s2s.streams.policies import Policy
from rookery.workers.s2s.streams.source import Inlet
from rookery.workers.s2s.streams.streams import Streams, Surroundings


class Recorded:
    """An owner of links that keeps what it is told."""

    def __init__(self) -> None:
        self.opened = 0
        self.acked = 0
        self.drained = 0
        self.pairs: list[tuple[str, Trouble | None]] = []
        self.troubles: list[Trouble] = []

    def on_open(self, link: Link) -> None:
        self.opened += 1

    def on_pair(self, local: str, trouble: Trouble | None) -> None:
        self.pairs.append((local, trouble))

    def on_acked(self, link: Link, count: int) -> None:
        self.acked = count

    def on_drained(self, link: Link) -> None:
        self.drained += 1

    def on_closed(self, link: Link, trouble: Trouble) -> None:
        self.troubles.append(trouble)


class Inbox:
    """A taker: keeps stanzas, and accepts them at once when it is `quick`."""

    def __init__(self, inlet: Inlet, server: Server) -> None:
        self.inlet = inlet
        self.server = server
        self.taken: list[Stanza] = []
        self.numbers: list[Number | None] = []
        self.over = False

    def take(self, stanza: Stanza, number: Number | None = None) -> None:
        self.taken.append(stanza)
        self.numbers.append(number)
        if self.server.answers and stanza.kind == "iq" and stanza.type == "get":
            self.server.answers(stanza)
        if self.server.quick:
            self.inlet.handled(len(self.taken))

    def closed(self) -> None:
        self.over = True


class Server:
    """One server with some domains."""

    def __init__(self, lab: Lab, name: str, domains: tuple[str, ...], settings: dict[str, object]) -> None:
        self.lab = lab
        self.domains = domains
        self.quick = True
        self.answers: Callable[[Stanza], None] | None = None
        self.inboxes: list[Inbox] = []
        self.policy = Policy()
        self.folder = lab.folder / name
        self.folder.mkdir()
        self.config = Config(
            tls=Tls(directory=str(self.folder)),
            limits=Limits(),
            s2s=S2s(
                ca_file=str(lab.ca_file), allow_nets=("127.0.0.0/8", "::1/128"), **settings  # type: ignore[arg-type]
            ),
        )  # fmt: skip
        self.certificates = CertificateStore(self.config.tls, {})
        self.streams: Streams
        self.ports: dict[str, int] = {}
        self._listeners: list[Listener] = []

    def certify(self, domain: str, *names: str, authority: trustme.CA | None = None) -> None:
        """Put a certificate for `names` into the folder of a domain."""
        issued = (authority or self.lab.authority).issue_cert(*(names or (domain,)))
        folder = self.folder / domain
        folder.mkdir(exist_ok=True)
        (folder / CHAIN).write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        (folder / KEY).write_bytes(issued.private_key_pem.bytes())

    def start(self) -> None:
        """Read the certificates, listen on both ports."""
        self.certificates.reload()
        self.streams = Streams(
            Surroundings(
                reactor=self.lab.reactor,
                pool=self.lab.pool,
                config=self.config,
                certificates=self.certificates,
                name=self.folder.name,
                hosted=lambda domain: domain in self.domains,
                allowed=lambda remote, _local: self.policy.allows(remote),
                secrets=lambda: [b"a secret of " + self.folder.name.encode()],
            )
        )
        self.streams.on_inbound = self._inbound
        for name, accept in (
            ("s2s", self.streams.door.accept),
            ("s2s_tls", self.streams.door.accept_direct),
        ):
            (sock,) = bind_sockets(["127.0.0.1"], 0)
            self.ports[name] = sock.getsockname()[1]
            self._listeners.append(Listener(self.lab.reactor, sock, 64, accept))
        self.lab.nursery.start_soon(self.streams.run)

    def _inbound(self, inlet: Inlet) -> Inbox:
        box = Inbox(inlet, self)
        self.inboxes.append(box)
        return box

    @property
    def taken(self) -> list[Stanza]:
        """All that came in, stream by stream."""
        return [stanza for box in self.inboxes for stanza in box.taken]

    def way(self, domain: str, *, tls: bool = False) -> str:
        """A route to this server."""
        port = self.ports["s2s_tls" if tls else "s2s"]
        return f"{domain}={'tls:' if tls else ''}127.0.0.1:{port}"

    def stop(self) -> None:
        for listener in self._listeners:
            listener.close()


class Lab:
    """See the module's text."""

    def __init__(self, nursery: trio.Nursery, folder: Path) -> None:
        self.nursery = nursery
        self.folder = folder
        self.reactor = Reactor()
        self.pool = HandshakePool(2)
        self.authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca_file)
        self.servers: list[Server] = []

    def server(self, name: str, *domains: str, certified: bool = True, **settings: object) -> Server:
        """A server that runs; with `certified` each domain has a certificate of the lab's CA."""
        made = Server(self, name, domains, settings)
        if certified:
            for domain in domains:
                made.certify(domain)
        self.servers.append(made)
        made.start()
        return made


@asynccontextmanager
async def lab(folder: Path) -> AsyncIterator[Lab]:
    made = None
    try:
        async with trio.open_nursery() as nursery:
            made = Lab(nursery, folder)
            made.pool.start()
            nursery.start_soon(made.reactor.run)
            await trio.testing.wait_all_tasks_blocked()
            yield made
            nursery.cancel_scope.cancel()
    finally:
        if made is not None:
            for server in made.servers:
                server.stop()
            made.pool.stop()
            made.reactor.close()


def message(from_: str, to: str, text: str) -> Stanza:
    """A chat message."""
    return Stanza.build(
        "message", Element("jabber:client", "body", None, text), type="chat", to=to, from_=from_, id=text
    )


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Until it holds; trio.TooSlowError if it never does."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  a test may poll
            await trio.sleep(0.002)

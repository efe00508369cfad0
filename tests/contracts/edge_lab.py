"""An edge on real sockets over the memory bus, with a small cluster behind it: one account, one router."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trustme

from rookery.edge.service import EdgeService
from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import (
    Accepted,
    ArchiveEnds,
    AskArchive,
    Bind,
    Bound,
    CheckLogin,
    Credentials,
    Deliver,
    Domains,
    Done,
    Enable,
    Enabled,
    GetCredentials,
    GetDomains,
    Item,
    Kind,
    LoginChecked,
    Register,
    Route,
    Submit,
    Unbind,
)
from rookery.shared.cluster.fake import FakeCluster, FakeNode
from rookery.shared.config import Config, Edge, Limits, Tls
from rookery.shared.xeps import channel_binding, client_certificates, registration
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.sasl.keys import derive_keys
from rookery.shared.xmpp.stanza import Stanza

DOMAIN = "example.org"
PASSWORD = "secret"
SALT = b"0123456789abcdef"
KEYS = {name: derive_keys(PASSWORD, name, SALT, 4096) for name in ("SCRAM-SHA-1", "SCRAM-SHA-256")}
HEADER = (
    f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)


class Accounts:
    """Everybody exists and has the same password; example.org is open for registration."""

    kind = Kind.ACCOUNT

    def __init__(self, node: FakeNode) -> None:
        self.node = node
        self.domains = [(DOMAIN, True, ()), ("other.example", False, ())]
        self.kinds: list[str] = []
        self.registered: list[Register] = []
        self.checked: list[CheckLogin] = []

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        assert isinstance(item, Call)
        request = item.request
        if isinstance(request, GetDomains):
            self.node.bus.reply(item, Domains(self.domains, self.kinds))
        elif isinstance(request, CheckLogin):
            self.checked.append(request)
            known = not request.account.startswith("nobody")
            answer = LoginChecked(request.account) if known else LoginChecked(failed="not-authorized")
            self.node.bus.reply(item, answer)
        elif isinstance(request, GetCredentials):
            stored, server = KEYS[request.mechanism]
            exists = not request.account.startswith("nobody")
            self.node.bus.reply(item, Credentials(request.account, exists, SALT, 4096, stored, server))
        elif isinstance(request, Register):
            self.registered.append(request)
            refusals = {
                "taken": StanzaError("conflict"),
                "waits": StanzaError("not-allowed", type="wait"),
                "guest": StanzaError("not-allowed"),
            }
            self.node.bus.reply(item, refusals.get(request.username, Done()))


class Router:
    """Binds anybody, delivers to full JIDs and to every session of a bare one, accepts at once unless told not to."""

    kind = Kind.ROUTER

    def __init__(self, node: FakeNode) -> None:
        self.node = node
        self.sessions: dict[str, list[object]] = {}
        self.streams: dict[str, tuple[str, bytes]] = {}
        self.items: list[Item] = []
        self.bindings: list[Bind] = []
        self.accepting = True
        self.keep = True
        self.counter = 0

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        if isinstance(item, Call):
            bind = item.request
            if isinstance(bind, Enable):
                self.node.bus.reply(item, Enabled(300))
                return
            assert isinstance(bind, Bind)
            self.bindings.append(bind)
            self.counter += 1
            grant = epoch << 32 | self.counter
            full = f"{bind.account}/{bind.resource or f'r{self.counter}'}"
            self.sessions[full] = [bind.edge, bind.sid, grant, 0]
            self.streams[full] = (bind.edge, bind.stream)
            self.node.bus.reply(item, Bound(full, grant))
            return
        if self.keep:
            self.items.append(item)
        if isinstance(item, (Submit, Route)):
            if item.origin.n and self.accepting:
                self.node.bus.post_to(item.origin.custodian, Accepted([(item.origin.stream, item.origin.n)]))
            if isinstance(item, Route):
                self.deliver(item.stanza.to, item.stanza, item.origin.stream, item.origin.n)
        elif isinstance(item, Unbind):
            self.sessions.pop(item.full, None)
            if item.full in self.streams:
                # The router confirms the end of a stream under the number 0.
                edge, stream = self.streams.pop(item.full)
                self.node.bus.post_to(edge, Accepted([(stream, 0)]))

    def deliver(self, to: str, stanza: Stanza, stream: bytes = b"", n: int = 0) -> None:
        fulls = [to] if "/" in to else [full for full in self.sessions if full.startswith(f"{to}/")]
        for full in fulls:
            session = self.sessions.get(full)
            if session is not None:
                session[3] += 1  # type: ignore[operator]
                edge, sid, grant, number = session
                self.node.bus.post_to(
                    edge,
                    Deliver(sid, grant, number, stream, n, stanza.replace(to=full)),  # type: ignore[arg-type]
                )

    def of(self, kind: type) -> list[Item]:
        return [item for item in self.items if type(item) is kind]


class Offline:
    """Knows one archive, and is asked for its ends."""

    kind = Kind.OFFLINE

    def __init__(self, node: FakeNode) -> None:
        self.node = node
        self.asked: list[AskArchive] = []

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        assert isinstance(item, Call)
        assert isinstance(item.request, AskArchive)
        self.asked.append(item.request)
        self.node.bus.reply(item, ArchiveEnds("old", 1_600_000_000_000, "new", 1_700_000_000_500))


class Lab:
    """The cluster, its edge, and clients."""

    def __init__(
        self, cluster: FakeCluster, edge: EdgeService, ca: trustme.CA, nursery: trio.Nursery
    ) -> None:
        self.cluster = cluster
        self.edge = edge
        self.ca = ca
        self.nursery = nursery
        self.accounts: Accounts
        self.router: Router
        self.offline: Offline

    async def connect(self, port: str = "c2s") -> Client:
        stream = await trio.open_tcp_stream("127.0.0.1", self.edge.ports[port])
        return Client(self, stream)

    def client_context(self, alpn: list[str] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if alpn:
            context.set_alpn_protocols(alpn)
        return context

    async def login(self, user: str, resource: str = "r", *, tls: bool = True) -> Client:
        client = await self.connect()
        if tls:
            await client.starttls()
        await client.authenticate(user)
        await client.bind(resource)
        return client


class Client:
    """Raw bytes out, bytes in until a pattern is there."""

    def __init__(self, lab: Lab, stream: trio.abc.Stream) -> None:
        self.lab = lab
        self.stream = stream
        self.seen = b""

    async def send(self, text: str | bytes) -> None:
        await self.stream.send_all(text if isinstance(text, bytes) else text.encode())

    async def until(self, pattern: str, seconds: float = 5.0) -> str:
        """Read until the pattern has come; returns everything up to its end and forgets it."""
        with trio.fail_after(seconds):
            while True:
                match = re.search(pattern.encode(), self.seen, re.DOTALL)
                if match:
                    text, self.seen = self.seen[: match.end()], self.seen[match.end() :]
                    return text.decode()
                data = bytes(await self.stream.receive_some(65536))
                if not data:
                    raise EOFError(self.seen.decode())
                self.seen += data

    async def rest(self, seconds: float = 5.0) -> str:
        """Read until the server closes."""
        with trio.fail_after(seconds):
            try:
                while data := bytes(await self.stream.receive_some(65536)):
                    self.seen += data
            except trio.BrokenResourceError:
                pass
        return self.seen.decode()

    async def open(self, header: str = HEADER) -> str:
        await self.send(header)
        return await self.until("</stream:features>")

    async def starttls(self) -> None:
        await self.open()
        await self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await self.until("<proceed[^>]*/>")
        await self.wrap()

    async def wrap(
        self, alpn: list[str] | None = None, host: str = DOMAIN
    ) -> trio.SSLStream[trio.abc.Stream]:
        context = self.lab.client_context(alpn)
        wrapped = trio.SSLStream(self.stream, context, server_hostname=host)
        await wrapped.do_handshake()
        self.stream = wrapped
        return wrapped

    async def authenticate(self, user: str, password: str = PASSWORD) -> None:
        await self.open()
        text = b64encode(f"\0{user}\0{password}".encode()).decode()
        await self.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{text}</auth>")
        await self.until("<success[^>]*/>")

    async def bind(self, resource: str = "r") -> None:
        await self.open()
        await self.send(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<resource>{resource}</resource></bind></iq>"
        )
        await self.until("<jid>.*</iq>")

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self.stream)


def write_certificates(ca: trustme.CA, folder: Path, *domains: str) -> None:
    for domain in domains:
        (folder / domain).mkdir(exist_ok=True)
        issued = ca.issue_cert(domain)
        (folder / domain / "fullchain.pem").write_bytes(b"".join(b.bytes() for b in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(folder / domain / "privkey.pem")


@asynccontextmanager
async def running(
    folder: Path,
    *,
    edge: Edge | None = None,
    limits: Limits | None = None,
    binding: channel_binding.Options | None = None,
    certificates: client_certificates.Options | None = None,
    registering: registration.Options | None = None,
) -> AsyncIterator[Lab]:
    """A running edge on free ports of 127.0.0.1."""
    ca = trustme.CA()
    write_certificates(ca, folder, DOMAIN, "other.example")
    config = Config(
        tls=Tls(directory=str(folder)),
        edge=edge or Edge(host=("127.0.0.1",), c2s_port=0, c2s_tls_port=0, http_port=0, allow_plaintext=True),
        limits=limits or Limits(),
        channel_binding=binding or channel_binding.Options(),
        client_certificates=certificates or client_certificates.Options(),
        registration=registering or registration.Options(),
    )
    cluster = FakeCluster()
    node = cluster.node("edge1", Kind.EDGE, config=config)
    account, router = cluster.node("account1", Kind.ACCOUNT), cluster.node("router1", Kind.ROUTER)
    offline = cluster.node("offline1", Kind.OFFLINE)
    service = EdgeService(node)
    node.serve(service)
    async with trio.open_nursery() as nursery:
        lab = Lab(cluster, service, ca, nursery)
        lab.accounts, lab.router = Accounts(account), Router(router)
        account.serve(lab.accounts)
        router.serve(lab.router)
        lab.offline = Offline(offline)
        offline.serve(lab.offline)
        nursery.start_soon(cluster.network.run)
        nursery.start_soon(service.run)
        with trio.fail_after(5):
            while not service.ready:  # noqa: ASYNC110  a test may poll
                await trio.sleep(0.005)
        yield lab
        nursery.cancel_scope.cancel()

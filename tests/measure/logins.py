"""What a login costs the server: TLS handshakes in full and by a ticket, a whole login, and coming back with a token.

Starts a cluster of its own with session tickets. CPU is that of all processes of the cluster, Postgres and NATS included, above what
they use at rest::

    python -m tests.measure.logins --seconds 10
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import re
import secrets
import socket
import ssl
import threading
import time
import uuid
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import asyncpg
import psutil  # type: ignore[import-untyped]
from tests.cluster.harness import Cluster

from rookery.bench.driver.scram import Keys, ScramClient

DOMAIN: Final = "localhost"
HEADER: Final = (
    f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
AGENT: Final = "<user-agent id='{}'><software>measure</software></user-agent>"
_TIMES: Final = 10
_STATEMENT: Final = re.compile(
    r"LOG:  (?:statement|execute [^:]*): (.*?)(?=\n\d{4}-\d\d-\d\d |\Z)", re.DOTALL
)
_UPKEEP: Final = re.compile(r"\b(member|lease|beat|s2s_queue)\b|pg_")
ENABLE: Final = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"


class Line:
    """One connection, with blocking calls."""

    def __init__(self, port: int) -> None:
        self.sock: socket.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._text = ""

    def secure(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        """A handshake."""
        self.sock = context.wrap_socket(self.sock, server_hostname=DOMAIN, session=session)

    @property
    def tls(self) -> ssl.SSLSocket:
        """The socket after the handshake."""
        assert isinstance(self.sock, ssl.SSLSocket)
        return self.sock

    def send(self, text: str) -> None:
        """Write."""
        self.sock.sendall(text.encode())

    def until(self, pattern: str) -> str:
        """Read up to and with what matches. Raises EOFError, RuntimeError when the server refuses."""
        while (found := re.search(pattern, self._text, re.DOTALL)) is None:
            if "<failure" in self._text or "<stream:error" in self._text or "<failed" in self._text:
                raise RuntimeError(self._text)
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(self._text)
            self._text += data.decode()
        said, self._text = self._text[: found.end()], self._text[found.end() :]
        return said

    def close(self) -> None:
        """End it as a phone does that lost its network."""
        self.sock.close()


class User:
    """Somebody who logs in again and again, at one edge after the other."""

    def __init__(
        self, name: str, password: str, edges: list[dict[str, int]], context: ssl.SSLContext
    ) -> None:
        self.name, self.password = name, password
        self._edges, self._context = edges, context
        self._keys: Keys = {}
        self._turn = 0
        self._agent = str(uuid.uuid4())
        self._session: ssl.SSLSession | None = None
        self._token = self._stream = ""
        self.short = 0

    def _port(self, name: str) -> int:
        self._turn += 1
        return self._edges[self._turn % len(self._edges)][name]

    def handshake(self, with_ticket: bool) -> None:
        """Direct TLS and nothing more."""
        line = Line(self._port("c2s_tls"))
        line.secure(self._context, self._session if with_ticket else None)
        if with_ticket:
            # (the server's first bytes bring the ticket)
            line.send(HEADER)
            line.until("</stream:features>")
            self._session = line.tls.session
        self.short += line.tls.session_reused or False
        line.close()

    def opened(self) -> None:
        """The same with a stream, so that the two handshakes can be compared."""
        line = Line(self._port("c2s_tls"))
        line.secure(self._context)
        line.send(HEADER)
        line.until("</stream:features>")
        line.close()

    def full(self) -> None:
        """STARTTLS, SCRAM-SHA-256, bind, stream management; the stream ends in order."""
        line = Line(self._port("c2s"))
        line.send(HEADER)
        line.until("</stream:features>")
        line.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        line.until("<proceed[^>]*>")
        line.secure(self._context)
        line.send(HEADER)
        line.until("</stream:features>")
        scram = ScramClient("SCRAM-SHA-256", self.name, self.password, secrets.token_hex(12), self._keys)
        sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
        line.send(f"<auth xmlns='{sasl}' mechanism='SCRAM-SHA-256'>{_b64(scram.first())}</auth>")
        challenge = re.sub("<[^>]*>", "", line.until("</challenge>"))
        line.send(f"<response xmlns='{sasl}'>{_b64(scram.final(b64decode(challenge)))}</response>")
        line.until("</success>")
        line.send(HEADER)
        line.until("</stream:features>")
        line.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        line.until("</iq>")
        line.send(ENABLE)
        line.until("<enabled[^>]*>")
        line.send("</stream:stream>")
        line.until("</stream:stream>")
        line.close()

    def first(self) -> None:
        """SASL2 with a password: a token, a stream that can be resumed, a ticket."""
        line = Line(self._port("c2s_tls"))
        line.secure(self._context)
        plain = _b64(f"\0{self.name}\0{self.password}".encode())
        line.send(
            f"{HEADER}<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>{plain}</initial-response>"
            f"{AGENT.format(self._agent)}<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>"
            f"<bind xmlns='urn:xmpp:bind:0'><tag>m</tag>{ENABLE}</bind></authenticate>"
        )
        said = line.until("</success>.*</stream:features>")
        found = re.search("<token[^>]*>", said)
        assert found is not None, said
        self._token = _attribute(found[0], "token")
        found = re.search("<enabled[^>]*>", said)
        assert found is not None
        self._stream = _attribute(found[0], "id")
        self._session = line.tls.session
        line.close()

    def back(self) -> None:
        """A ticket, the token, and the stream goes on, all in one flight."""
        line = Line(self._port("c2s_tls"))
        line.secure(self._context, self._session)
        proof = _b64(self.name.encode() + b"\0" + hmac.digest(self._token.encode(), b"Initiator", "sha256"))
        line.send(
            f"{HEADER}<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'><initial-response>{proof}</initial-response>"
            f"{AGENT.format(self._agent)}<fast xmlns='urn:xmpp:fast:0'/><resume xmlns='urn:xmpp:sm:3' h='0' previd='{self._stream}'/>"
            f"<bind xmlns='urn:xmpp:bind:0'><tag>m</tag>{ENABLE}</bind></authenticate>"
        )
        said = line.until("</success>.*</stream:features>")
        assert "<resumed" in said, said
        self._session = line.tls.session
        self.short += line.tls.session_reused or False
        line.close()


def _b64(data: bytes) -> str:
    return b64encode(data).decode()


def _attribute(text: str, name: str) -> str:
    found = re.search(rf" {name}='([^']*)'", text) or re.search(rf' {name}="([^"]*)"', text)
    assert found is not None, text
    return found[1]


def spent(cluster: Cluster) -> dict[str, float]:
    """CPU seconds by kind of process; what Postgres and NATS start counts as theirs."""
    kinds = {one["pid"]: _kind(one["kinds"]) for one in cluster.ready()["processes"]}
    total: dict[str, float] = {}

    def add(process: psutil.Process, kind: str) -> None:
        try:
            times = process.cpu_times()
            children = process.children()
        except psutil.Error:
            return
        kind = kinds.get(process.pid, kind)
        total[kind] = total.get(kind, 0.0) + times.user + times.system
        for child in children:
            add(child, kind)

    add(psutil.Process(cluster.pid), "up")
    return total


def _kind(kinds: list[str]) -> str:
    return kinds[0] if kinds[0] in ("edge", "router", "nats", "postgres") else "worker"


def measure(
    cluster: Cluster, what: str, users: list[User], act: Callable[[User], None], seconds: float
) -> float:
    """Everybody does it again and again; returns microseconds of CPU for each, and prints them by kind."""
    before = spent(cluster)
    time.sleep(3)
    rest = {kind: (used - before.get(kind, 0.0)) / 3 for kind, used in spent(cluster).items()}
    counts = [0] * len(users)
    short = sum(user.short for user in users)
    before, began = spent(cluster), time.monotonic()
    stop = began + seconds

    def run(index: int) -> None:
        while time.monotonic() < stop:
            act(users[index])
            counts[index] += 1

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(users))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, times = time.monotonic() - began, sum(counts)
    time.sleep(1)
    passed = time.monotonic() - began
    parts = {
        kind: (used - before.get(kind, 0.0) - rest.get(kind, 0.0) * passed) / times * 1e6
        for kind, used in spent(cluster).items()
    }
    short = sum(user.short for user in users) - short
    each = sum(parts.values())
    print(
        f"{what}: {each:.0f} us of CPU, {times} in {took:.1f} s, {short} with a ticket taken; "
        + ", ".join(f"{kind} {part:.0f}" for kind, part in sorted(parts.items(), key=lambda pair: -pair[1]))
    )
    return each


def statements(cluster: Cluster, what: str, user: User, act: Callable[[User], None], pause: float) -> None:
    """Print the statements of ten times, each `pause` seconds after the other: what Postgres writes down of them, by their beginning."""
    log = cluster.data / "postgres" / "postgres.log"
    before = log.stat().st_size
    for _ in range(_TIMES):
        act(user)
        time.sleep(pause)
    time.sleep(1)
    with log.open("rb") as file:
        file.seek(before)
        text = file.read().decode("utf-8", "replace")
    found = Counter(" ".join(one.split())[:70] for one in _STATEMENT.findall(text))
    # (the cluster itself: beats, leases, what is looked at now and then)
    own = {one: times for one, times in found.items() if times >= _TIMES // 2 and not _UPKEEP.search(one)}
    print(f"{what}, {pause} s between: {sum(own.values()) / _TIMES:.1f} statements")
    for one, times in sorted(own.items(), key=lambda pair: -pair[1]):
        print(f"    {times / _TIMES:.1f} {one}")


def logged(cluster: Cluster) -> None:
    """Let Postgres write statements down."""
    url = json.loads((cluster.data / "cluster.json").read_text())["database_url"]

    async def ask() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("ALTER SYSTEM SET log_statement = 'all'")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    asyncio.run(ask())
    time.sleep(1)


def main() -> None:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--only", default="", help="a part of the name of what is measured")
    parser.add_argument("--statements", action="store_true", help="count these instead of CPU")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder, _cluster(Path(folder) / "tickets") as cluster:
        edges = [edge["ports"] for edge in cluster.processes("edge")]
        context = ssl.create_default_context(cadata=cluster.authority)
        users = [User(*account, edges, context) for account in cluster.add_users(arguments.clients)]
        for user in users:
            user.full()
            user.first()
        acts: dict[str, Callable[[User], None]] = {
            "TLS in full, a stream": User.opened,
            "TLS by a ticket, a stream": lambda user: user.handshake(True),
            "STARTTLS, SCRAM, bind": User.full,
            "ticket, token, resumed": User.back,
        }
        if arguments.statements:
            logged(cluster)
            for pause in (0.1, 1.5):
                for what, act in acts.items():
                    statements(cluster, what, users[0], act, pause)
            return
        for _ in range(arguments.repeat):
            spent_by = {}
            for what, act in acts.items():
                if arguments.only in what:
                    if act is User.back:
                        for user in users:
                            user.first()
                    spent_by[what] = measure(cluster, what, users, act, arguments.seconds)
            if len(spent_by) == len(acts):
                plain, ticket, full, back = spent_by.values()
                print(
                    f"stream by a ticket / in full: {ticket / plain:.2f}; back / full login: {back / full:.2f}"
                )


def _cluster(file: Path) -> Cluster:
    file.write_text(secrets.token_hex(32))
    environment = {
        "ROOKERY_LIMITS__EXEMPT_NETS": "127.0.0.0/8",
        "ROOKERY_TLS__TICKET_SECRETS_FILE": str(file),
    }
    return Cluster(edges=2, routers=1, workers=1, environment=environment)


if __name__ == "__main__":
    main()

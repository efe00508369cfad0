"""All remote domains that one driver process plays: where they listen, what the DNS says of them, their streams, who tried to reach them."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rookery.bench.driver import loop as loops
from rookery.bench.plan import Plan, PlanError
from rookery.bench.remotes.authority import Authority
from rookery.bench.remotes.dns import Names
from rookery.bench.remotes.domains import Domain, domains, records
from rookery.bench.remotes.incoming import Incoming
from rookery.bench.remotes.outgoing import Outgoing, Talk, inquire, prove
from rookery.bench.remotes.wire import Wire
from rookery.bench.result import Dead
from rookery.shared.net.identity import Identity
from rookery.shared.net.openssl import Context

_SECOND: Final = 1_000_000_000
_BACKLOG: Final = 4096
#: Accepted at once, before others have their turn.
_BATCH: Final = 64
#: What a certificate says that is another's.
_WRONG: Final = "another.invalid"

Stanzas = Callable[[Incoming, bytes], None]
Lost = Callable[[Outgoing, str], None]


def place_of(text: str, what: str) -> tuple[str, int]:
    """HOST:PORT as a pair. Raises PlanError."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise PlanError(f"{what} {text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def server_place(plan: Plan) -> tuple[str, int]:
    """Where the server under test takes streams of other servers. Raises PlanError."""
    return place_of(plan.s2s_target, "s2s_target") if plan.s2s_target else (plan.host, 5269)


class House:
    """See the module's text. `number` is that of this process. Raises PlanError when it cannot listen, or has no authority."""

    def __init__(self, loop: loops.Loop, plan: Plan, number: int, on_stanzas: Stanzas, on_lost: Lost) -> None:
        self.loop = loop
        self.target = plan.domain
        self.managed = plan.s2s_acks
        self._taker = on_stanzas
        self._lost = on_lost
        #: Streams that the server has opened.
        self.streams: set[Incoming] = set()
        #: Known to all processes of the run: a key is verified by whichever holds the domain.
        self.secret = f"dialback of run {plan.seed}".encode()
        everything = domains(plan)
        self.domains = [domain for domain in everything if domain.process == number]
        self._by_name = {domain.name: domain for domain in self.domains}
        self._came: Counter[str] = Counter()
        self._contexts: dict[str, Context] = {}
        self._closed = False
        if not plan.ca and plan.auth != "dialback":
            raise PlanError(
                "s2s needs --ca FILE, an authority that the server trusts: `rookery bench ca FILE` makes one and says how"
            )
        family, self._address = _resolve(*server_place(plan))
        self.place: tuple[int, Any] = (family, self._address)
        self._authority = Authority.load(plan.ca) if plan.ca else Authority.make()
        host, port = place_of(plan.listen, "listen")
        self._sockets: list[socket.socket] = []
        self._names: Names | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="rookery-remotes-"))
        try:
            self._listener = self._socket(host, port + number)
            self._listener.listen(_BACKLOG)
            if plan.dns and number == 0:
                self._serve_names(plan, everything, host, port)
        except BaseException:
            self._free()
            raise
        loop.add(self._listener.fileno(), loops.READ, self._accept)

    def _socket(self, host: str, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self._sockets.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        try:
            sock.bind((host, port))
        except OSError as error:
            raise PlanError(
                f"cannot listen at {host}:{port}: {error.strerror}; choose another --listen"
            ) from None
        return sock

    def _serve_names(self, plan: Plan, everything: list[Domain], host: str, port: int) -> None:
        """A port that is bound and does not listen is closed, and stays ours; one whose line is full accepts nobody."""
        closed, hole = self._socket(host, 0), self._socket(host, 0)
        hole.listen(0)
        for _ in range(4):
            sock = socket.socket(hole.family, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.connect_ex(hole.getsockname()[:2])
            self._sockets.append(sock)
        found = [
            record
            for domain in everything
            for record in records(
                domain, host, port + domain.process, closed.getsockname()[1], hole.getsockname()[1]
            )
        ]
        at, number = place_of(plan.dns, "dns")
        try:
            self._names = Names(found, number, at)
        except OSError as error:
            raise PlanError(
                f"cannot answer DNS at {plan.dns}: {error.strerror}; choose another --dns"
            ) from None

    # -- what streams need ---------------------------------------------------------------------------------------------

    def find(self, name: str) -> Domain | None:
        """A domain that this process plays."""
        return self._by_name.get(name)

    def came(self, domain: Domain) -> None:
        """The server has connected to a domain."""
        self._came[domain.name] += 1

    def context(self, domain: Domain) -> Context:
        """TLS with the certificate of a domain, for both sides of a connection."""
        name = _WRONG if domain.manner == "certificate" else domain.name
        found = self._contexts.get(name)
        if found is None:
            identity: Identity = self._authority.issue(self._folder, name)
            found = self._contexts[name] = Context((), identity)
        return found

    def pause(self, wire: Wire, nanoseconds: int) -> None:
        """Read no more of a connection for that long."""
        wire.deafen()
        self.loop.at(self.loop.clock() + nanoseconds, lambda _now: wire.hear())

    def drip(self, wire: Wire, data: bytes) -> None:
        """Say a byte a second."""
        if data and wire.open and not self._closed:
            wire.write(data[:1])
            self.loop.at(self.loop.clock() + _SECOND, lambda _now: self.drip(wire, data[1:]))

    def _accept(self, _events: int) -> None:
        for _ in range(_BATCH):
            try:
                sock, _address = self._listener.accept()
            except OSError:
                return
            stream = Incoming(self, self._taker, self.streams.discard)
            self.streams.add(stream)
            stream.wire.adopt(sock)

    # -- what a scenario does ------------------------------------------------------------------------------------------

    def open(self, domain: Domain, done: Callable[[Outgoing, str], None], target: str = "") -> Outgoing:
        """Open a stream to the server, or to another domain of it; `done` gets it with a condition, "" when stanzas may be sent."""
        target = target or self.target
        return self._begin(domain, target, prove(domain, target, self.secret), done)

    def ask(self, domain: Domain, there: str, id: str, key: str, word: Callable[[bool], None]) -> None:
        """Ask the server about a key of its own."""

        def done(stream: Outgoing, condition: str) -> None:
            stream.close()
            if condition:
                word(False)

        self._begin(domain, there, inquire(domain.name, there, id, key, word), done)

    def _begin(
        self, domain: Domain, target: str, talk: Talk, done: Callable[[Outgoing, str], None]
    ) -> Outgoing:
        stream = Outgoing(self, domain, target, self._lost)
        stream.connect(talk, done)
        return stream

    def dead(self) -> tuple[Dead, ...]:
        """How often the server tried to reach domains that are dead, by what they are dead of.

        Questions are known to the process that answers them; the connections of each process are of its own domains.
        """
        asked: Counter[str] = Counter()
        if self._names is not None:
            # A resolver of the server may ask again and again; the service record is asked for once an attempt.
            asked.update(
                name for name, type in self._names.asked if type == "SRV" and name[:13] == "_xmpp-server."
            )
        found: dict[str, Dead] = {}
        for domain in self.domains:
            if domain.dead:
                questions, connections = asked[f"_xmpp-server._tcp.{domain.name}"], self._came[domain.name]
                one = Dead(domain.manner, 1, connections, questions, connections, questions)
                known = found.get(domain.manner)
                found[domain.manner] = one if known is None else known + one
        return tuple(found.values())

    def close(self) -> None:
        """End all streams, answer nobody any more."""
        if self._closed:
            return
        self._closed = True
        for stream in list(self.streams):
            stream.close()
        self.loop.remove(self._listener.fileno())
        self._free()

    def _free(self) -> None:
        for sock in self._sockets:
            sock.close()
        if self._names is not None:
            self._names.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _resolve(host: str, port: int) -> tuple[int, Any]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PlanError(f"s2s_target {host}:{port}: {error.strerror}") from None
    return found[0][0], found[0][4]
